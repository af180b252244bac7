"""What a reload can't change: sections that only a restart applies, since cards, tables and sockets were made by them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from appliance.config.errors import ConfigError, Mistake
from appliance.config.models import Config

HINT = "restart softena, or put it back"


def refuse_changes(old: Config, new: Config, path: Path) -> None:
    """Raises ConfigError, with all of them, if `new` differs from `old` where it can't. That things moved in the file is no difference."""
    mistakes = [Mistake(str(path), line, 1, what, "changed while running", HINT) for what, line in _changes(old, new)]
    if mistakes:
        raise ConfigError(mistakes)


def _changes(old: Config, new: Config) -> Iterator[tuple[str, int]]:
    if list(old.nics) != list(new.nics):
        yield "section nics", 1
    for name in old.nics.keys() & new.nics.keys():
        here = new.nics[name]
        if here != old.nics[name].model_copy(update={"line": here.line}):
            yield f"nic {name}", max(here.line, 1)
    for section in ("host", "control", "limits"):
        if getattr(old, section) != getattr(new, section):
            yield f"section {section}", 1
