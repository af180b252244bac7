"""Bytes read as decisions: numbers that like to break things, choices, and pieces as they are. An input that ends early means zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

EDGES = (0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 60, 63, 64, 65, 127, 128, 255, 256, 257, 1499, 1500, 4095, 4096, 4097, 9216, 9238,
         0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)  # fmt: skip

T = TypeVar("T")


class Decisions:
    """One input, from its begin to its end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        self._at += count
        return piece.ljust(count, b"\0")

    def rest(self) -> bytes:
        return self.take(max(0, len(self._data) - self._at))

    def byte(self) -> int:
        return self.take(1)[0]

    def word(self, size: int = 4) -> int:
        return int.from_bytes(self.take(size), "little")

    def below(self, limit: int) -> int:
        return (self.byte() if limit <= 256 else self.word(3)) % limit

    def choice(self, of: Sequence[T]) -> T:
        return of[self.below(len(of))]

    def chance(self, of_256: int) -> bool:
        return self.byte() < of_256

    def number(self, size: int = 4) -> int:
        """Small, at an edge, or anything of `size` bytes."""
        kind = self.byte()
        value = kind if kind < 64 else EDGES[kind % len(EDGES)] if kind < 192 else self.word(size)
        return value & (1 << 8 * size) - 1

    def address(self, base: int, size: int) -> int:
        """Mostly inside of a region, and near its ends; also far outside, and where 64 bits end."""
        kind = self.byte()
        match kind & 7:
            case 0 | 1 | 2 | 3:
                return base + (kind >> 3) * 4096 % size
            case 4:
                return base + self.word(3) % size
            case 5:
                return base + size - (kind >> 3)
            case 6:
                return max(0, base - (kind >> 3))
        return self.choice((0, 8, 1 << 32, 0xFFFFFFFFF000, (1 << 64) - 4096, (1 << 64) - 16, self.word(8)))
