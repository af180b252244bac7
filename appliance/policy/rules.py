"""The ordered rules of the policy, compiled to a classifier: first match wins, at a cost that hardly grows with their number.

Rules under audit are told apart by vectors of their own: they decide nothing, and are asked apart.

    from zone   to zone   protocol -> port or type   source   destination          (addresses: one dimension for each version)
       |           |                |                  |           |
      bits    and  bits    and     bits       and     bits  and   bits    ->   the lowest bit is the first rule that speaks of the flow
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from appliance.config.models import Rule, ServiceMatch
from appliance.config.objects import Place
from appliance.policy.dimension import WORD, Dimension, Vector, common, vector
from appliance.policy.facts import TCP, UDP
from appliance.ranges import Extent, Ranges, holds, merged, network_ranges


class Verdict(NamedTuple):
    """What a rule says."""

    allow: bool
    name: str
    line: int
    reject: bool = False  # what is denied is told to its sender
    liberal: bool = False  # TCP that is allowed may have any sequence numbers
    pickup: bool = False  # TCP may begin in the middle
    audit: bool = False  # decides nothing, and is counted as if it did

    @classmethod
    def of(cls, rule: Rule) -> Verdict:
        """Of a written rule."""
        return cls(rule.verdict == "allow", rule.name, rule.line, rule.verdict == "reject", rule.liberal, rule.pickup, rule.audit)

    @property
    def word(self) -> str:
        """allow, deny or reject."""
        return "allow" if self.allow else "reject" if self.reject else "deny"


class Known(Protocol):
    """Who knows what domain names stand for."""

    def named(self, objects: tuple[str, ...], version: int, address: int) -> bool:
        """Whether an address is in one of these objects."""


class Guard(NamedTuple):
    """The addresses of a rule with domain names, which no table holds: None for a side that has none."""

    source: Extent | None
    destination: Extent | None

    def admits(self, version: int, source: int, destination: int, known: Known | None) -> bool:
        """Whether the rule speaks of these addresses now."""
        return _within(self.source, version, source, known) and _within(self.destination, version, destination, known)


def _within(extent: Extent | None, version: int, address: int, known: Known | None) -> bool:
    if extent is None or holds(extent.ranges(version), address):
        return True
    return known is not None and known.named(extent.names, version, address)


Kind = tuple[int, int, int, int]
"""(from zone, to zone, version, protocol)."""

OTHER: Final = -1
"""All protocols that no rule names."""

Looks = tuple[Vector, Dimension, Dimension, Dimension]
"""Where the flows of a kind look: rules of their zones, services, sources, destinations."""


class Policy:
    """All rules. Zones are numbers here; `zones` resolves a rule's word to them."""

    __slots__ = (
        "_audited", "_deciding", "_destinations", "_from", "_guarded", "_guards", "_kinds", "_services", "_sources", "_to",
        "_verdicts", "_zones",
    )  # fmt: skip

    def __init__(self, rules: Sequence[Rule], zones: Mapping[str, frozenset[int]]) -> None:
        self._verdicts = tuple(map(Verdict.of, rules))
        self._deciding = vector((number for number, rule in enumerate(rules) if not rule.audit), len(rules))
        self._audited = vector((number for number, rule in enumerate(rules) if rule.audit), len(rules))
        self._from = _by_zone([rule.from_zones for rule in rules], zones)
        self._to = _by_zone([rule.to_zones for rule in rules], zones)
        self._sources = {version: _addresses([rule.source for rule in rules], version) for version in (4, 6)}
        self._destinations = {version: _addresses([rule.destination for rule in rules], version) for version in (4, 6)}
        services = [rule.services for rule in rules]
        named = {match.protocol for matches in set(services) for match in matches if match.protocol is not None}
        self._services = {protocol: _selectors(services, protocol) for protocol in (*named, OTHER)}
        self._guards = dict(_guards(rules))
        self._guarded = vector(self._guards, len(rules))
        self._zones: dict[tuple[int, int], Vector] = {}
        self._kinds: dict[Kind, Looks] = {}

    def match(self, kind: Kind, source: int, destination: int, selector: int, known: Known | None = None) -> Verdict | None:
        """The first rule that speaks of the flow and decides; None if none does. `selector` is the ICMP type, or the destination port.

        `known`: what domain names stand for; None: nothing.
        """
        found = self._first(self._deciding, kind, source, destination, selector, known)
        return None if found < 0 else self._verdicts[found]

    def hangs(self, kind: Kind, selector: int | None) -> bool:
        """Whether some flow of a kind, with a selector if there is one, may be judged by what domain names stand for at the time."""
        if not self._guards:
            return False
        (in_zones, zones), services, _, _ = self._kinds.get(kind) or self._look(kind)
        left = common(self._guarded, (in_zones, zones))
        return bool(left[0] if selector is None else common(left, services.rules(selector))[0])

    def audited(self, kind: Kind, source: int, destination: int, selector: int, known: Known | None = None) -> Verdict | None:
        """The first rule under audit that would have decided instead of the one that does; None: there is none."""
        if not self._audited[0]:
            return None
        found = self._first(self._audited, kind, source, destination, selector, known)
        decides = self._first(self._deciding, kind, source, destination, selector, known)
        return None if found < 0 or 0 <= decides < found else self._verdicts[found]

    def _first(self, among: Vector, kind: Kind, source: int, destination: int, selector: int, known: Known | None) -> int:
        """The first of some rules that speaks of the flow, -1 if none does."""
        (in_zones, zones), services, sources, destinations = self._kinds.get(kind) or self._look(kind)
        in_sources, from_it = sources.rules(source)
        in_destinations, to_it = destinations.rules(destination)
        in_services, of_it = services.rules(selector)
        in_among, some = among
        places = in_among & in_zones & in_sources & in_destinations & in_services
        while places:
            place = (places & -places).bit_length() - 1
            found = some[place] & zones[place] & from_it[place] & to_it[place] & of_it[place]
            while found:
                number = place * WORD + (found & -found).bit_length() - 1
                if number not in self._guards or self._guards[number].admits(kind[2], source, destination, known):
                    return number
                found &= found - 1
            places &= places - 1
        return -1

    def address_cuts(self, version: int) -> tuple[Sequence[int], Sequence[int]]:
        """The sources, and the destinations, from which on other rules speak."""
        return self._sources[version].cuts(), self._destinations[version].cuts()

    def port_cuts(self) -> Iterator[int]:
        """The ports from which on other rules speak."""
        for protocol in (TCP, UDP):
            if protocol in self._services:
                yield from self._services[protocol].cuts()

    def _look(self, kind: Kind) -> Looks:
        """All protocols that no rule names are remembered as one: which there are is up to whoever sends packets."""
        before, after, version, protocol = kind
        if protocol not in self._services and protocol != OTHER:
            kind = before, after, version, OTHER
        looks = self._kinds.get(kind)
        if looks is None:
            zones = self._zones.get((before, after))
            if zones is None:
                zones = self._zones[before, after] = common(self._from[before], self._to[after])
            looks = self._kinds[kind] = zones, self._services[kind[3]], self._sources[version], self._destinations[version]
        return looks


