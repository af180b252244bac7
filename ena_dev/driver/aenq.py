"""The event queue (AENQ): what the card tells on its own - link, keep-alive, hints, a wish to be reset.

The head starts at the ring's depth, not at zero, and the card may post nothing before `open` has told it.
Source: ENA interface, AENQ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ena_dev.abi.admin import ENTRY_SIZE
from ena_dev.abi.events import RawEvent
from ena_dev.abi.record import BusAddress
from ena_dev.abi.registers import Register, RingCaps
from ena_dev.bus.memory import Memory
from ena_dev.driver.registers import Registers

DEPTH = 16


class EventQueue:
    """One card's AENQ. `handlers`: what to call with an event, by its group."""

    def __init__(self, memory: Memory, registers: Registers, handlers: Mapping[int, Callable[[RawEvent], None]]) -> None:
        self._memory, self._registers, self._handlers = memory, registers, handlers
        self._ring = memory.allocate(DEPTH * ENTRY_SIZE)
        self._head = DEPTH
        self.unhandled = 0

    def start(self) -> None:
        """A zeroed ring, told to the card."""
        self._memory.write(self._ring, bytes(DEPTH * ENTRY_SIZE))
        self._head = DEPTH
        address = BusAddress.of(self._ring)
        self._registers.write(Register.AENQ_BASE_LO, address.low)
        self._registers.write(Register.AENQ_BASE_HI, address.high)
        self._registers.write(Register.AENQ_CAPS, RingCaps.of(depth=DEPTH, entry_size=ENTRY_SIZE))

    def open(self) -> None:
        """All entries are free: the card may post from here on."""
        self._registers.write(Register.AENQ_HEAD_DB, self._head)

    def close(self) -> None:
        """Free the ring. The card must have been reset, or told a depth of 0."""
        self._memory.free(self._ring)

    def pending(self) -> bool:
        """Whether an event lies there that no interrupt told of."""
        return self._memory.read(self._where() + 4, 1)[0] & 1 == self._phase()

    def poll(self) -> int:
        """Handle what was posted, at most one lap, and give the entries back; returns how many."""
        count = 0
        while count < DEPTH and self.pending():
            event = RawEvent.parse(self._memory.read(self._where(), ENTRY_SIZE))
            self._head = self._head + 1 & 0xFFFF
            count += 1
            handler = self._handlers.get(event.group)
            if handler is None:
                self.unhandled += 1
            else:
                handler(event)
        if count:
            self._registers.write(Register.AENQ_HEAD_DB, self._head)
        return count

    def _where(self) -> int:
        return self._ring + self._head % DEPTH * ENTRY_SIZE

    def _phase(self) -> int:
        return 1 if self._head & DEPTH else 0  # one lap ahead of an index that starts at zero
