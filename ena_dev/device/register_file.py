"""The control registers: each read and write named once, and handed to the part it belongs to.

Reads and writes of offsets nobody owns do nothing (a read yields 0), as on the card. Both ways of reading work in every state:
directly, and readless, where the answer is in the driver's memory before the write that asked for it returns; so is the clock's.
Source: ENA interface, Register file; Readless register reads.
"""

from __future__ import annotations

import logging
from typing import Protocol

from ena_dev.abi.registers import DeviceControl, DeviceStatus, InterruptMask, ReadRequest, ReadResponse, Register
from ena_dev.device.admin_queue import AdminQueue
from ena_dev.device.aenq import Aenq
from ena_dev.device.interfaces import Memory
from ena_dev.device.interrupt_gate import InterruptGate
from ena_dev.device.personality import Personality
from ena_dev.device.phc import Phc
from ena_dev.errors import BusError

log = logging.getLogger(__name__)


class Card(Protocol):
    """What the registers tell the card, and ask it."""

    @property
    def status(self) -> DeviceStatus: ...

    def control(self, value: DeviceControl) -> None:
        """DEV_CTL was written."""

    def work(self) -> None:
        """There may be something to poll for."""


class RegisterFile:
    """Page 0 of BAR 0. No write raises, whatever its offset and value."""

    def __init__(
        self, card: Card, personality: Personality, memory: Memory, admin: AdminQueue, aenq: Aenq, gate: InterruptGate, phc: Phc
    ) -> None:
        self._card, self._personality, self._memory, self._phc = card, personality, memory, phc
        self._admin, self._aenq, self._gate = admin, aenq, gate
        self._answer_low = self._answer_high = 0

    def reset(self) -> None:
        """Forget where readless answers go; drivers tell it anew while the reset is in progress.

        Also after a reset by the bus, of which a driver may know nothing: its next readless reads find no answer, until it resets the
        card itself. Nothing better is right: whose memory that address is by then, only the host knows.
        """
        self._answer_low = self._answer_high = 0

    def read(self, offset: int) -> int:
        """The value of the register at a byte offset; 0 for what can't be read."""
        match Register.at(offset):
            case Register.VERSION:
                return self._personality.version
            case Register.CONTROLLER_VERSION:
                return self._personality.controller_version
            case Register.CAPS:
                return self._personality.caps
            case Register.DEV_STS:
                return self._card.status
            case Register.INTR_MASK:
                return InterruptMask.of(masked=int(self._gate.masked))
            case Register.ACQ_TAIL:
                return self._admin.completions.index
            case Register.AENQ_TAIL:
                return self._aenq.ring.index
        return 0

    def write(self, offset: int, value: int) -> None:
        value &= 0xFFFFFFFF
        match Register.at(offset):
            case Register.DEV_CTL:
                self._card.control(DeviceControl(value))
            case Register.MMIO_REG_READ:
                self._answer(ReadRequest(value))
            case Register.MMIO_RESP_LO:
                self._answer_low = value
            case Register.MMIO_RESP_HI:
                self._answer_high = value & 0xFFFF
            case Register.INTR_MASK:
                self._gate.set_masked(bool(InterruptMask(value).masked))
            case Register() as register if self._operational:
                self._write_ring(register, value)

    @property
    def _operational(self) -> bool:
        """Rings can't be set up during a reset, nor after a fault: no DMA may follow."""
        status = self._card.status
        return not status.reset_in_progress and not status.fatal_error

    def _write_ring(self, register: Register, value: int) -> None:
        match register:
            case Register.AQ_BASE_LO:
                self._admin.submissions.low = value
            case Register.AQ_BASE_HI:
                self._admin.submissions.high = value
            case Register.AQ_CAPS:
                self._admin.set_submission_caps(value)
            case Register.ACQ_BASE_LO:
                self._admin.completions.low = value
            case Register.ACQ_BASE_HI:
                self._admin.completions.high = value
            case Register.ACQ_CAPS:
                self._admin.completions.set_caps(value)
            case Register.AQ_DB:
                self._admin.ring_doorbell(value)
                self._card.work()
            case Register.PHC_DB:
                self._phc.ring(value)
            case Register.AENQ_BASE_LO:
                self._aenq.ring.low = value
            case Register.AENQ_BASE_HI:
                self._aenq.ring.high = value
            case Register.AENQ_CAPS:
                self._aenq.set_caps(value)
            case Register.AENQ_HEAD_DB:
                self._aenq.ring_doorbell(value)
                self._card.work()

    def _answer(self, request: ReadRequest) -> None:
        """Answer a readless read: value first, request id last."""
        address = self._answer_high << 32 | self._answer_low
        if address == 0:
            return
        data = bytes(ReadResponse(req_id=request.req_id, offset=request.offset, value=self.read(request.offset)))
        try:
            self._memory.write(address + 2, data[2:])
            self._memory.write(address, data[:2])
        except BusError as error:
            log.warning("readless read not answered: %s", error)
