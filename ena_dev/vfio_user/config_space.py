"""PCI configuration space: 4096 bytes, and what a write to them may change.

    0x000 header         1d0f:ec20, Ethernet, BARs, bus master
    0x070 PCI Express    endpoint, can be reset alone (FLR)
    0x0b0 MSI-X          table and pending bits in BAR 1
    0x100 extended       empty

A write changes the bits that `MASK` allows and no others. QEMU answers the guest's reads of BARs and MSI-X from a copy of its own.
Source: PCI Express base specification, configuration space; ENA interface, PCI identity.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ena_dev.vfio_user.messages import Refused

SIZE: Final = 4096
VENDOR, DEVICE = 0x1D0F, 0xEC20
COMMAND, BARS, INTERRUPT_LINE = 0x04, 0x10, 0x3C
BUS_MASTER: Final = 0x0004
COMMAND_MASK: Final = 0x0546  # memory decode, bus master, parity, SERR, INTx off
PREFETCHABLE_64: Final = 0xC  # type bits of a BAR
EXPRESS, MSIX = 0x70, 0xB0
DEVICE_CONTROL = EXPRESS + 8
INITIATE_FLR: Final = 0x8000
FLR_CAPABLE, ROLE_BASED_ERRORS = 1 << 28, 1 << 15
MSIX_CONTROL = MSIX + 2
MSIX_BAR, PENDING_OFFSET = 1, 0x1000  # the table begins at 0
MOST_VECTORS: Final = 0x800


class ConfigSpace:
    """One function's configuration space.

    `bars`: sizes in bytes by number, powers of two, 32-bit memory. `prefetchable`: the same of 64-bit memory, which takes the number
    after it too.
    """

    def __init__(self, vectors: int, bars: Mapping[int, int], prefetchable: Mapping[int, int] = MappingProxyType({})) -> None:
        self._bytes, self._mask = bytearray(SIZE), bytearray(SIZE)
        self._header(bars, prefetchable)
        self._express()
        self._msix(vectors)
        self._initial = bytes(self._bytes)

    def read(self, offset: int, count: int) -> bytes:
        """Raises Refused outside the space."""
        self._check(offset, count)
        return bytes(self._bytes[offset : offset + count])

    def write(self, offset: int, data: bytes) -> bool:
        """Change what may be changed. True: the function is to be reset. Raises Refused outside the space."""
        self._check(offset, len(data))
        for at, value in enumerate(data, offset):
            self._bytes[at] = self._bytes[at] & ~self._mask[at] | value & self._mask[at]
        at = DEVICE_CONTROL + 1 - offset
        return 0 <= at < len(data) and bool(data[at] & INITIATE_FLR >> 8)

    def reset(self) -> None:
        """As it was at the beginning. The client puts back what the guest had set."""
        self._bytes[:] = self._initial

    @property
    def bus_master(self) -> bool:
        """Whether the function may reach memory and send interrupts."""
        return bool(self._bytes[COMMAND] & BUS_MASTER)

    def _check(self, offset: int, count: int) -> None:
        if not (0 <= count <= SIZE and 0 <= offset <= SIZE - count):
            raise Refused(errno.EINVAL, f"configuration space has no {count} bytes at {offset:#x}")

    def _put(self, form: str, offset: int, *values: int) -> None:
        struct.pack_into("<" + form, self._bytes, offset, *values)

    def _allow(self, form: str, offset: int, *masks: int) -> None:
        struct.pack_into("<" + form, self._mask, offset, *masks)

    def _header(self, bars: Mapping[int, int], prefetchable: Mapping[int, int]) -> None:
        self._put("HHHH", 0x00, VENDOR, DEVICE, 0, 0x0010)  # status: has capabilities
        self._put("I", 0x08, 0x020000 << 8)  # class Ethernet, revision 0: registers are read through memory
        self._put("HH", 0x2C, VENDOR, DEVICE)  # subsystem
        self._put("B", 0x34, EXPRESS)  # first capability; no interrupt pin
        self._allow("H", COMMAND, COMMAND_MASK)
        self._allow("B", 0x0C, 0xFF)  # cache line size
        self._allow("B", INTERRUPT_LINE, 0xFF)
        for bar, size in bars.items():
            self._allow("I", BARS + 4 * bar, ~(size - 1) & 0xFFFFFFF0)
        for bar, size in prefetchable.items():
            self._put("Q", BARS + 4 * bar, PREFETCHABLE_64)
            self._allow("Q", BARS + 4 * bar, ~(size - 1) & 0xFFFFFFFFFFFFFFF0)

    def _express(self) -> None:
        self._put("BBH", EXPRESS, 0x10, MSIX, 0x0002)  # version 2, endpoint
        self._put("I", EXPRESS + 4, FLR_CAPABLE | ROLE_BASED_ERRORS)
        self._put("IHH", EXPRESS + 0x0C, 0x11, 0, 0x11)  # link: 2.5 GT/s, one lane
        self._allow("H", DEVICE_CONTROL, 0x7FFF)
        self._allow("H", EXPRESS + 0x10, 0x00C3)

    def _msix(self, vectors: int) -> None:
        self._put("BBHII", MSIX, 0x11, 0, vectors - 1, MSIX_BAR, PENDING_OFFSET | MSIX_BAR)
        self._allow("H", MSIX_CONTROL, 0xC000)  # enable, mask all
