"""An event loop whose clock jumps: when no descriptor is ready and nothing runs, it is at once the time of the next timer.

An hour costs a millisecond, the order of timers is exact, and a hang becomes a failure. Descriptors are real (eventfds, pipes,
epoll), so executors and interrupts work as ever; what needs real time (threads, a TAP, other processes) needs a real loop.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

BEGINNING = 1000.0  # not 0, which stands for "never" in places
GRACE = 2.0  # real seconds that all tasks may wait without a timer before it counts as a hang


class Hang(AssertionError):
    """Every task waits, no timer is set, and nothing came from outside."""


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits for time to pass: it lets the clock jump instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGINNING
        self.at_rest: Callable[[], None] | None = None  # called instead of a jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.at_rest is not None:
            self.at_rest()
            return ready
        if timeout is not None:
            self.now += timeout
            return ready
        ready = super().select(GRACE)
        if not ready:
            raise Hang(f"all tasks wait for something that nobody will do, at {self.now - BEGINNING:.3f} s")
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop on a clock of its own."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._clock_resolution: Any = 1e-9

    def time(self) -> float:
        return self._jumping.now

    def move(self, seconds: float) -> None:
        """Move the clock at a stroke, not from timer to timer."""
        self._jumping.now += seconds

    def run_due(self) -> None:
        """Run what is due, until nothing is left to do before a later time. Called while the loop doesn't run."""
        self._jumping.at_rest = self.stop
        try:
            self.run_forever()
        finally:
            self._jumping.at_rest = None
