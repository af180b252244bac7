"""Masquerade: which flows leave under the egress nic's own address."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from appliance.config.models import Masquerade
from appliance.ranges import BEYOND, Range, Ranges, ends, holds, merged, network_range

EVERY_ADDRESS: Final[Range] = (0, BEYOND)


class Masquerades:
    """All masquerade entries, by the zones and the version they speak of."""

    __slots__ = ("_sources",)

    def __init__(self, entries: Iterable[Masquerade], zones: Mapping[str, frozenset[int]]) -> None:
        sources: dict[tuple[int, int, int], list[Range]] = {}
        for entry in entries:
            own = [network_range(net) for net in entry.source if net.version == entry.family] if entry.source else [EVERY_ADDRESS]
            pairs = {(a, b) for before in entry.from_zones for a in zones[before] for after in entry.to_zones for b in zones[after]}
            for from_zone, to_zone in pairs:
                sources.setdefault((from_zone, to_zone, entry.family), []).extend(own)
        self._sources: dict[tuple[int, int, int], Ranges] = {place: merged(ranges) for place, ranges in sources.items()}

    def applies(self, from_zone: int, to_zone: int, version: int, source: int) -> bool:
        """Whether a flow from this source hides behind the appliance."""
        return holds(self._sources.get((from_zone, to_zone, version), ()), source)

    def cuts(self, version: int) -> Iterator[int]:
        """The sources from which on other flows may hide."""
        for (_, _, of_version), ranges in self._sources.items():
            if of_version == version:
                yield from ends(ranges)
