"""What balancing remembers from flow to flow: whose turn it is, who was given what, which client belongs to which target.

It outlives reloads, since it knows services and targets by name. Bounded: the oldest client is forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST_CLIENTS: Final = 65536

UNDERWAY: Final = 1.0
"""Seconds until a flow that was given to a target is in the table, if it ever will be."""

PoolKey = tuple[str, int]
"""(service, IP version)."""


class History:
    """`clock`: seconds. `flows(service, target)`: how many flows a target has by now."""

    __slots__ = ("_clients", "_clock", "_flows", "_given", "credits")

    def __init__(self, clock: Callable[[], float], flows: Callable[[str, str], int]) -> None:
        self._clock, self._flows = clock, flows
        self.credits: dict[tuple[PoolKey, str], float] = {}
        """How far each target's turn has come, in weighted round robin."""
        self._given: dict[tuple[str, str], tuple[int, int, float]] = {}
        self._clients: OrderedDict[tuple[PoolKey, int], tuple[str, float]] = OrderedDict()

    def load(self, service: str, target: str) -> int:
        """A target's flows, with those that it was given a moment ago: they are on their way into the table."""
        flows = self._flows(service, target)
        return flows + self._underway((service, target), flows)[1]

    def give(self, service: str, target: str) -> None:
        """A target was given a flow."""
        seen, given, since = self._underway((service, target), self._flows(service, target))
        self._given[service, target] = seen, given + 1, since

    def _underway(self, key: tuple[str, str], flows: int) -> tuple[int, int, float]:
        """(flows that it had, how many it was given since, when that began). Their number has changed: they have arrived. It has not for
        a while: they were refused."""
        found = self._given.get(key)
        if found is None or found[0] != flows or found[2] < self._clock() - UNDERWAY:
            return flows, 0, self._clock()
        return found

    def recall(self, pool: PoolKey, source: int, timeout: float) -> str | None:
        """The target that a client had at most `timeout` seconds ago."""
        found = self._clients.get((pool, source))
        if found is None or found[1] < self._clock() - timeout:
            return None
        return found[0]

    def remember(self, pool: PoolKey, source: int, target: str) -> None:
        """A client has a target now."""
        self._clients[pool, source] = target, self._clock()
        self._clients.move_to_end((pool, source))
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
