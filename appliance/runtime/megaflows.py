"""What the data thread needs to decide alike flows by itself: the cuts of the ruleset, the tables of its pools, and what a decision is
for the like of its flow.

A service whose choice hangs on more than the flow (`algorithm` other than maglev, `affinity`) has no table: none of its flows is
remembered, each is decided in Python.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

from appliance.classes import Cuts, generalized
from appliance.flow.megaflow import MOST_POOLS, MegaflowTable
from appliance.nat.pool import SourcePool
from appliance.policy.facts import Decision, Facts, StateView
from appliance.ruleset import Ruleset

ALIKE: Final = 1
"""This bit and the next ones are what `install` and `deny` take."""
DIRECT: Final = 2
REPLY_DIRECT: Final = 4
VARY: Final = 8
KEEPS: Final = 128
DRAWN: Final = 256

NOT_ALIKE: Final = 0, None


class Megaflows:
    """Keeps one worker's megaflows in step with the ruleset and the health of its targets."""

    def __init__(self, table: MegaflowTable, view: StateView) -> None:
        self._table, self._view = table, view
        self._ruleset: Ruleset | None = None
        self._numbers: dict[tuple[str | None, int], int] = {}
        self._hides: Sequence[SourcePool] = ()
        self._first_hide = 0

    def configure(self, ruleset: Ruleset, cuts: Cuts) -> None:
        """Forget what was decided by another ruleset. `cuts`: those of this one."""
        pools = ruleset.pools[:MOST_POOLS]
        hides = ruleset.source_pools[: MOST_POOLS - len(pools)]
        self._numbers = {(pool.service, pool.version): number for number, pool in enumerate(pools)}
        self._ruleset = ruleset
        self._table.configure(ruleset.generation, cuts.packed)
        for pool in pools:
            self._share(pool.service, pool.version)
        self._first_hide, self._hides = len(pools), hides
        for number, hide in enumerate(hides, len(pools)):
            self._table.set_pool(number, hide.secret, array("H", range(hide.size)), by_source=True)

    def target_changed(self, service: str) -> None:
        """A target of the service is up or down: new flows go elsewhere from now on."""
        for version in (4, 6):
            self._share(service, version)

    def _share(self, service: str, version: int) -> None:
        number = self._numbers.get((service, version))
        if number is not None and self._ruleset is not None:
            pool = self._ruleset.pools[number]
            self._table.set_pool(number, pool.secret, pool.table(self._view))

    def alike(self, facts: Facts, decision: Decision) -> tuple[int, tuple[int, int] | None]:
        """For `install` and `deny`: how the decision holds for all flows alike, and the (pool, target) that it chose."""
        general = generalized(facts, decision)
        if general is None:
            return NOT_ALIKE
        told = (general.direct, DIRECT), (general.reply_direct, REPLY_DIRECT), (general.vary, VARY), (general.keeps, KEEPS)
        bits = ALIKE | sum(bit for holds, bit in (*told, (general.draws, DRAWN)) if holds)
        if decision.pool >= 0:
            return self._hidden(bits, decision)
        if decision.target is None:
            return bits, None
        number = self._numbers.get((decision.service, facts.version))
        target = None if number is None or self._ruleset is None else self._ruleset.pools[number].number(decision.target)
        return NOT_ALIKE if number is None or target is None else (bits, (number, target))

    def _hidden(self, bits: int, decision: Decision) -> tuple[int, tuple[int, int] | None]:
        """The same for a flow whose source becomes an address of a pool. One pool may choose, not two."""
        if decision.target is not None or decision.pool >= len(self._hides):
            return NOT_ALIKE
        place = self._hides[decision.pool].place(decision.outside)
        return NOT_ALIKE if place is None else (bits, (self._first_hide + decision.pool, place))
