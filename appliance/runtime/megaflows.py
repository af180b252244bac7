"""What the data thread needs to decide alike flows by itself: the cuts of the ruleset, the tables of its pools, and what a decision is
for the like of its flow.

A service whose choice hangs on more than the flow (`algorithm` other than maglev, `affinity`) has no table: none of its flows is
remembered, each is decided in Python.
"""

from __future__ import annotations

from typing import Final

from appliance.classes import find_cuts, generalized
from appliance.flow.megaflow import MOST_POOLS, MegaflowTable
from appliance.policy.facts import Decision, Facts, StateView
from appliance.ruleset import Ruleset

ALIKE: Final = 1
"""This bit and the next ones are what `install` and `deny` take."""
DIRECT: Final = 2
REPLY_DIRECT: Final = 4
VARY: Final = 8

NOT_ALIKE: Final = 0, None


class Megaflows:
    """Keeps one worker's megaflows in step with the ruleset and the health of its targets."""

    def __init__(self, table: MegaflowTable, view: StateView) -> None:
        self._table, self._view = table, view
        self._ruleset: Ruleset | None = None
        self._numbers: dict[tuple[str | None, int], int] = {}

    def configure(self, ruleset: Ruleset) -> None:
        """Forget what was decided by another ruleset."""
        cuts = find_cuts(ruleset)
        pools = ruleset.pools[:MOST_POOLS]
        self._numbers = {(pool.service, pool.version): number for number, pool in enumerate(pools)}
        self._ruleset = ruleset
        self._table.configure(ruleset.generation, cuts.sources, cuts.destinations, cuts.ports)
        for pool in pools:
            self._share(pool.service, pool.version)

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
        bits = ALIKE | (DIRECT if general.direct else 0) | (REPLY_DIRECT if general.reply_direct else 0) | (VARY if general.vary else 0)
        if decision.target is None:
            return bits, None
        number = self._numbers.get((decision.service, facts.version))
        target = None if number is None or self._ruleset is None else self._ruleset.pools[number].number(decision.target)
        return NOT_ALIKE if number is None or target is None else (bits, (number, target))
