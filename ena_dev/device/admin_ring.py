"""Base and size of an admin ring as the driver programs them, and the slot arithmetic that follows.

No register is the last one: a ring counts as configured once it has a base and a usable size, and starts over at each write of
its size. A size of 0 stops it.
Source: ENA interface, Order of admin-register programming.
"""

from __future__ import annotations

from dataclasses import dataclass

from ena_dev.abi.admin import ENTRY_SIZE
from ena_dev.abi.registers import RingCaps

HIGH_BITS = 0xFFFF  # of a 48-bit address


@dataclass(slots=True)
class AdminRing:
    """AQ, ACQ or AENQ. `index` runs free in 16 bits."""

    low: int = 0
    high: int = 0
    depth: int = 0  # entries; 0 while stopped
    index: int = 0

    def set_caps(self, value: int) -> None:
        """Start over with a new size; anything but a power of two of 64-byte entries stops the ring."""
        caps = RingCaps(value)
        usable = caps.entry_size == ENTRY_SIZE and caps.depth & (caps.depth - 1) == 0
        self.depth = caps.depth if usable else 0
        self.index = 0

    def reset(self) -> None:
        self.low = self.high = self.depth = self.index = 0

    @property
    def base(self) -> int:
        return (self.high & HIGH_BITS) << 32 | self.low

    @property
    def configured(self) -> bool:
        return self.depth > 0 and self.base > 0

    @property
    def address(self) -> int:
        """Of the slot at `index`."""
        return self.base + (self.index & (self.depth - 1)) * ENTRY_SIZE

    @property
    def phase(self) -> int:
        """Of the lap that `index` is in: 1 first, then alternating."""
        return 0 if self.index & self.depth else 1

    def advance(self) -> None:
        self.index = (self.index + 1) & 0xFFFF
