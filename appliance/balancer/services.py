"""A service's targets of one IP version, and the choice of one for a flow.

The table of all targets that take flows is looked at first. Only a flow that it gives to a target which is down is looked up
again, in the table of those that are up: so flows of the living never move, and those of the dead spread over all the living by weight.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from appliance.balancer import maglev
from appliance.flow.megaflow import spread_hash
from appliance.policy.facts import Facts, StateView

TABLES: Final = 8
"""Tables kept for subsets of a pool's targets, most recently used: 128 KiB each."""


class PoolTarget(NamedTuple):
    """Where a pool's flows may go."""

    name: str
    address: int
    port: int
    weight: int


class Pool:
    """The targets of one service and IP version. A weight of 0 takes no new flows."""

    __slots__ = ("_by_name", "_full", "_seed", "_size", "_subsets", "_targets", "secret", "service", "version")

    def __init__(self, service: str, version: int, targets: Sequence[PoolTarget], seed: bytes, size: int = maglev.SIZE) -> None:
        self.service, self.version = service, version
        self._by_name = {target.name: target for target in targets}
        self._targets = tuple(target for target in targets if target.weight > 0)
        self._seed, self._size = seed, size
        self.secret = blake2b(digest_size=16, key=seed, person=b"flow").digest()
        self._full = self._table(self._targets) if self._targets else None
        self._subsets: OrderedDict[tuple[PoolTarget, ...], array[int]] = OrderedDict()

    def pick(self, facts: Facts, view: StateView) -> PoolTarget | None:
        """The target of a new flow, the same for the same five-tuple and living targets; None if none is up.

        A flow that has a target keeps it, as long as there is such a target: also one that takes no new flows.
        """
        if facts.target is not None:
            return self._by_name.get(facts.target)
        if self._full is None:
            return None
        slot = self._slot(facts)
        target = self._targets[self._full[slot]]
        if view.target_up(self.service, target.name):
            return target
        living = tuple(t for t in self._targets if view.target_up(self.service, t.name))
        return living[self._subset(living)[slot]] if living else None

    def prepare(self, view: StateView) -> None:
        """Build the table of the targets now up, so that no flow has to wait for it."""
        living = tuple(t for t in self._targets if view.target_up(self.service, t.name))
        if living and living != self._targets:
            self._subset(living)

    def number(self, target: str) -> int | None:
        """The place of a target in `table`; None for one that takes no new flows."""
        return next((number for number, each in enumerate(self._targets) if each.name == target), None)

    def table(self, view: StateView) -> array[int] | None:
        """The numbers of the targets that flows now get, by slot; None if none is up."""
        living = tuple(t for t in self._targets if view.target_up(self.service, t.name))
        if not living or self._full is None or len(living) == len(self._targets):
            return self._full if living else None
        again = [self._targets.index(target) for target in living]
        up = [target in living for target in self._targets]
        return array("H", [one if up[one] else again[other] for one, other in zip(self._full, self._subset(living), strict=True)])

    def _slot(self, facts: Facts) -> int:
        """A keyed hash of the five-tuple: nobody outside can aim flows at one target."""
        tuple5 = facts.source, facts.destination, facts.sport, facts.dport
        return spread_hash(self.secret, facts.version, facts.protocol, tuple5) % self._size

    def _subset(self, living: tuple[PoolTarget, ...]) -> array[int]:
        table = self._subsets.get(living)
        if table is None:
            table = self._subsets[living] = self._table(living)
            if len(self._subsets) > TABLES:
                self._subsets.popitem(last=False)
        self._subsets.move_to_end(living)
        return table

    def _table(self, targets: Sequence[PoolTarget]) -> array[int]:
        return maglev.build([(target.name, target.weight) for target in targets], self._seed, self._size)
