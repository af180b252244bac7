"""Masquerade: which flows leave under the egress nic's own address."""

from collections.abc import Iterable, Mapping

from appliance.config.models import Masquerade
from appliance.policy.match import Nets, matches, nets_of


class Masquerades:
    """All masquerade entries, by the zones and the version they speak of."""

    __slots__ = ("_sources",)

    def __init__(self, entries: Iterable[Masquerade], zones: Mapping[str, frozenset[int]]) -> None:
        self._sources: dict[tuple[int, int, int], list[Nets]] = {}
        for entry in entries:
            nets = nets_of(entry.source, entry.family)
            if nets is not None:
                pairs = {(a, b) for before in entry.from_zones for a in zones[before] for after in entry.to_zones for b in zones[after]}
                for from_zone, to_zone in pairs:
                    self._sources.setdefault((from_zone, to_zone, entry.family), []).append(nets)

    def applies(self, from_zone: int, to_zone: int, version: int, source: int) -> bool:
        """Whether a flow from this source hides behind the appliance."""
        return any(matches(nets, source) for nets in self._sources.get((from_zone, to_zone, version), ()))
