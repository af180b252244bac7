"""Pools of outside addresses: which of them an inside address leaves under, always the same one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from appliance.flow.megaflow import source_hash
from appliance.ranges import Range, Ranges, holds, merged

MOST: Final = 65536
"""Addresses of a pool: the data thread numbers them in 16 bits."""


class SourcePool:
    """The addresses of one IP version that a `snat` entry has. An inside address keeps its outside address as long as the pool stays.

    `number`: its place among all pools. `secret`: 16 bytes, so that nobody outside knows who shares an address.
    Source: RFC 4787, section 4.1, REQ-2 (paired address pooling).
    """

    __slots__ = ("_before", "number", "ranges", "secret", "size", "version")

    def __init__(self, number: int, version: int, ranges: Iterable[Range], secret: bytes) -> None:
        self.number, self.version, self.secret = number, version, secret
        self.ranges: Ranges = merged(ranges)
        sizes = [last - first + 1 for first, last in self.ranges]
        self._before = [0, *accumulate(sizes)]
        self.size = self._before[-1]

    def address(self, source: int) -> int:
        """The outside address of an inside one."""
        return self.at(source_hash(self.secret, self.version, source) % self.size)

    def at(self, place: int) -> int:
        """The address at a place of the pool, from 0."""
        number = bisect_right(self._before, place) - 1
        return self.ranges[number][0] + place - self._before[number]

    def place(self, address: int) -> int | None:
        """The place of an address in the pool; None if it isn't one of its."""
        if not holds(self.ranges, address):
            return None
        number = next(n for n, (first, last) in enumerate(self.ranges) if first <= address <= last)
        return self._before[number] + address - self.ranges[number][0]
