"""Source translation: which flows leave under another address, and under which. Of two entries that speak of a flow the first wins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from appliance.config.models import Masquerade, Netmap, Nptv6, OneToOne, Snat
from appliance.nat.layers import at, layered
from appliance.nat.mapping import Static
from appliance.nat.pool import SourcePool
from appliance.policy.rules import Verdict
from appliance.ranges import BEYOND, Range, network_ranges

EVERY_ADDRESS: Final[Range] = (0, BEYOND)


class Source(NamedTuple):
    """How the sources of flows change. Without a `pool` they become the egress nic's own address."""

    name: str
    pool: SourcePool | None = None
    static: Static | None = None
    binds: bool = False  # all flows of an inside address and port leave under one outside address and port
    admits: str = ""  # who may send to that, in the words of the file
    rule: Verdict | None = None  # of flows that are let in so
    outer: int = -1  # the number of a zone that it leads to
    draws: bool = False  # source ports are random


class Outside(NamedTuple):
    """What one flow's source becomes."""

    address: int | None  # None: there is none
    keeps_port: bool = False  # below 1024, too: the address is nobody's own
    pool: SourcePool | None = None
    alone: bool = False  # others of its class have other addresses
    entry: Source | None = None


Translation = Masquerade | Snat | OneToOne | Netmap | Nptv6
Place = tuple[int, int, int]
"""(zone that a flow comes from, zone that it goes to, version)."""


class Sources:
    """All entries that change sources, by the zones and the version they speak of.

    `pools` are those of snat entries, by name and version; `statics` static entries by name.
    """

    __slots__ = ("_walls", "binding")

    def __init__(
        self, entries: Iterable[Translation], zones: Mapping[str, frozenset[int]], pools: Mapping[tuple[str, int], SourcePool],
        statics: Mapping[str, Static] | None = None,
    ) -> None:  # fmt: skip
        layers: dict[Place, list[tuple[Range, Source]]] = {}
        for entry in entries:
            if not isinstance(entry, Masquerade | Snat):
                static = (statics or {})[entry.name]
                for zone in zones["any"] - {static.zone}:
                    layers.setdefault((zone, static.zone, static.version), []).append((static.inside, Source(entry.name, static=static)))
                continue
            pairs = {(a, b) for before in entry.from_zones for a in zones[before] for after in entry.to_zones for b in zones[after]}
            outer = min((after for _, after in pairs), default=-1)
            for version, source in _by_version(entry, pools, outer):
                own = [(each, source) for each in network_ranges(entry.source, version)]
                for from_zone, to_zone in pairs:
                    layers.setdefault((from_zone, to_zone, version), []).extend(own if entry.source else [(EVERY_ADDRESS, source)])
        self._walls = {place: layered(listed) for place, listed in layers.items()}
        self.binding = {source.name: source for listed in layers.values() for _, source in listed if source is not None and source.binds}
        """The entries that bind, by name."""

    def find(self, from_zone: int, to_zone: int, version: int, source: int) -> Source | None:
        """What hides a flow from this source; None: it leaves as it is."""
        wall = self._walls.get((from_zone, to_zone, version))
        return None if wall is None else at(wall, source)

    def cuts(self, version: int) -> Iterator[int]:
        """The sources from which on flows may leave under another address."""
        for (_, _, of_version), (numbers, _) in self._walls.items():
            if of_version == version:
                yield from numbers


def _by_version(entry: Masquerade | Snat, pools: Mapping[tuple[str, int], SourcePool], outer: int) -> Iterator[tuple[int, Source]]:
    binds, draws = entry.mapping == "endpoint-independent", entry.ports == "random"
    source = Source(entry.name, None, None, binds, entry.filtering, let_in(entry), outer, draws)
    if isinstance(entry, Masquerade):
        yield entry.family, source
        return
    for version in (4, 6):
        if entry.size(version):
            yield version, source._replace(pool=pools[entry.name, version])


def let_in(entry: Masquerade | Snat) -> Verdict | None:
    """The rule of flows that come in at what an entry binds; None if none do."""
    if entry.mapping != "endpoint-independent" or entry.filtering == "address-and-port-dependent":
        return None
    return Verdict(True, f"{entry.kind} {entry.name}", entry.line)


def source_pools(entries: Iterable[Translation], secret: bytes) -> dict[tuple[str, int], SourcePool]:
    """The pools of all snat entries, numbered in their order."""
    pools: dict[tuple[str, int], SourcePool] = {}
    for entry in entries:
        for version in (4, 6):
            if isinstance(entry, Snat) and entry.size(version):
                ranges = [(int(first), int(last)) for first, last in entry.pool if first.version == version]
                pools[entry.name, version] = SourcePool(len(pools), version, ranges, secret)
    return pools
