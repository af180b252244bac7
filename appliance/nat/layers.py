"""Ranges of numbers in layers, of which the first wins: ports of doors, sources of entries."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TypeVar

from appliance.ranges import Range, ends

T = TypeVar("T")


def layered(layers: Sequence[tuple[Range, T | None]]) -> tuple[list[int], list[T | None]]:
    """Who has which numbers, if of two ranges that overlap the first given wins: the numbers at which that changes, ascending, and who has
    them from there on. Nobody has those below the first.

    One walk over the ends of all ranges, with those open on a heap: the first given is on top.
    """
    opening = sorted((first, place) for place, ((first, _), _) in enumerate(layers))
    numbers = sorted({end for layer in layers for end in ends(layer[:1])})
    having: list[T | None] = []
    around: list[int] = []
    begun = 0
    for number in numbers:
        while begun < len(opening) and opening[begun][0] <= number:
            heappush(around, opening[begun][1])
            begun += 1
        while around and layers[around[0]][0][1] < number:
            heappop(around)
        having.append(layers[around[0]][1] if around else None)
    return numbers, having


def at(wall: tuple[list[int], list[T | None]], number: int) -> T | None:
    """Who has a number, by what `layered` found."""
    place = bisect_right(wall[0], number)
    return wall[1][place - 1] if place else None
