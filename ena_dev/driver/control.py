"""The control side of one card: registers, admin queue, events, and vector 0 that tells of both.

    start()   reset, checks, rings told, polling, who we are        the contract's probe, steps 2 to 8
    open()    vector 0 installed, unmasked, events allowed          steps 23 to 25
    reset()   take all that back, reset the card                    self-healing

Source: ENA interface, Probe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from ena_dev.abi.events import RawEvent
from ena_dev.abi.features import FeatureId, HostAttributes, HwHints
from ena_dev.abi.record import BusAddress
from ena_dev.abi.registers import InterruptMask, Register, ResetReason
from ena_dev.bus.interrupts import MsixVector
from ena_dev.bus.memory import Memory
from ena_dev.bus.mmio import RegisterBar
from ena_dev.driver.admin import AdminQueue
from ena_dev.driver.aenq import EventQueue
from ena_dev.driver.commands import Commands
from ena_dev.driver.handshake import check_versions, require_ready, reset_card
from ena_dev.driver.host_info import PAGE_SIZE, host_info
from ena_dev.driver.registers import READ_TIMEOUT, Registers
from ena_dev.errors import AdminError


class ControlPlane:
    """Host memory for rings and pages is held from here to `close`."""

    def __init__(
        self,
        memory: Memory,
        bar: RegisterBar,
        vector: MsixVector,
        handlers: Mapping[int, Callable[[RawEvent], None]],
        *,
        readless: bool = False,
    ) -> None:
        self._memory, self._vector = memory, vector
        self.registers = Registers(bar, memory, readless=readless)
        self.admin = AdminQueue(memory, self.registers)
        self.commands = Commands(memory, self.admin)
        self.events = EventQueue(memory, self.registers, handlers)
        self._host_info = memory.allocate(PAGE_SIZE)
        self._installed: int | None = None  # descriptor of vector 0

    async def start(self) -> None:
        """From a card in any state to an admin queue that is polled. Raises DeviceError."""
        self.registers.announce_response()
        admin_timeout = await reset_card(self.registers, ResetReason.NORMAL, extended=False)
        await check_versions(self.registers)
        await require_ready(self.registers)
        self.admin.start(admin_timeout)
        self.events.start()
        self.registers.write(Register.INTR_MASK, InterruptMask.of(masked=1))
        self._memory.write(self._host_info, bytes(host_info()))
        with suppress(AdminError):  # a card that does not care who we are is fine
            await self.commands.set(FeatureId.HOST_ATTR_CONFIG, HostAttributes(host_info=BusAddress.of(self._host_info)))

    def open(self) -> None:
        """From here on vector 0 tells of completions and events."""
        self._installed = self._vector.eventfd_sink()
        asyncio.get_running_loop().add_reader(self._installed, self._interrupted)
        self.admin.use_interrupts()
        self.registers.write(Register.INTR_MASK, InterruptMask.of(masked=0))
        self.events.open()

    def take_hints(self, hints: HwHints) -> None:
        """The card knows its own pace; 0 keeps ours."""
        self.admin.timeout = hints.admin_completion_timeout / 1000 or self.admin.timeout
        self.registers.read_timeout = hints.mmio_read_timeout / 1000 or READ_TIMEOUT

    async def reset(self, reason: ResetReason, *, extended: bool, stopped: Callable[[], None] | None = None) -> None:
        """The handshake alone, with the reason; commands in flight fail. Arguments and errors are those of `reset_card`."""
        if self._installed is not None:
            asyncio.get_running_loop().remove_reader(self._installed)
            self._installed = None
        self.admin.stop()
        await reset_card(self.registers, reason, extended=extended, stopped=stopped)

    def close(self) -> None:
        """Free all memory. The card has been reset and touches none of it."""
        for part in (self.registers, self.admin, self.events, self.commands):
            part.close()
        self._memory.free(self._host_info)

    def _interrupted(self) -> None:
        self._vector.drain()
        self.admin.poll()
        self.events.poll()