def _by_zone(words: Sequence[Sequence[str]], zones: Mapping[str, frozenset[int]]) -> dict[int, Vector]:
    """The rules that speak of each zone."""
    of_words: dict[Sequence[str], list[int]] = {}
    for rule, named in enumerate(words):
        of_words.setdefault(named, []).append(rule)
    of_zone: dict[int, list[int]] = {zone: [] for numbers in zones.values() for zone in numbers}
    for named, rules in of_words.items():
        for zone in frozenset().union(*(zones[word] for word in named)):
            of_zone[zone] += rules
    return {zone: vector(rules, len(words)) for zone, rules in of_zone.items()}


def _addresses(networks: Sequence[Sequence[Place]], version: int) -> Dimension:
    """A rule without networks speaks of every address; one with networks of the other version alone, of none. Of one with domain names
    nobody can tell yet.
    """
    reaches = ((rule, network_ranges(nets, version) if nets and not _names(nets) else None) for rule, nets in enumerate(networks))
    return Dimension(reaches, len(networks))


def _names(places: Sequence[Place]) -> tuple[str, ...]:
    """The objects with domain names among places."""
    if Extent not in map(type, places):
        return ()
    return tuple(name for place in places if isinstance(place, Extent) for name in place.names)


def _guards(rules: Sequence[Rule]) -> Iterator[tuple[int, Guard]]:
    for number, rule in enumerate(rules):
        sides = [_names(rule.source), _names(rule.destination)]
        if any(sides):
            lists = zip((rule.source, rule.destination), sides, strict=True)
            yield number, Guard(*(Extent(network_ranges(p, 4), network_ranges(p, 6), False, n) if n else None for p, n in lists))


def _selectors(services: Sequence[Sequence[ServiceMatch]], protocol: int) -> Dimension:
    return Dimension(((rule, _ranges(matches, protocol)) for rule, matches in enumerate(services)), len(services))


def _ranges(services: Sequence[ServiceMatch], protocol: int) -> Ranges | None:
    """The ports or types that a rule's words leave of one protocol; None for all of them."""
    ranges = []
    for service in services:
        if service.protocol is None:
            return None
        if service.protocol == protocol:
            if service.icmp_type is not None:
                ranges.append((service.icmp_type, service.icmp_type))
            elif service.ports is not None:
                ranges.append(service.ports)
            else:
                return None
    return merged(ranges)
