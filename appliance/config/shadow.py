"""Rules that can never match, because one earlier rule takes every packet they are about. Worth a warning: usually the order is wrong.

Only a single earlier rule counts; rules that share the work of hiding a later one go unnoticed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from appliance.config.errors import quoted
from appliance.config.finding import Finding
from appliance.config.models import Config, Rule
from appliance.config.words import ServiceMatch

MOST_RULES = 1000  # each is compared with all before it: longer policies are judged up to here

Ranges = tuple[tuple[int, int, int], ...]  # (kind, first, last) of one kind of number: sorted, apart from each other
EVERY_ADDRESS: Ranges = ((4, 0, 2**32 - 1), (6, 0, 2**128 - 1))
HIGHEST = 2**128  # above every number in a range
EVERY_SERVICE: Ranges = ((0, 0, 0),)  # kinds are protocols here, numbers ports or ICMP types


@dataclass(frozen=True, slots=True)
class _Reach:
    """Everything a rule is about."""

    from_zones: frozenset[str]
    to_zones: frozenset[str]
    source: Ranges
    destination: Ranges
    services: Ranges

    def takes(self, other: _Reach) -> bool:
        return (
            self.from_zones >= other.from_zones
            and self.to_zones >= other.to_zones
            and (self.services == EVERY_SERVICE or _inside(other.services, self.services))
            and _inside(other.source, self.source)
            and _inside(other.destination, self.destination)
        )


def check(config: Config) -> Iterator[Finding]:
    """A warning for each rule that an earlier one hides."""
    nic_zones = frozenset(config.zones)
    reaches: list[tuple[Rule, _Reach]] = []
    for index, rule in enumerate(config.policy[:MOST_RULES]):
        reach = _reach(rule, nic_zones)
        hides = next((earlier for earlier, taken in reaches if taken.takes(reach)), None)
        if hides is not None:
            where = f" on line {hides.line}" if hides.line else ""
            hint = f"move it above {quoted(hides.name)}{where}, which already takes all of it, or remove it"
            yield Finding(("policy", index), "can never match", hint, quoted(rule.name), warning=True)
        reaches.append((rule, reach))


def _reach(rule: Rule, nic_zones: frozenset[str]) -> _Reach:
    def zones(words: Sequence[str]) -> frozenset[str]:
        return frozenset(words) - {"any"} | (nic_zones if "any" in words else frozenset())

    sources, destinations = _addresses(rule.source), _addresses(rule.destination)
    return _Reach(zones(rule.from_zones), zones(rule.to_zones), sources, destinations, _services(rule.services))


def _addresses(networks: Sequence[IPv4Network | IPv6Network]) -> Ranges:
    if not networks:
        return EVERY_ADDRESS
    return _merged((net.version, int(net.network_address), int(net.broadcast_address)) for net in networks)


def _services(matches: Sequence[ServiceMatch]) -> Ranges:
    ranges = []
    for match in matches:
        if match.protocol is None:
            return EVERY_SERVICE
        first, last = match.ports or (0, 65535)
        if match.icmp_type is not None:
            first = last = match.icmp_type
        ranges.append((match.protocol, first, last))
    return _merged(ranges)


def _merged(ranges: Iterable[tuple[int, int, int]]) -> Ranges:
    merged: list[tuple[int, int, int]] = []
    for kind, first, last in sorted(ranges):
        if merged and merged[-1][0] == kind and first <= merged[-1][2] + 1:
            merged[-1] = (kind, merged[-1][1], max(last, merged[-1][2]))
        else:
            merged.append((kind, first, last))
    return tuple(merged)


def _inside(small: Ranges, large: Ranges) -> bool:
    for kind, first, last in small:
        place = bisect_right(large, (kind, first, HIGHEST)) - 1
        if place < 0 or large[place][0] != kind or large[place][2] < last:
            return False
    return True
