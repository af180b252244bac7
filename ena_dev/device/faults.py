"""Misbehaviour on request, for people who test drivers and networks.

Faults of packets are seeded probabilities and live in the engine. Faults of the card are counts or times, each spent once; what was not
spent is forgotten at a reset, so they are asked for while a driver runs.
"""

from __future__ import annotations

from collections.abc import Callable

from ena_dev.abi.admin import Direction
from ena_dev.device.admin_queue import AdminQueue
from ena_dev.device.interfaces import DataFaults, Engine
from ena_dev.device.interrupt_gate import InterruptGate
from ena_dev.device.link import Link
from ena_dev.errors import UsageError


class Faults:
    """The faults of one card. Counts add up; all methods raise UsageError for what makes no sense."""

    def __init__(self, engine: Engine, admin: AdminQueue, gate: InterruptGate, link: Link, changed: Callable[[], None]) -> None:
        self._engine, self._admin, self._gate, self._link, self._changed = engine, admin, gate, link, changed
        self._beats_to_miss = 0
        self.data = DataFaults()

    def set_data(self, faults: DataFaults) -> None:
        """Faults of the data path from now on; `DataFaults()` ends them."""
        odds, times = (faults.loss, faults.duplication, faults.reorder), (faults.delay, faults.jitter)
        if not (all(0 <= chance <= 1 for chance in odds) and all(0 <= time < float("inf") for time in times)):
            raise UsageError(f"{faults}: probabilities are 0..1, times not negative")
        self.data = faults
        self._engine.set_faults(faults)

    def withhold_tx_completions(self, count: int) -> None:
        """Send the next `count` packets without ever completing them."""
        self._engine.withhold_tx_completions(_count(count))

    def spoil_tx_completions(self, count: int) -> None:
        """Name, in the next `count` Tx completions, a request that can't be in flight."""
        self._engine.spoil_completions(Direction.TX, wrong_id=_count(count))

    def spoil_rx_completions(self, count: int) -> None:
        """The same of Rx completions."""
        self._engine.spoil_completions(Direction.RX, wrong_id=_count(count))

    def malform_tx_completions(self, count: int) -> None:
        """Set bits that must be zero in the next `count` Tx completions."""
        self._engine.spoil_completions(Direction.TX, malformed=_count(count))

    def malform_rx_completions(self, count: int) -> None:
        """The same of Rx completions."""
        self._engine.spoil_completions(Direction.RX, malformed=_count(count))

    def lose_interrupts(self, count: int, vector: int | None = None) -> None:
        """Swallow the next `count` interrupts of IO vector `vector`, or of whichever vectors send first. Vector 0 is the admin queue's."""
        self._engine.lose_interrupts(_count(count), vector)

    def lose_admin_interrupts(self, count: int) -> None:
        """Swallow the next `count` interrupts of vector 0."""
        self._gate.lose(_count(count))

    def ignore_admin(self, count: int) -> None:
        """Fetch the next `count` admin commands, but neither execute nor answer them."""
        self._admin.ignore(_count(count))

    def miss_keep_alives(self, count: int) -> None:
        """Do not send the next `count` keep-alives."""
        self._beats_to_miss += _count(count)

    def link_flap(self, down_for: float) -> None:
        """Take the link down, from now until `down_for` seconds later."""
        if not 0 < down_for < float("inf"):
            raise UsageError(f"a link can't be down for {down_for} s")
        self._link.flap(down_for)
        self._changed()

    def beat(self) -> bool:
        """Whether the keep-alive that is due now is sent."""
        if self._beats_to_miss:
            self._beats_to_miss -= 1
            return False
        return True

    def reset(self) -> None:
        """What a reset of the card ends: faults of queues and rings. Packets keep theirs, and the link its flap."""
        self._beats_to_miss = 0


def _count(count: int) -> int:
    if count < 0:
        raise UsageError(f"{count} is no number of times")
    return count
