"""The sets of a configuration: what is in their files, looked at now and then. A list that is missing, malformed or too large leaves the
last good one in force, and no other rule waits for it.

    examine(config)   what is wrong with the lists that a configuration names, for who checks it
    prepare(config)   before a configuration is compiled: read what is new in it. ConfigError: the first reading of a list failed
    extents()         what to compile with
    look(now)         read what has changed; whether rules have to be compiled anew
    deadline()        when to look next

Time is an argument: `now` of the event loop for looks, `wall` for the age of files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from appliance.config.errors import ConfigError, Mistake, quoted
from appliance.config.models import Config
from appliance.config.objects import FileSet
from appliance.objects.lists import List, ListError, Unreadable, Version, read_list, version_of
from appliance.ranges import Extent

log = structlog.get_logger("sets")

EMPTY: Final = Extent((), ())
SETTLED: Final = 2.0
"""Seconds after its last change until a file is read that replaces a good one."""


@dataclass(slots=True)
class _Set:
    """One file. `seen` is the version that was read last, `refused` why it was no good, `problem` what is wrong now."""

    wanted: FileSet
    due: float
    list: List | None = None
    seen: Version | None = None
    refused: str = ""
    problem: str = ""
    stale: bool = False

    @property
    def extent(self) -> Extent:
        return EMPTY if self.list is None or self.stale else self.list.extent


def examine(config: Config, file: str) -> tuple[list[Mistake], list[Mistake]]:
    """Mistakes and warnings about the lists that a configuration would start with; `file` is what it is called itself. What the appliance
    would start without is a warning."""
    found: tuple[list[Mistake], list[Mistake]] = [], []
    for name, wanted in config.objects.items():
        if not isinstance(wanted, FileSet):
            continue
        try:
            read_list(Path(wanted.file), wanted.max)
        except ListError as error:
            what = f'object "{name}": {error.what}'
            mistake = Mistake(wanted.file, error.line, 1, what, error.found, error.hint)
            if not error.line:                  # it isn't in the list, but about the list
                place = config.place("objects", name, "file")
                mistake = Mistake(file, *place, what, f"{quoted(wanted.file)} ({error.found})", error.hint)
            found[wanted.missing != "refuse"].append(mistake)
    return found


class Sets:
    """All sets of one appliance, across its configurations."""

    def __init__(self, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._clock, self._wall = clock, wall
        self._sets: dict[str, _Set] = {}

    async def prepare(self, config: Config, file: str) -> None:
        """Have a list for each set of a configuration. ConfigError, with nothing changed: one that has none yet can't be read.

        `file` is what mistakes call the configuration's file.
        """
        found: dict[str, _Set] = {}
        mistakes: list[Mistake] = []
        for name, wanted in config.objects.items():
            if not isinstance(wanted, FileSet):
                continue
            found[name] = each = self._again(wanted)
            await self._read(each)
            if each.list is None and wanted.missing == "refuse":
                hint, place = "correct it, or say `missing: empty`", config.place("objects", name, "file")
                mistakes.append(Mistake(file, *place, f'object "{name}": {each.problem}', f"`{wanted.file}`", hint))
        if mistakes:
            raise ConfigError(mistakes)
        self._sets = found

    def _again(self, wanted: FileSet) -> _Set:
        """A set as it is wanted now, with what is known of its file."""
        old = self._sets.get(wanted.name)
        if old is None or (old.wanted.file, old.wanted.max) != (wanted.file, wanted.max):
            return _Set(wanted, 0.0)
        return _Set(wanted, 0.0, old.list, old.seen, old.refused, old.problem, old.stale)

    def extents(self) -> Mapping[str, Extent]:
        """What each set stands for."""
        return {name: each.extent for name, each in self._sets.items()}

    def deadline(self) -> float | None:
        """When to look next."""
        return min((each.due for each in self._sets.values()), default=None)

    async def look(self) -> list[str]:
        """Look at the files that are due: the names of the sets that mean something else now."""
        now = self._clock()
        changed = []
        for name, each in self._sets.items():
            if each.due <= now:
                before = each.extent
                await self._read(each)
                if each.extent != before:
                    changed.append(name)
        return changed

    async def _read(self, each: _Set) -> None:
        """Read a file if it is another than the last time, good or not. Without use for it, what was good stays."""
        now = self._clock()
        each.due = now + each.wanted.every
        path = Path(each.wanted.file)
        try:
            version = version_of(path)
            if version != each.seen and each.list is not None and self._wall() - version.modified / 1e9 < SETTLED:
                each.due = now + SETTLED  # it may still be written: half a line can be a wide network
            elif version != each.seen:
                each.seen = version
                each.refused = await self._take(each, path)
            self._say(each, each.refused)
        except ListError as error:
            self._say(each, str(error))
        self._age(each)

    async def _take(self, each: _Set, path: Path) -> str:
        """The list that is there now; why there is none, otherwise."""
        try:
            each.list = await asyncio.to_thread(read_list, path, each.wanted.max)
        except Unreadable:
            each.seen = None  # that may pass without any change to the file
            raise
        except ListError as error:
            return str(error)
        log.info("a set was read", set=each.wanted.name, entries=each.list.entries)
        return ""

    def _say(self, each: _Set, problem: str) -> None:
        """Log what has changed about the health of a set."""
        if problem and problem != each.problem and each.list is not None:
            log.warning("a set's file can't be used: what was good stays", set=each.wanted.name, problem=problem, entries=each.list.entries)
        elif problem and problem != each.problem:
            log.warning("a set's file can't be used: it stands for no address", set=each.wanted.name, problem=problem)
        each.problem = problem

    def _age(self, each: _Set) -> None:
        stale = False
        if each.list is not None and each.wanted.max_age is not None:
            end = each.list.version.modified / 1e9 + each.wanted.max_age
            stale = self._wall() >= end
            each.due = min(each.due, self._clock() + max(end - self._wall(), 0.0)) if not stale else each.due
        if stale and not each.stale:
            log.warning("a set is too old: it stands for no address now", set=each.wanted.name, max_age=each.wanted.max_age)
        each.stale = stale

    def status(self) -> list[dict[str, Any]]:
        """For people: each set with its state: good, kept (the file is worse than what was read), stale or empty."""
        return [self._status(name, each) for name, each in self._sets.items()]

    def _status(self, name: str, each: _Set) -> dict[str, Any]:
        state = "empty" if each.list is None else "stale" if each.stale else "kept" if each.problem else "good"
        return {
            "name": name, "file": each.wanted.file, "state": state, "entries": each.list.entries if each.list is not None else 0,
            "modified": each.list.version.modified / 1e9 if each.list is not None else None, "problem": each.problem,
        }  # fmt: skip
