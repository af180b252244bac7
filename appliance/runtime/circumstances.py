"""What rules hang on besides their file: what is in the files of sets, and the time. When that changes, they are compiled anew.
What domain names stand for is asked flow by flow, and compiles nothing.

    prepare(config) -> compile(config) -> adopt(compiled)      at the start, at a reload, and whenever `run` says so
                       any thread         the event loop

Nothing is polled but the files of sets. The next moment at which a schedule or an end matters is known, and waited for; now and then it is
looked whether the clock was set meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from appliance.classes import Cuts, find_cuts
from appliance.config.models import Config
from appliance.config.objects import Domains
from appliance.config.resolve import Meanings, unresolved
from appliance.objects.names import NameTable
from appliance.objects.schedule import Calendar
from appliance.objects.sets import Sets
from appliance.ranges import Extent
from appliance.ruleset import Ruleset, compile_ruleset
from appliance.runtime.waiting import woken

log = structlog.get_logger("rules")

CLOCK_LOOK: Final = 60.0
"""Seconds from one look at whether the clock was set to the next."""


class Compiled(NamedTuple):
    """A configuration as it is at a moment. Nothing asks it before it was adopted."""

    config: Config
    ruleset: Ruleset
    cuts: Cuts
    calendar: Calendar
    instant: float  # seconds since the epoch
    turn: float | None  # when the time will have changed it
    resolvers: Mapping[str, Extent]
    """Whose answers count, by object; those of all for others."""


class Circumstances:
    """Those of one appliance. `clock`: seconds of the event loop; `wall`: seconds since the epoch."""

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self.sets, self.names = Sets(clock, wall), NameTable(clock)
        self._clock, self._wall = clock, wall
        self._calendar: Calendar
        self._instant = 0.0
        self._turn: float | None = None
        self._said: frozenset[str] = frozenset()
        self._adopted = asyncio.Event()

    async def prepare(self, config: Config, path: Path) -> None:
        """Read what a configuration needs. ConfigError: the first reading of a set has failed."""
        await self.sets.prepare(config, str(path))

    def compile(self, config: Config, generation: int, seed: bytes) -> Compiled:
        """A configuration as it is now. Decisions go on meanwhile, and see nothing of it."""
        sets, calendar, instant = self.sets.extents(), Calendar(config), self._wall()
        ruleset = compile_ruleset(config, generation, seed, sets=sets, instant=instant)
        meanings = Meanings(config, sets)
        resolvers = {name: meanings.sum(item.resolvers) for name, item in _domains(config).items() if item.resolvers}
        return Compiled(config, ruleset, find_cuts(ruleset), calendar, instant, calendar.next_change(instant), resolvers)

    def adopt(self, compiled: Compiled) -> None:
        """That is in force from here on."""
        self._calendar, self._instant, self._turn = compiled.calendar, compiled.instant, compiled.turn
        self._warn(compiled.config)
        self.names.configure(_domains(compiled.config), compiled.resolvers)
        self._adopted.set()

    def _warn(self, config: Config) -> None:
        """Say once what stands for no address, though it is written as one."""
        found = frozenset(unresolved(config))
        for what in sorted(found - self._said):
            log.warning("no address, until its nic has a network for it", written=what)
        self._said = found

    async def run(self, refresh: Callable[[str], Awaitable[None]]) -> None:
        """Have the rules compiled anew whenever it takes that: `refresh` is told why."""
        while True:
            self._adopted.clear()
            await woken(self._adopted, self._pause())
            changed = await self.sets.look()
            now = self._wall()
            turned = (self._turn is not None and now >= self._turn) or (self._calendar.timed and now < self._instant)
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
        return self._calendar.idle(self._instant)


def _domains(config: Config) -> dict[str, Domains]:
    return {name: item for name, item in config.objects.items() if isinstance(item, Domains)}
