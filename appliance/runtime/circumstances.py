"""What rules hang on besides their file: what is in the files of sets, and the time. When that changes, they are compiled anew.
What domain names stand for is asked flow by flow, and compiles nothing.

    prepare(config) -> compile(config) -> ruleset      at the start, at a reload, and whenever `run` says so

Nothing is polled but the files of sets. The next moment at which a schedule or an end matters is known, and waited for; now and then it is
looked whether the clock was set meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog

from appliance.config.models import Config
from appliance.config.objects import Domains
from appliance.config.resolve import Meanings, unresolved
from appliance.objects.names import NameTable
from appliance.objects.schedule import Calendar
from appliance.objects.sets import Sets
from appliance.ruleset import Ruleset, compile_ruleset

log = structlog.get_logger("rules")

CLOCK_LOOK: Final = 60.0
"""Seconds from one look at whether the clock was set to the next."""


class Circumstances:
    """Those of one appliance. `clock`: seconds of the event loop; `wall`: seconds since the epoch."""

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self.sets, self.names = Sets(clock, wall), NameTable(clock)
        self._clock, self._wall = clock, wall
        self._compiled = 0.0  # when, by the wall
        self._calendar: Calendar
        self._turn: float | None = None
        self._said: frozenset[str] = frozenset()

    async def prepare(self, config: Config, path: Path) -> None:
        """Read what a configuration needs. ConfigError: the first reading of a set has failed."""
        await self.sets.prepare(config, str(path))

    def compile(self, config: Config, generation: int, seed: bytes) -> Ruleset:
        """A configuration as it is now."""
        self._calendar, self._compiled = Calendar(config), self._wall()
        self._turn = self._calendar.next_change(self._compiled)
        self._warn(config)
        meanings = Meanings(config, self.sets.extents())
        domains = {name: item for name, item in config.objects.items() if isinstance(item, Domains)}
        self.names.configure(domains, {name: meanings.sum(item.resolvers) for name, item in domains.items() if item.resolvers})
        return compile_ruleset(config, generation, seed, sets=self.sets.extents(), instant=self._compiled)

    def _warn(self, config: Config) -> None:
        """Say once what stands for no address, though it is written as one."""
        found = frozenset(unresolved(config))
        for what in sorted(found - self._said):
            log.warning("no address, until its nic has a network for it", written=what)
        self._said = found

    async def run(self, refresh: Callable[[str], Awaitable[None]]) -> None:
        """Have the rules compiled anew whenever it takes that: `refresh` is told why."""
        while True:
            await asyncio.sleep(self._pause())
            now = self._wall()
            changed = await self.sets.look()
            turned = (self._turn is not None and now >= self._turn) or (self._calendar.timed and now < self._compiled)
            if changed:
                await refresh(f"what is in {', '.join(changed)}")
            elif turned:
                await refresh("the time")

    def _pause(self) -> float:
        """Seconds until something may have changed."""
        looks = [CLOCK_LOOK]
        if self._turn is not None:
            looks.append(self._turn - self._wall())
        if (due := self.sets.deadline()) is not None:
            looks.append(due - self._clock())
        return max(min(looks), 0.01)

    def idle(self) -> frozenset[str]:
        """The names of the rules that don't apply now."""
        return self._calendar.idle(self._compiled)
