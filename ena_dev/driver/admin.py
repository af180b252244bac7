"""The admin queue: commands in flight by id, their completions, and what happens when none comes.

    execute(command) --AQ entry, AQ_DB--> card --ACQ entry--> poll() --> the waiting coroutine
                                                     ^ a growing pause (polling), or vector 0 (after `use_interrupts`)

A command without answer in time stops the queue for good: `fault` then tells the watchdog which reset to ask for, and every
other command in flight fails with it. Source: ENA interface, Admin queue.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

from ena_dev.abi.admin import ENTRY_SIZE, AdminCommand, AdminCompletion, FeatureCommand, Opcode, RawCompletion, Status
from ena_dev.abi.features import FeatureId
from ena_dev.abi.record import BusAddress
from ena_dev.abi.registers import Register, ResetReason, RingCaps
from ena_dev.bus.memory import Memory
from ena_dev.driver.handshake import ADMIN_TIMEOUT
from ena_dev.driver.polling import pauses
from ena_dev.driver.registers import Registers
from ena_dev.errors import AdminError

DEPTH = 32

R = TypeVar("R", bound=AdminCompletion)


class AdminQueue:
    """One card's admin queue. Rings live as long as this object; `start` begins them anew after each reset of the card."""

    def __init__(self, memory: Memory, registers: Registers) -> None:
        self._memory, self._registers = memory, registers
        self._aq, self._acq = memory.allocate(DEPTH * ENTRY_SIZE), memory.allocate(DEPTH * ENTRY_SIZE)
        self._waiting: dict[int, tuple[str, asyncio.Future[RawCompletion]]] = {}
        self._free: list[int] = []
        self._slots = asyncio.Semaphore(0)
        self._tail = self._head = 0
        self._polling = True
        self.running = False
        self.fault: ResetReason | None = None
        self.timeout = ADMIN_TIMEOUT
        self.aborted = self.submitted = self.completed = self.out_of_space = self.no_completion = self.pauses = 0

    def start(self, timeout: float) -> None:
        """Zeroed rings, told to the card; commands are polled for until `use_interrupts`."""
        for ring in (self._aq, self._acq):
            self._memory.write(ring, bytes(DEPTH * ENTRY_SIZE))
        self._tail = self._head = 0
        self._waiting, self._free, self._slots = {}, list(range(DEPTH)), asyncio.Semaphore(DEPTH)
        self._polling, self.running, self.fault, self.timeout = True, True, None, timeout
        aq, acq, write = BusAddress.of(self._aq), BusAddress.of(self._acq), self._registers.write
        write(Register.AQ_BASE_LO, aq.low)
        write(Register.AQ_BASE_HI, aq.high)
        write(Register.ACQ_BASE_LO, acq.low)
        write(Register.ACQ_BASE_HI, acq.high)
        write(Register.AQ_CAPS, RingCaps.of(depth=DEPTH, entry_size=ENTRY_SIZE))
        write(Register.ACQ_CAPS, RingCaps.of(depth=DEPTH, entry_size=ENTRY_SIZE))

    def use_interrupts(self) -> None:
        """From here on vector 0 tells of completions: its handler calls `poll`."""
        self._polling = False

    def stop(self, reason: ResetReason | None = None) -> None:
        """Take no more commands and fail those in flight. `reason`: why the card needs a reset, if it does."""
        if reason is not None and self.fault is None:
            self.fault = reason
            self.pauses += 1
        self.running = False
        waiting, self._waiting = self._waiting, {}
        for name, done in waiting.values():
            if not done.done():
                self.aborted += 1
                done.set_exception(AdminError(name, None, "the admin queue stopped meanwhile"))
                done.exception()  # nobody may be waiting any more
        self._slots.release()  # who waits for a slot wakes, sees, and wakes the next

    def close(self) -> None:
        """Free the rings. The card must have been reset, or told a depth of 0."""
        self.stop()
        self._memory.free(self._aq)
        self._memory.free(self._acq)

    async def execute(self, command: AdminCommand, response: type[R]) -> R:
        """Send a command and wait for its completion.

        Raises AdminError if the card refuses it (`status` says how), does not answer in time, or the queue stopped.
        """
        name = command_name(command)
        if self._slots.locked():
            self.out_of_space += 1
        slots = self._slots
        await slots.acquire()
        if not self.running or slots is not self._slots:
            slots.release()
            raise AdminError(name, None, "the admin queue is stopped")
        completion = await self._wait(self._submit(command, name), name)
        if completion.status != Status.SUCCESS:
            raise AdminError(name, completion.status, status_name(completion.status))
        return response.parse(bytes(completion))

    def poll(self) -> int:
        """Take finished commands out of the completion ring; returns how many."""
        count = 0
        while self.running:
            where = self._acq + self._head % DEPTH * ENTRY_SIZE
            if self._memory.read(where + 3, 1)[0] & 1 != _phase(self._head):
                return count
            self._complete(RawCompletion.parse(self._memory.read(where, ENTRY_SIZE)))
            self._head = self._head + 1 & 0xFFFF
            count += 1
        return count

    def _submit(self, command: AdminCommand, name: str) -> asyncio.Future[RawCompletion]:
        command.command_id = self._free.pop(0)
        command.phase = _phase(self._tail)
        done: asyncio.Future[RawCompletion] = asyncio.get_running_loop().create_future()
        self._waiting[command.command_id] = name, done
        entry, where = bytes(command), self._aq + self._tail % DEPTH * ENTRY_SIZE
        self._memory.write(where + 4, entry[4:])
        self._memory.write(where, entry[:4])  # the word with the phase goes last
        self._tail = self._tail + 1 & 0xFFFF
        self.submitted += 1
        self._registers.write(Register.AQ_DB, self._tail)
        return done

    def _complete(self, completion: RawCompletion) -> None:
        _, done = self._waiting.pop(completion.command_id, ("", None))
        if done is None:
            self.stop(ResetReason.DRIVER_INVALID_STATE)  # an answer to nothing: rings can't be trusted any more
            return
        self.completed += 1
        self._free.append(completion.command_id)
        self._slots.release()
        if not done.done():
            done.set_result(completion)

    async def _wait(self, done: asyncio.Future[RawCompletion], name: str) -> RawCompletion:
        if self._polling:
            for pause in pauses(self.timeout):
                self.poll()
                if done.done():
                    break
                await asyncio.sleep(pause)
        else:
            await asyncio.wait({done}, timeout=self.timeout)
        if not done.done():
            self._give_up(done, name)
        return done.result()

    def _give_up(self, late: asyncio.Future[RawCompletion], name: str) -> None:
        """A last look: an answer that lay there untold means that interrupts get lost."""
        self.poll()
        self.no_completion += 1
        if late.done():
            self.stop(ResetReason.MISSING_ADMIN_INTERRUPT)
            return
        late.set_exception(AdminError(name, None, f"no answer in {self.timeout:.1f} s"))
        self.stop(ResetReason.ADMIN_TO)


def _phase(index: int) -> int:
    return 0 if index & DEPTH else 1


def command_name(command: AdminCommand) -> str:
    """For messages: GET_FEATURE RSS_HASH_FUNCTION, CREATE_CQ."""
    opcode = Opcode(command.opcode).name
    return f"{opcode} {FeatureId(command.feature_id).name}" if isinstance(command, FeatureCommand) else opcode


def status_name(status: int) -> str:
    return next((known.name for known in Status if known == status), "unknown status")
