"""Static translation, the same both ways: one address for another (`one-to-one`), a prefix for a prefix (`netmap`, `nptv6`).

    inside 10.1.2.3 --to the zone outside--> source 10.99.2.3        netmap: the host's bits stay
    10.99.2.3 from outside ----------------> destination 10.1.2.3

NPTv6 changes one more word, so that no checksum does: the address words of both add up to the same. Source: RFC 6296, sections 3.1 to 3.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from appliance.config.models import Netmap, Nptv6, OneToOne
from appliance.nat.layers import at, layered
from appliance.ranges import Range, Ranges, merged, network_range

ALL_ONES: Final = 0xFFFF
SUBNET: Final = 3
"""The word behind a prefix of 48 bits, of eight."""


class Static(NamedTuple):
    """One entry: ranges of the same size. `word_added` is what NPTv6 adds to a word, None for others."""

    name: str
    zone: int  # the number of the zone outside
    version: int
    outside: Range
    inside: Range
    hairpin: bool
    word_added: int | None = None
    prefix: int = 0  # its length, for NPTv6

    @property
    def single(self) -> bool:
        """Whether it is about one address."""
        return self.outside[0] == self.outside[1]

    def out(self, inside: int) -> int | None:
        """The outside address of an inside one; None if it has none."""
        address = self.outside[0] + inside - self.inside[0]
        return address if self.word_added is None else self._moved(address, self.word_added)

    def into(self, outside: int) -> int | None:
        """The inside address of an outside one; None if it has none."""
        address = self.inside[0] + outside - self.outside[0]
        return address if self.word_added is None else self._moved(address, ALL_ONES - self.word_added)

    def _moved(self, address: int, added: int) -> int | None:
        """With a number added to one word: that of the subnet, or with longer prefixes the first behind 64 bits that isn't all ones."""
        for place in (SUBNET,) if self.prefix <= 48 else (4, 5, 6, 7):
            shift = 112 - 16 * place
            word = address >> shift & ALL_ONES
            if word != ALL_ONES:
                return address + ((word + added) % ALL_ONES - word << shift)
        return None


class Statics:
    """All static entries, by the zones from which their outside addresses may be reached. Of two that overlap the first wins."""

    __slots__ = ("_walls", "entries")

    def __init__(self, entries: Sequence[Static], zones: Iterable[int], own: Iterable[tuple[int, int]]) -> None:
        """`own`: the nics' (version, address) pairs, which stay the appliance's whatever is around them."""
        self.entries = entries
        numbers = tuple(zones)
        kept: dict[int, list[tuple[Range, Static | None]]] = {4: [], 6: []}
        for version, address in own:
            kept[version].append(((address, address), None))
        layers: dict[tuple[int, int], list[tuple[Range, Static | None]]] = {}
        for entry in entries:
            for zone in numbers if entry.hairpin else (entry.zone,):
                layers.setdefault((zone, entry.version), kept[entry.version].copy()).append((entry.outside, entry))
        self._walls = {place: layered(listed) for place, listed in layers.items()}

    def find(self, zone: int, version: int, destination: int) -> Static | None:
        """Whose outside address a flow from `zone` goes to."""
        wall = self._walls.get((zone, version))
        return None if wall is None else at(wall, destination)

    def ranges(self, version: int, single: bool) -> Ranges:
        """The outside addresses: of entries about one address, or of the others."""
        return merged(entry.outside for entry in self.entries if entry.version == version and entry.single is single)


def static_of(entry: OneToOne | Netmap | Nptv6, zones: Mapping[str, frozenset[int]]) -> Static:
    """An entry of the file, compiled."""
    outside, inside = entry.networks
    (zone,) = zones[entry.zone]
    ranges = network_range(outside), network_range(inside)
    added = None
    if isinstance(entry, Nptv6):
        added = (_sum(ranges[1][0]) - _sum(ranges[0][0])) % ALL_ONES
    return Static(entry.name, zone, outside.version, *ranges, entry.hairpin, added, outside.prefixlen)


def _sum(address: int) -> int:
    return sum(address >> shift & ALL_ONES for shift in range(0, 128, 16))
