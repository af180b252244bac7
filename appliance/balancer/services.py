"""A service's targets of one IP version, and the choice of one for a flow.

By Maglev, the table of all targets that take flows is looked at first. Only a flow that it gives to a target which is down is looked up
again, in the table of those that are up: so flows of the living never move, and those of the dead spread over all the living by weight.
A target that is warming up takes a part of its slots only, and the table of the living gives it a smaller weight: together that is just its
share, since who isn't taken at first is spread by the same shares. So of the flows of others none moves while it warms up.
Other algorithms (`choices.py`) and affinity look at what was before: no table says what they choose, so each flow is decided by itself.

Backup targets take flows while none of the others is up.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from appliance.balancer import maglev
from appliance.balancer.choices import CHOICES, PoolTarget
from appliance.balancer.populate import WHOLE, overlay, takes
from appliance.flow.megaflow import spread_hash
from appliance.policy.facts import Facts, StateView

__all__ = ["Pool", "PoolTarget"]

TABLES: Final = 8
"""Tables kept for subsets of a pool's targets, most recently used: 128 KiB each."""


class Pool:
    """The targets of one service and IP version. A weight of 0 takes no new flows.

    `algorithm`: "maglev" or one of CHOICES. `affinity`: for so many seconds after its last new flow, a client gets the same target again.
    `warms`: a target's share of new flows may be less than its weight says, for a while.
    """

    __slots__ = (
        "_affinity", "_again", "_algorithm", "_by_name", "_full", "_main", "_numbers", "_size", "_subsets", "_targets", "_warms", "secret",
        "service", "version",
    )  # fmt: skip

    def __init__(
        self, service: str, version: int, targets: Sequence[PoolTarget], seed: bytes, size: int = maglev.SIZE,
        algorithm: str = "maglev", affinity: float | None = None, warms: bool = False,
    ) -> None:  # fmt: skip
        self.service, self.version = service, version
        self._by_name = {target.name: target for target in targets}
        self._main = tuple(target for target in targets if target.weight > 0 and not target.backup)
        self._targets = self._main + tuple(target for target in targets if target.weight > 0 and target.backup)
        self._numbers = {target.name: number for number, target in enumerate(self._targets)}
        self._size, self._algorithm, self._affinity, self._warms = size, algorithm, affinity, warms
        self.secret = blake2b(digest_size=16, key=seed, person=b"flow").digest()
        self._again = blake2b(digest_size=32, key=seed, person=b"again").digest()  # of tables that know nothing of the first
        self._full = self._table(self._main, seed) if self._main and algorithm == "maglev" else None
        self._subsets: OrderedDict[tuple[PoolTarget, ...], array[int]] = OrderedDict()

    @property
    def by_table(self) -> bool:
        """Whether `table` says what is chosen."""
        return self._algorithm == "maglev" and self._affinity is None

    def pick(self, facts: Facts, view: StateView) -> PoolTarget | None:
        """The target of a new flow; by Maglev the same for the same five-tuple and living targets. None if none is up.

        A flow that has a target keeps it, as long as there is such a target: also one that takes no new flows.
        """
        if facts.target is not None:
            return self._by_name.get(facts.target)
        if self._affinity is not None:
            return self._faithful(facts, view, self._affinity)
        return self._choose(facts, view)

    def _faithful(self, facts: Facts, view: StateView, timeout: float) -> PoolTarget | None:
        """The client's own target if that may be chosen, otherwise one that is its own from now on."""
        pool = self.service, self.version
        own = view.history.recall(pool, facts.source, timeout)
        chosen = next((target for target in self._living(view) if target.name == own), None) or self._choose(facts, view)
        if chosen is not None:
            view.history.remember(pool, facts.source, chosen.name)
        return chosen

    def _choose(self, facts: Facts, view: StateView) -> PoolTarget | None:
        if self._algorithm == "maglev":
            return self._hashed(facts, view)
        living = self._living(view)
        return CHOICES[self._algorithm](living, (self.service, self.version), view.history, view.random) if living else None

    def _hashed(self, facts: Facts, view: StateView) -> PoolTarget | None:
        if not self._targets:
            return None
        slot = self._slot(facts)
        if self._full is not None:
            target = self._main[self._full[slot]]
            if view.target_up(self.service, target.name) and takes(slot, self._share(target, view), self._size):
                return target
        living = self._living(view)
        return living[self._subset(living)[slot]] if living else None

    def _living(self, view: StateView) -> tuple[PoolTarget, ...]:
        """Who may be chosen, by which weight: those of the main targets that are up, or else of the backups."""
        up = tuple(target for target in self._targets if view.target_up(self.service, target.name))
        living = tuple(target for target in up if not target.backup) or up
        return tuple(self._warmed(target, view) for target in living) if self._warms else living

    def _warmed(self, target: PoolTarget, view: StateView) -> PoolTarget:
        share = view.target_share(self.service, target.name)
        return target if share == WHOLE else target._replace(weight=target.weight * share / WHOLE)

    def _share(self, target: PoolTarget, view: StateView) -> int:
        """How much a main target that is up takes of its slots, in percent: as much as it is warm, beside the warmest."""
        share = view.target_share(self.service, target.name) if self._warms else WHOLE
        if share == WHOLE:
            return WHOLE
        up = [each.name for each in self._main if view.target_up(self.service, each.name)]
        return share * WHOLE // max(share, *(view.target_share(self.service, name) for name in up))

    def number(self, target: str) -> int | None:
        """The place of a target in `table`; None for one that takes no new flows, and if no table says who gets them."""
        return self._numbers.get(target) if self.by_table else None

    def table(self, view: StateView) -> array[int] | None:
        """The numbers of the targets that flows now get, by slot; None if none is up, or no table says it."""
        living = self._living(view)
        if not living or not self.by_table:
            return None
        if living == self._main:
            return self._full
        numbers = array("H", [self._numbers[target.name] for target in living])
        subset = self._subset(living)
        if self._full is None or living[0].backup:
            return overlay(subset, bytes(len(living)), subset, numbers)
        up = {target.name for target in living}
        shares = bytes(self._share(target, view) if target.name in up else 0 for target in self._main)
        return overlay(self._full, shares, subset, numbers)

    def _slot(self, facts: Facts) -> int:
        """A keyed hash of the five-tuple: nobody outside can aim flows at one target."""
        tuple5 = facts.source, facts.destination, facts.sport, facts.dport
        return spread_hash(self.secret, facts.version, facts.protocol, tuple5) % self._size

    def _subset(self, living: tuple[PoolTarget, ...]) -> array[int]:
        table = self._subsets.get(living)
        if table is None:
            table = self._subsets[living] = self._table(living, self._again)
            if len(self._subsets) > TABLES:
                self._subsets.popitem(last=False)
        self._subsets.move_to_end(living)
        return table

    def _table(self, targets: Sequence[PoolTarget], seed: bytes) -> array[int]:
        return maglev.build([(target.name, round(target.weight * WHOLE)) for target in targets], seed, self._size)
