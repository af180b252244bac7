"""What a reload can't change: sections that only a restart applies, since cards, tables and sockets were made by them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from appliance.config.errors import ConfigError, Mistake, listed
from appliance.config.models import Config
from appliance.config.places import named
from appliance.config.section import Section, dashed

HINT = "restart softena, or put it back"


def refuse_changes(old: Config, new: Config, path: Path) -> None:
    """Raises ConfigError, with all of them, if `new` differs from `old` where it can't. That things moved in the file is no difference."""
    what = "can't change while it runs"
    mistakes = [Mistake(str(path), *new.place(*key), f"{where}: {what}", found, HINT) for where, key, found in _changes(old, new)]
    if mistakes:
        raise ConfigError(mistakes)


def _changes(old: Config, new: Config) -> Iterator[tuple[str, Sequence[str], str]]:
    """Where in words, by which key, and what is new there."""
    if list(old.nics) != list(new.nics):
        others = [name for name in (*new.nics, *old.nics) if not (name in new.nics and name in old.nics)]
        moved = others or [name for name, before in zip(new.nics, old.nics, strict=True) if name != before]
        first = [name for name in moved if name in new.nics][:1]
        yield "nics", ("nics", *first), f"{listed(others)} come or gone" if others else "another order"
    for name in new.nics:
        if name in old.nics and (keys := _differing(old.nics[name], new.nics[name])):
            yield named("nics", name), _first(new, "nics", name, keys=keys), f"another {listed(keys)}"
    for section in ("host", "control", "limits"):
        if keys := _differing(getattr(old, section), getattr(new, section)):
            yield section, _first(new, section, keys=keys), f"another {listed(keys)}"


def _differing(old: Section, new: Section) -> list[str]:
    """The keys of which the values differ."""
    return [dashed(key) for key in type(new).model_fields if key != "line" and getattr(old, key) != getattr(new, key)]


def _first(config: Config, *path: str, keys: Sequence[str]) -> Sequence[str]:
    """The first of some keys that is written; where they would be, if none is."""
    return min(((*path, key) for key in keys), key=lambda key: (key not in config.places, config.place(*key)))
