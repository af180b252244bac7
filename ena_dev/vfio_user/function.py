"""One card as a PCI function in front of a guest: what the protocol asks for, done on the card, its memory and its vectors.

    regions --> registers, configuration space, the card's memory      interrupts --> eventfds of the card's vectors
    memory --> GuestMemory, while the function may master the bus      resets --> the card's own function reset

The MSI-X table is the client's: the function never sees it, and just signals. The guest may reset the whole machine, the function
alone (FLR), or take bus mastering away; all three end every DMA, and the next driver finds a card that is ready.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from ena_dev.bus.device_memory import DeviceMemory
from ena_dev.bus.guest_memory import GuestMemory
from ena_dev.device.plugged import PluggedCard
from ena_dev.errors import UsageError
from ena_dev.vfio_user.config_space import ConfigSpace
from ena_dev.vfio_user.messages import DmaMap, IrqFlag, IrqInfo, Refused, RegionFlag, RegionInfo, SetIrqs
from ena_dev.vfio_user.regions import BAR0, BAR1, BAR2, SIZES, check, read_registers, write_registers

log = logging.getLogger(__name__)

MSIX, ERROR = 2, 3  # interrupt indexes
BY_EVENTFD: Final = 1
READABLE, WRITABLE = 1, 2


class CardFunction:
    """A plugged card whose memory is a guest's. It outlives its clients: `abandon` makes it ready for the next."""

    def __init__(self, card: PluggedCard, memory: GuestMemory) -> None:
        self._card, self._memory = card, memory
        device_memory = {BAR2: card.device_memory.size} if card.device_memory else {}
        self._sizes = SIZES | device_memory
        self._config = ConfigSpace(len(card.vectors), {BAR0: SIZES[BAR0], BAR1: SIZES[BAR1]}, device_memory)
        self._memory.enable(self._config.bus_master)

    def abandon(self) -> None:
        """The client is gone: end all DMA, forget its memory and its eventfds, and leave it alone with the card's."""
        self.reset()
        self._memory.unmap_all()
        self._renew()
        for vector in self._card.vectors:
            vector.signal(None)

    # memory

    def fileno(self) -> int:
        """A descriptor that becomes readable when the client has taken away memory that it did not unmap."""
        return self._memory.fileno()

    def map(self, request: DmaMap, fd: int | None) -> None:
        if request.flags & ~(READABLE | WRITABLE):
            raise Refused(errno.EINVAL, f"mapping with flags {request.flags:#x}")
        if fd is None:
            self._memory.reserve(request.address, request.size)
        else:
            readable, writable = bool(request.flags & READABLE), bool(request.flags & WRITABLE)
            self._memory.map(request.address, request.size, fd, request.offset, readable=readable, writable=writable)

    def unmap(self, address: int, size: int) -> None:
        self._memory.unmap(address, size)

    def unmap_all(self) -> None:
        self._memory.unmap_all()

    # regions

    def region_info(self, request: RegionInfo) -> RegionInfo:
        if request.argsz < RegionInfo.FORM.size:
            raise Refused(errno.EINVAL, f"room for {request.argsz} bytes of a region's description")
        size = self._sizes.get(request.index, 0)
        flags = RegionFlag.READ | RegionFlag.WRITE if size else RegionFlag(0)
        if request.index == BAR2 and size:
            flags |= RegionFlag.MMAP
        return RegionInfo(RegionInfo.FORM.size, flags, request.index, 0, size, 0)

    def region_file(self, region: int) -> int | None:
        return self._device_memory().fd if region == BAR2 and BAR2 in self._sizes else None

    def _device_memory(self) -> DeviceMemory:
        memory = self._card.device_memory
        if memory is None or memory.fd < 0:
            raise Refused(errno.EIO, "the card has no memory")
        return memory

    def _renew(self) -> None:
        """Other memory for the next client: the last one may have kept what it was lent."""
        if self._card.device_memory is None:
            return
        try:
            self._card.device_memory.renew()
        except OSError as error:  # tried again when the next client is gone
            log.error("no device memory for the next guest: %s", error.strerror)

    def read(self, region: int, offset: int, count: int) -> bytes:
        check(self._sizes, region, offset, count)
        match region:
            case 0:
                return read_registers(self._card.bar, offset, count)
            case 2:
                return self._device_memory().read(offset, count)
            case 7:
                return self._config.read(offset, count)
        return bytes(count)

    def write(self, region: int, offset: int, data: bytes) -> None:
        check(self._sizes, region, offset, len(data))
        match region:
            case 0:
                write_registers(self._card.bar, offset, data)
            case 2:
                self._device_memory().write(offset, data)
            case 7:
                self._configure(offset, data)

    def _configure(self, offset: int, data: bytes) -> None:
        mastered = self._config.bus_master
        if self._config.write(offset, data):
            self.reset()
            return
        if mastered and not self._config.bus_master:
            self._card.device.function_reset()
        self._memory.enable(self._config.bus_master)

    # interrupts

    def irq_info(self, request: IrqInfo) -> IrqInfo:
        count = self._irqs(request.index)
        return IrqInfo(IrqInfo.FORM.size, BY_EVENTFD if count else 0, request.index, count)

    def set_irqs(self, request: SetIrqs, fds: Sequence[int]) -> None:
        kept = list(fds)
        try:
            self._check_irqs(request, kept)
            if request.index == MSIX:
                self._set_vectors(request, kept)
        finally:
            for fd in kept:
                with suppress(OSError):
                    os.close(fd)

    def _irqs(self, index: int) -> int:
        """Of an interrupt index. The error interrupt is only there to be accepted: a card that fails says so in its registers."""
        return {MSIX: len(self._card.vectors), ERROR: 1}.get(index, 0)

    def _check_irqs(self, request: SetIrqs, fds: Sequence[int]) -> None:
        count = self._irqs(request.index)
        if request.start > count or request.count > count - request.start:
            raise Refused(errno.EINVAL, f"interrupts {request.start} to {request.start + request.count} of index {request.index}")
        if request.flags not in (IrqFlag.TRIGGER | IrqFlag.EVENTFD, IrqFlag.TRIGGER | IrqFlag.NONE, IrqFlag.TRIGGER | IrqFlag.BOOL):
            raise Refused(errno.ENOTSUP, f"setting interrupts with flags {request.flags:#x}")
        by_fd, by_bytes = bool(request.flags & IrqFlag.EVENTFD), bool(request.flags & IrqFlag.BOOL)
        if len(fds) not in ((0, request.count) if by_fd else (0,)) or len(request.data) != (request.count if by_bytes else 0):
            raise Refused(errno.EINVAL, f"{request.count} interrupts with {len(fds)} descriptors and {len(request.data)} bytes")

    def _set_vectors(self, request: SetIrqs, fds: list[int]) -> None:
        if request.flags & IrqFlag.EVENTFD:
            for n in range(request.start, request.start + request.count):
                self._signal(n, fds)
        elif request.flags & IrqFlag.NONE and not request.count:
            for vector in self._card.vectors:
                vector.signal(None)
        else:
            for n, wanted in enumerate(request.data or b"\1" * request.count, request.start):
                if wanted:
                    self._card.vectors[n].trigger()

    def _signal(self, n: int, fds: list[int]) -> None:
        """Give the next descriptor to vector `n`; with none left it signals nobody."""
        try:
            self._card.vectors[n].signal(fds[0] if fds else None)
        except UsageError as error:
            raise Refused(errno.EINVAL, str(error)) from error
        del fds[:1]

    # resets

    def reset(self) -> None:
        """Reset the function: registers, queues and configuration space. Its memory and eventfds stay the client's."""
        self._card.device.function_reset()
        self._config.reset()
        self._memory.enable(self._config.bus_master)
