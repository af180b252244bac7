"""From a file to a `Config`, or to every mistake in it at once.

    bytes  --source.py-->  text  --document.py-->  nodes  --shape.py-->  modelled tree  --validate.py-->  models  --checks.py-->  Config

Mistakes of text and syntax end the reading where they occur, since what follows can't be trusted; all others are collected.
`ConfigError` is the only exception that leaves, whatever the file holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from appliance.collector import paused
from appliance.config.checks import check
from appliance.config.document import Entry, Node, read_document
from appliance.config.errors import ConfigError, Mistake
from appliance.config.finding import Finding
from appliance.config.models import Config
from appliance.config.places import locate, subject
from appliance.config.shape import shape
from appliance.config.source import Place, Source, checked, open_source
from appliance.config.validate import validate

PLACED: Final = ("nics", "objects", "limits", "host", "control")
"""Sections with keys that only a running appliance can object to: where they are is remembered."""


def load(path: Path, instant: float | None = None) -> Config:
    """Read a file. Raises ConfigError with every mistake found; what is odd but usable ends in `Config.warnings`.

    `instant`: seconds since the epoch, by which what is over is odd; None: nobody asks.
    """
    return _load(open_source(path), instant)


def loads(text: str, name: str = "config.yaml", instant: float | None = None) -> Config:
    """Read a text; `name` is what messages call it. Raises ConfigError as `load` does."""
    return _load(checked(text, name), instant)


@paused()
def _load(source: Source, instant: float | None) -> Config:
    root, mistakes = read_document(source)
    tree, more = shape(root, source)
    draft = validate(tree, source)
    mistakes += more + draft.mistakes
    warnings: list[Mistake] = []
    if draft.config is not None:
        for finding in check(draft.config, draft.broken, instant):
            (warnings if finding.warning else mistakes).append(_mistake(finding, draft.tree, source))
    if mistakes or draft.config is None:
        raise ConfigError(_in_order(mistakes))
    return draft.config.model_copy(update={"warnings": tuple(_in_order(warnings)), "places": dict(_places(root, source))})


def _mistake(finding: Finding, tree: Node, source: Source) -> Mistake:
    entry = locate(tree, finding.path)
    where = subject(tree, finding.path)
    at = entry.at if finding.at_key else entry.node.at
    return source.mistake(at, f"{where}: {finding.what}" if where else finding.what, finding.found or entry.node.shown(), finding.hint)


def _places(root: Node, source: Source) -> Iterator[tuple[tuple[str, ...], Place]]:
    """Where the keys of some sections are, and those inside of them; of objects, only those with a file have any that matter."""
    top = root.value if isinstance(root.value, dict) else {}
    waiting: list[tuple[tuple[str, ...], Entry]] = [((section,), top[section]) for section in PLACED if section in top]
    while waiting:
        path, entry = waiting.pop()
        inside = entry.node.value
        if path[0] == "objects" and len(path) == 2 and not (isinstance(inside, dict) and "file" in inside):
            continue
        yield path, source.place(entry.at)
        if isinstance(inside, dict) and len(path) < 3:
            waiting += [((*path, key), each) for key, each in inside.items()]


def _in_order(mistakes: list[Mistake]) -> list[Mistake]:
    """By place, each once: two readers may object to the same text."""
    return sorted(dict.fromkeys(mistakes), key=lambda mistake: (mistake.line, mistake.column))
