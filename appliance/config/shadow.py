"""Rules that can never match, because one earlier rule takes every packet they are about. Worth a warning: usually the order is wrong.

Only a single earlier rule counts; rules that share the work of hiding a later one go unnoticed.

A rule that takes all of another holds both ends of each of its ranges. Who holds them is found for all rules together, by one walk over
the ends of all ranges in each dimension; whoever is left in all dimensions is compared in full. That is nearly always the rule sought:
only one with gaps in its ranges may hold the ends and not what is between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from ipaddress import IPv4Network, IPv6Network

from appliance.config.errors import quoted
from appliance.config.finding import Finding
from appliance.config.models import Config, Rule
from appliance.config.objects import Place
from appliance.config.resolve import resolve
from appliance.config.words import ServiceMatch
from appliance.ranges import Extent, Ranges, Span, covers, merged, network_range

MOST_RULES = 16_384
"""Each may take 2 KiB in a vector with a bit for every rule."""
MOST_COMPARED = 200_000

KIND = 1 << 129
"""Numbers of one IP version or protocol lie apart from those of another by this."""
EVERY_ADDRESS: Ranges = ((4 * KIND, 4 * KIND + 2**32 - 1), (6 * KIND, 6 * KIND + 2**128 - 1))
EVERY_SERVICE: Ranges = ((0, 256 * KIND - 1),)

WRITTEN = (IPv4Network, IPv6Network, Span)

View = Callable[[Rule], Ranges]
"""What a rule is about in one dimension: zones that flows come from or go to, sources, destinations, services."""


def check(config: Config) -> Iterator[Finding]:
    """A warning for each rule that an earlier one hides, and one where there are too many rules to tell."""
    rules = resolve(config).policy[:MOST_RULES]
    views = _views(_Zones(config.zones))
    reach = cache(lambda index: tuple(view(rules[index]) for view in views))
    compared = 0
    for index, candidates in enumerate(_candidates(rules, views)):
        for earlier in _bits_of(candidates):
            compared += 1
            if all(map(covers, reach(earlier), reach(index))):
                yield _hidden(index, rules[index], rules[earlier])
                break
        if compared > MOST_COMPARED:
            yield from _given_up(config, index + 1)
            return
    yield from _given_up(config, MOST_RULES)


def _hidden(index: int, rule: Rule, by: Rule) -> Finding:
    where = f" on line {by.line}" if by.line else ""
    hint = f"move it above {quoted(by.name)}{where}, which already takes all of it, or remove it"
    return Finding(("policy", index), "can never match", hint, quoted(rule.name), warning=True)


def _given_up(config: Config, index: int) -> Iterator[Finding]:
    for rule in config.policy[index : index + 1]:
        hint = "see for yourself that no earlier rule takes all of a later one"
        yield Finding(("policy", index), "too many rules to tell whether it can match", hint, quoted(rule.name), warning=True)


def _candidates(rules: Sequence[Rule], views: Iterable[View]) -> list[int]:
    """For each rule the earlier ones that may take all of it, as bits. The walks end with the dimension that leaves none."""
    idle = sum(1 << index for index, rule in enumerate(rules) if rule.audit or _vague(rule))  # these may take nothing
    found = [((1 << index) - 1) & ~idle for index in range(len(rules))]
    for view in views:
        dimension = [view(rule) for rule in rules]
        holders = _holders(dimension)
        for index, ranges in enumerate(dimension):
            found[index] &= holders[ranges]
        if not any(found):
            break
    return found


def _holders(dimension: Sequence[Ranges]) -> dict[Ranges, int]:
    """For each set of ranges the rules that hold both ends of each of them, as bits."""
    rules: dict[Ranges, int] = {}
    for index, ranges in enumerate(dimension):
        rules[ranges] = rules.get(ranges, 0) | 1 << index
    turns: dict[int, int] = {}  # the rules that begin or end to hold, by the number where they do
    ends: dict[int, list[Ranges]] = {}
    for ranges, bits in rules.items():
        for first, last in ranges:
            turns[first] = turns.get(first, 0) ^ bits
            turns[last + 1] = turns.get(last + 1, 0) ^ bits
            ends.setdefault(first, []).append(ranges)
            ends.setdefault(last, []).append(ranges)
    found = dict.fromkeys(rules, -1)
    holding = 0
    for number in sorted(turns.keys() | ends.keys()):
        holding ^= turns.get(number, 0)
        for ranges in ends.get(number, ()):
            found[ranges] &= holding
    return found


def _bits_of(vector: int) -> Iterator[int]:
    while vector:
        yield (vector & -vector).bit_length() - 1
        vector &= vector - 1


def _views(zones: _Zones) -> tuple[View, ...]:
    """The dimensions, those that tell most rules apart first."""
    return (
        lambda rule: _addresses(rule.destination),
        lambda rule: _addresses(rule.source),
        lambda rule: _services(rule.services),
        lambda rule: zones.ranges(rule.to_zones),
        lambda rule: zones.ranges(rule.from_zones),
    )


class _Zones:
    """Numbers for zones: those of nics first, then `self` and what is no zone at all, as it comes."""

    def __init__(self, names: Iterable[str]) -> None:
        self._numbers = {name: number for number, name in enumerate(names)}
        self._any = [(0, len(self._numbers) - 1)] if self._numbers else []

    def ranges(self, words: Sequence[str]) -> Ranges:
        numbers = [self._numbers.setdefault(word, len(self._numbers)) for word in words if word != "any"]
        return merged([*((number, number) for number in numbers), *(self._any if "any" in words else [])])


def _vague(rule: Rule) -> bool:
    """Whether it is about other packets at another time."""
    return rule.when is not None or rule.until is not None or _unsure(rule.source) or _unsure(rule.destination)


def _unsure(places: Sequence[Place]) -> bool:
    return Extent in map(type, places) and any(not place.sure for place in places if isinstance(place, Extent))


def _addresses(places: Sequence[Place]) -> Ranges:
    """What is not known might be everything."""
    if not places or _unsure(places):
        return EVERY_ADDRESS
    ranges = []
    for place in places:
        if isinstance(place, WRITTEN):
            first, last = network_range(place)
            ranges.append((place.version * KIND + first, place.version * KIND + last))
        elif isinstance(place, Extent):
            ranges += [(version * KIND + first, version * KIND + last) for version in (4, 6) for first, last in place.ranges(version)]
    return merged(ranges)


def _services(matches: Sequence[ServiceMatch]) -> Ranges:
    ranges = []
    for match in matches:
        if match.protocol is None:
            return EVERY_SERVICE
        first, last = match.ports or (0, 65535)
        if match.icmp_type is not None:
            first = last = match.icmp_type
        ranges.append((match.protocol * KIND + first, match.protocol * KIND + last))
    return merged(ranges)
