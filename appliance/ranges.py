"""Ranges of numbers: addresses, ports, ICMP types. Both ends are included."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from itertools import islice
from operator import le
from typing import Final, NamedTuple

from ena_dev.errors import UsageError

Range = tuple[int, int]
Ranges = tuple[Range, ...]
"""Sorted, and apart from each other: what `merged` makes."""

BEYOND: Final = 1 << 160
"""Above every number in a range."""
PIECE: Final = 8192
"""Ranges that are sorted at once."""


class Span(NamedTuple):
    """The addresses of one IP version from the first to the last."""

    version: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Extent:
    """All addresses that something stands for, of both IP versions."""

    four: Ranges
    six: Ranges
    sure: bool = True
    """Whether that is all of it: False while some of it isn't known."""
    names: tuple[str, ...] = ()
    """Objects whose addresses are those of domain names, and are in it, too."""

    def ranges(self, version: int) -> Ranges:
        """Those of one version."""
        return self.four if version == 4 else self.six


def network_range(network: IPv4Network | IPv6Network | Span) -> Range:
    """The first and the last address of a network, or of a range."""
    if isinstance(network, Span):
        return network.first, network.last
    first = int(network.network_address)
    return first, first + (1 << (network.max_prefixlen - network.prefixlen)) - 1


def network_ranges(places: Sequence[object], version: int) -> Ranges:
    """The addresses of one IP version in networks, spans and extents. Raises UsageError for a name: only `resolve` knows what it means."""
    ranges: list[Range] = []
    for place in places:
        if isinstance(place, IPv4Network | IPv6Network | Span):
            if place.version == version:
                ranges.append(network_range(place))
        elif not isinstance(place, Extent):
            raise UsageError(f"{place} is no address yet: the configuration has to be resolved")
        elif len(places) == 1:
            return place.ranges(version)  # maybe very many, and as they should be
        else:
            ranges += place.ranges(version)
    return merged(ranges) if len(ranges) > 1 else tuple(ranges)


def merged(ranges: Iterable[Range]) -> Ranges:
    """The same numbers by the fewest ranges."""
    ascending = ordered(list(ranges))
    if len(ascending) < 2:
        return tuple(ascending)
    found: list[Range] = []
    for first, last in ascending:
        if found and first <= found[-1][1] + 1:
            if last > found[-1][1]:
                found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return tuple(found)


def ordered(ranges: list[Range]) -> list[Range]:
    """Sorted. Of very many, a piece at a time: sorting is one step of the interpreter, for which all other threads wait."""
    if len(ranges) <= PIECE or all(map(le, ranges, islice(ranges, 1, None))):
        return sorted(ranges)
    borders = sorted(ranges[:: PIECE // 16])
    pieces: list[list[Range]] = [[] for _ in range(len(borders) + 1)]
    for each in ranges:
        pieces[bisect_right(borders, each)].append(each)
    return [each for piece in pieces for each in sorted(piece)]


def ends(ranges: Iterable[Range]) -> Iterator[int]:
    """The numbers from which on another set of the ranges has them: the first of each, and the first behind it."""
    for first, last in ranges:
        yield first
        yield last + 1


def holds(ranges: Ranges, number: int) -> bool:
    """Whether one of the ranges has the number."""
    return covers(ranges, ((number, number),))


def covers(large: Ranges, small: Iterable[Range]) -> bool:
    """Whether every number in `small` is in `large`."""
    for first, last in small:
        place = bisect_right(large, (first, BEYOND)) - 1
        if place < 0 or large[place][1] < last:
            return False
    return True
