"""The regions of a card: BAR 0 with its registers, BAR 1 with the MSI-X table, BAR 2 with its memory, configuration space.

Registers are 32 bits wide. Wider accesses are made of them in rising order; reads of less are cut out of them; writes of less, and
those off a boundary, mean nothing to any register and change nothing. Device memory takes accesses of any size, and can be mapped.
Source: ENA interface, BARs; vfio-user protocol, region access.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from ena_dev.bus.mmio import RegisterBar
from ena_dev.vfio_user.config_space import SIZE
from ena_dev.vfio_user.messages import Refused

BAR0, BAR1, BAR2, CONFIG = 0, 1, 2, 7
SIZES: Final = {BAR0: 0x4000, BAR1: 0x2000, CONFIG: SIZE}
"""Bytes of each region that every card has."""
WORD: Final = 4


def check(sizes: Mapping[int, int], region: int, offset: int, count: int) -> None:
    """Raises Refused unless the region is there and holds all of the access. `sizes`: bytes by region."""
    size = sizes.get(region, 0)
    if not (0 <= count <= size and 0 <= offset <= size - count):
        raise Refused(errno.EINVAL, f"region {region} has no {count} bytes at {offset:#x}")


def read_registers(bar: RegisterBar, offset: int, count: int) -> bytes:
    """`count` bytes of BAR 0, checked."""
    first = offset & -WORD
    words = (bar.read(at) & 0xFFFFFFFF for at in range(first, offset + count, WORD))
    data = b"".join(word.to_bytes(WORD, "little") for word in words)
    return data[offset - first : offset - first + count]


def write_registers(bar: RegisterBar, offset: int, data: bytes) -> None:
    """Write to BAR 0, checked."""
    if offset % WORD or len(data) % WORD:
        return
    for at in range(0, len(data), WORD):
        bar.write(offset + at, int.from_bytes(data[at : at + WORD], "little"))
