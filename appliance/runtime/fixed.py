"""What a reload can't change: sections that only a restart applies, since cards, tables and sockets were made by them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from appliance.config.errors import ConfigError, Mistake, listed
from appliance.config.models import Config
from appliance.config.places import named
from appliance.config.section import Section

HINT = "restart softena, or put it back"


def refuse_changes(old: Config, new: Config, path: Path) -> None:
    """Raises ConfigError, with all of them, if `new` differs from `old` where it can't. That things moved in the file is no difference."""
    what = "can't change while it runs"
    mistakes = [Mistake(str(path), line, 1, f"{where}: {what}", found, HINT) for where, line, found in _changes(old, new)]
    if mistakes:
        raise ConfigError(mistakes)


def _changes(old: Config, new: Config) -> Iterator[tuple[str, int, str]]:
    """Where, on which line, and what is new there."""
    if list(old.nics) != list(new.nics):
        others = [name for name in (*new.nics, *old.nics) if not (name in new.nics and name in old.nics)]
        yield "nics", 1, f"{listed(others)} come or gone" if others else "another order"
    for name in new.nics:
        if name in old.nics and (keys := _differing(old.nics[name], new.nics[name])):
            yield named("nics", name), max(new.nics[name].line, 1), f"another {keys}"
    for section in ("host", "control", "limits"):
        if keys := _differing(getattr(old, section), getattr(new, section)):
            yield section, 1, f"another {keys}"


def _differing(old: Section, new: Section) -> str:
    """The keys of which the values differ, in words; nothing if there are none."""
    keys = [key for key in type(new).model_fields if key != "line" and getattr(old, key) != getattr(new, key)]
    return listed(key.replace("_", "-") for key in keys) if keys else ""
