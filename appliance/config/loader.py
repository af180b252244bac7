"""From a file to a `Config`, or to every mistake in it at once.

    bytes  --source.py-->  text  --document.py-->  nodes  --shape.py-->  modelled tree  --validate.py-->  models  --checks.py-->  Config

Mistakes of text and syntax end the reading where they occur, since what follows can't be trusted; all others are collected.
`ConfigError` is the only exception that leaves, whatever the file holds.
"""

from __future__ import annotations

from pathlib import Path

from appliance.collector import paused
from appliance.config.checks import check
from appliance.config.document import Node, read_document
from appliance.config.errors import ConfigError, Mistake
from appliance.config.finding import Finding
from appliance.config.models import Config
from appliance.config.places import locate, subject
from appliance.config.shape import shape
from appliance.config.source import Source, checked, open_source
from appliance.config.validate import validate


def load(path: Path) -> Config:
    """Read a file. Raises ConfigError with every mistake found; what is odd but usable ends in `Config.warnings`."""
    return _load(open_source(path))


def loads(text: str, name: str = "config.yaml") -> Config:
    """Read a text; `name` is what messages call it. Raises ConfigError as `load` does."""
    return _load(checked(text, name))


@paused()
def _load(source: Source) -> Config:
    root, mistakes = read_document(source)
    tree, more = shape(root, source)
    draft = validate(tree, source)
    mistakes += more + draft.mistakes
    warnings: list[Mistake] = []
    if draft.config is not None:
        for finding in check(draft.config, draft.broken):
            (warnings if finding.warning else mistakes).append(_mistake(finding, draft.tree, source))
    if mistakes or draft.config is None:
        raise ConfigError(_in_order(mistakes))
    return draft.config.model_copy(update={"warnings": tuple(_in_order(warnings))})


def _mistake(finding: Finding, tree: Node, source: Source) -> Mistake:
    entry = locate(tree, finding.path)
    where = subject(tree, finding.path)
    at = entry.at if finding.at_key else entry.node.at
    return source.mistake(at, f"{where}: {finding.what}" if where else finding.what, finding.found or entry.node.shown(), finding.hint)


def _in_order(mistakes: list[Mistake]) -> list[Mistake]:
    """By place, each once: two readers may object to the same text."""
    return sorted(dict.fromkeys(mistakes), key=lambda mistake: (mistake.line, mistake.column))
