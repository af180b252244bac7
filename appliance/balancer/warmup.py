"""Slow start: a target that comes back takes a share of new flows that grows from a tenth to all of its weight, in ten steps. Sans-IO.

In steps, since each takes the pool's tables anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from appliance.balancer.populate import WHOLE

LEAST: Final = 10
"""Percent of its weight with which a target begins."""
STEPS: Final = 10

Key = tuple[str, str]
"""(service, target)."""


def share_of(part: float) -> int:
    """The percentage after a part, 0 to 1, of the time that warming up takes."""
    return LEAST + (WHOLE - LEAST) * min(int(part * STEPS), STEPS) // STEPS


class Warmups:
    """The targets that are warming up. Time comes in, shares and deadlines come out."""

    __slots__ = ("_durations", "_shares", "_since")

    def __init__(self) -> None:
        self._durations: Mapping[str, float] = {}
        self._since: dict[Key, float] = {}
        self._shares: dict[Key, int] = {}

    def configure(self, durations: Mapping[str, float]) -> None:
        """How long it takes in each service that has slow start. Elsewhere whoever was warming up is warm."""
        self._durations = durations
        for key in [key for key in self._since if key[0] not in durations]:
            self._forget(key)

    def begin(self, key: Key, now: float) -> None:
        """A target takes new flows again."""
        if key[0] in self._durations:
            self._since[key], self._shares[key] = now, LEAST

    def share(self, key: Key) -> int:
        """Percent of its weight."""
        return self._shares.get(key, WHOLE)

    def look(self, now: float) -> set[str]:
        """Take the steps that are due; the services in which there was one."""
        changed = set()
        for key, since in list(self._since.items()):
            share = share_of((now - since) / self._durations[key[0]])
            if share != self._shares[key]:
                self._shares[key] = share
                changed.add(key[0])
            if share == WHOLE:
                self._forget(key)
        return changed

    def _forget(self, key: Key) -> None:
        del self._since[key], self._shares[key]

    def deadline(self, now: float) -> float | None:
        """When the next step is due; None: nobody is warming up."""
        return min((self._next(key, now) for key in self._since), default=None)

    def _next(self, key: Key, now: float) -> float:
        step = self._durations[key[0]] / STEPS
        return self._since[key] + (int((now - self._since[key]) / step) + 1) * step
