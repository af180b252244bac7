"""The admin queue: fetch a command, have it executed, post its completion.

    AQ (driver writes, rings AQ_DB)  -->  execute  -->  ACQ (phase bit)  -->  vector 0

A command is copied out of shared memory once and judged on the copy. At most as many commands as the ring is deep can be
outstanding; a doorbell that claims more breaks the contract, and so does a ring in unmapped memory.
Source: ENA interface, Admin queue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ena_dev.abi.admin import ENTRY_SIZE, AdminCompletion, RawCommand
from ena_dev.device.admin_ring import AdminRing
from ena_dev.device.interfaces import Memory
from ena_dev.errors import BusError, DeviceError

log = logging.getLogger(__name__)

BATCH = 32  # commands of one turn


class ContractBroken(DeviceError):
    """The driver did what leaves the card no safe way on; it stops until it is reset."""


class AdminQueue:
    """Commands in, completions out. Only `process` touches memory."""

    def __init__(self, memory: Memory, execute: Callable[[bytes], AdminCompletion], posted: Callable[[], None]) -> None:
        self._memory, self._execute, self._posted = memory, execute, posted
        self.submissions, self.completions = AdminRing(), AdminRing()
        self._tail = 0
        self._to_ignore = 0
        self.executed = 0

    def reset(self) -> None:
        self.submissions.reset()
        self.completions.reset()
        self._tail = self._to_ignore = 0

    def ignore(self, count: int) -> None:
        """Fault: the next `count` commands are fetched and forgotten."""
        self._to_ignore += count

    def set_submission_caps(self, value: int) -> None:
        self.submissions.set_caps(value)
        self._tail = 0

    def ring_doorbell(self, value: int) -> None:
        """AQ_DB: a free-running count, of which 16 bits matter."""
        if self.submissions.configured and self.completions.configured:
            self._tail = value

    @property
    def waiting(self) -> int:
        """Commands announced and not yet executed."""
        if not (self.submissions.configured and self.completions.configured):
            return 0
        return (self._tail - self.submissions.index) & 0xFFFF

    def process(self) -> int:
        """Execute waiting commands, at most a batch; returns how many. Raises ContractBroken."""
        if self.waiting > self.submissions.depth:
            raise ContractBroken(f"{self.waiting} admin commands in a ring of {self.submissions.depth}")
        count = min(self.waiting, BATCH)
        try:
            for _ in range(count):
                self._execute_next()
        except BusError as error:
            raise ContractBroken(f"admin ring: {error}") from error
        if count:
            self.executed += count
            self._posted()
        return count

    def _execute_next(self) -> None:
        entry = self._memory.read(self.submissions.address, ENTRY_SIZE)
        self.submissions.advance()
        if self._to_ignore:
            self._to_ignore -= 1
            return
        completion = self._execute(entry)
        completion.command_id = RawCommand.parse(entry).command_id
        completion.sq_head = self.submissions.index
        completion.phase = self.completions.phase
        data = bytes(completion)
        address = self.completions.address
        self._memory.write(address + 4, data[4:])
        self._memory.write(address, data[:4])  # the phase bit last
        self.completions.advance()
