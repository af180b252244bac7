"""Health checks: probe results in, up or down out. Sans-IO: a shell asks when a probe is due, runs it, and reports how it went.

A target starts unknown and takes no flows; the first result decides. After that it takes `fall` failures in a row to bring it down and
`rise` successes in a row to bring it back.
"""

from collections.abc import Sequence
from enum import Enum
from random import Random
from typing import Final

FIRST_WITHIN: Final = 0.5
"""Seconds over which the first probes of many checks are spread."""


class HealthState(Enum):
    """What is known about a target."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


class Streak(Enum):
    """How many equal results in a row a transition takes."""

    FIRST = "first"
    RISE = "rise"
    FALL = "fall"


TRANSITIONS: Final = {
    (HealthState.UNKNOWN, True): (Streak.FIRST, HealthState.UP),
    (HealthState.UNKNOWN, False): (Streak.FIRST, HealthState.DOWN),
    (HealthState.DOWN, True): (Streak.RISE, HealthState.UP),
    (HealthState.UP, False): (Streak.FALL, HealthState.DOWN),
}
"""(state, probe succeeded) -> (streak needed, next state). What isn't here confirms the state and ends any streak against it."""


class HealthCheck:
    """The check of one target. Time comes in, deadlines and states come out."""

    __slots__ = ("_due", "_every", "_jitter", "_needed", "_next", "_random", "_streak", "state")

    def __init__(self, now: float, every: float, rise: int, fall: int, random: Random, jitter: float = 0.1) -> None:
        """`jitter`: each period is longer or shorter by up to this fraction of `every`, so that many checks don't probe in step."""
        self.state = HealthState.UNKNOWN
        self._every, self._jitter = every, jitter
        self._needed = {Streak.FIRST: 1, Streak.RISE: rise, Streak.FALL: fall}
        self._random = random
        self._streak = 0
        self._due: float | None = now + random.random() * min(every, FIRST_WITHIN)
        self._next = now

    @property
    def up(self) -> bool:
        """Whether the target may take new flows."""
        return self.state is HealthState.UP

    def deadline(self) -> float | None:
        """When the next probe is due; None while the result of one is owed."""
        return self._due

    def due(self, now: float) -> bool:
        """Whether to start a probe now. If so, its `result` is owed, and no other is due before."""
        if self._due is None or now < self._due:
            return False
        self._due = None
        self._next = now + self._every * self._random.uniform(1 - self._jitter, 1 + self._jitter)
        return True

    def result(self, now: float, ok: bool) -> HealthState | None:
        """Take the result of a probe; the new state if it brought one. A period counts from start to start of its probes."""
        self._due = max(now, self._next)
        row = TRANSITIONS.get((self.state, ok))
        if row is None:
            self._streak = 0
            return None
        streak, state = row
        self._streak += 1
        if self._streak < self._needed[streak]:
            return None
        self.state, self._streak = state, 0
        return state


def failing_open(states: Sequence[HealthState], below: float) -> bool:
    """Whether so few targets are up that all have to count as up: a smaller part than `below`, of 0 to 1, and at least one is down.

    As long as nothing is known of some, nothing is given up.
    """
    up = states.count(HealthState.UP)
    return up < below * len(states) and up < len(states) and HealthState.UNKNOWN not in states
