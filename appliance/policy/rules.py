"""The ordered rules of the policy, compiled to rows of integers: first match wins.

A flow is judged by the few rows that could speak of it: those of its (from zone, to zone, version, protocol). Each such list is made when
its first flow comes, since a configuration of many zones has far more of them than its traffic ever asks for.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from appliance.config.models import Rule, ServiceMatch
from appliance.policy.match import Nets, nets_of

Ranges = tuple[tuple[int, int], ...]
"""Lowest and highest destination port, or ICMP type, both included. Empty matches all."""


class Verdict(NamedTuple):
    """What a rule says."""

    allow: bool
    name: str
    line: int


Kind = tuple[int, int, int, int]
"""(from zone, to zone, version, protocol)."""

OTHER: Final = -1
"""All protocols that no rule names: they share a list."""

Row = tuple[Nets, Nets, Ranges, Verdict]
"""(sources, destinations, ports or types, verdict)."""


class _Scoped(NamedTuple):
    """A rule with its zones resolved to numbers."""

    rule: Rule
    from_zones: frozenset[int]
    to_zones: frozenset[int]
    protocols: frozenset[int | None]
    verdict: Verdict


class Policy:
    """All rules. Zones are numbers here; `zones` resolves a rule's word to them."""

    __slots__ = ("_named", "_rows", "_rules")

    def __init__(self, rules: Sequence[Rule], zones: Mapping[str, frozenset[int]]) -> None:
        self._rules = [_scope(rule, zones) for rule in rules]
        self._named = frozenset(protocol for scoped in self._rules for protocol in scoped.protocols if protocol is not None)
        self._rows: dict[Kind, tuple[Row, ...]] = {}

    def match(self, kind: Kind, source: int, destination: int, selector: int) -> Verdict | None:
        """The first rule that speaks of the flow; None if none does. `selector` is the ICMP type, or the destination port."""
        rows = self._rows.get(kind)
        if rows is None:
            rows = self._rows[kind] = self._list(kind)
        for sources, destinations, ranges, verdict in rows:
            # Loops instead of any(): a generator costs more than the comparison it wraps.
            for mask, net in sources:
                if source & mask == net:
                    break
            else:
                if sources:
                    continue
            for mask, net in destinations:
                if destination & mask == net:
                    break
            else:
                if destinations:
                    continue
            for low, high in ranges:
                if low <= selector <= high:
                    return verdict
            if not ranges:
                return verdict
        return None

    def _list(self, kind: Kind) -> tuple[Row, ...]:
        from_zone, to_zone, version, protocol = kind
        if protocol not in self._named and protocol != OTHER:
            other = (from_zone, to_zone, version, OTHER)
            if other not in self._rows:
                self._rows[other] = self._list(other)
            return self._rows[other]
        rows = []
        for scoped in self._rules:
            if from_zone in scoped.from_zones and to_zone in scoped.to_zones and not scoped.protocols.isdisjoint((protocol, None)):
                sources, destinations = nets_of(scoped.rule.source, version), nets_of(scoped.rule.destination, version)
                if sources is not None and destinations is not None:
                    rows.append((sources, destinations, _ranges(scoped.rule.services, protocol), scoped.verdict))
        return tuple(rows)


def _scope(rule: Rule, zones: Mapping[str, frozenset[int]]) -> _Scoped:
    return _Scoped(
        rule,
        frozenset().union(*(zones[word] for word in rule.from_zones)),
        frozenset().union(*(zones[word] for word in rule.to_zones)),
        frozenset(service.protocol for service in rule.services),
        Verdict(rule.verdict == "allow", rule.name, rule.line),
    )


def _ranges(services: Sequence[ServiceMatch], protocol: int) -> Ranges:
    """What a rule's words for one protocol leave of its ports or types."""
    ranges = []
    for service in services:
        if service.protocol is None:
            return ()
        if service.protocol == protocol:
            if service.icmp_type is not None:
                ranges.append((service.icmp_type, service.icmp_type))
            elif service.ports is not None:
                ranges.append(service.ports)
            else:
                return ()
    return tuple(ranges)
