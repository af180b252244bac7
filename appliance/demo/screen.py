"""How the demo is shown: a line for each scene when it ends (on a terminal also those under way), and at the end the table of all."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from appliance.demo.scene import Outcome, Scene

PLAIN_WIDTH = 200
"""Columns where there is no terminal to ask."""


class Screen:
    """Shows scenes and what became of them. Use it as a context; leaving it shows the table."""

    def __init__(self, scenes: list[Scene]) -> None:
        self._scenes = scenes
        self._running: dict[int, Spinner] = {}
        self._outcomes: dict[int, Outcome] = {}
        terminal = sys.stdout.isatty()
        self._console = Console(width=None if terminal else PLAIN_WIDTH)
        self._live = Live(get_renderable=self._under_way, console=self._console, transient=True) if terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
        if self._outcomes:
            self._console.print(self._table())

    def say(self, line: str) -> None:
        """A remark between the scenes."""
        self._console.print(Text(line))

    def begins(self, scene: Scene) -> None:
        """A scene is being played."""
        self._running[id(scene)] = Spinner("dots", Text(scene.title, style="dim"), style="cyan")

    def ended(self, scene: Scene, outcome: Outcome) -> None:
        """A scene is over."""
        self._running.pop(id(scene), None)
        self._outcomes[id(scene)] = outcome
        mark = Text("ok   ", style="green") if outcome.agrees else Text("FAIL ", style="bold red")
        self._console.print(mark + Text(f"{scene.title}: {outcome.happened}"))

    def _under_way(self) -> Table:
        table = Table.grid()
        for spinner in list(self._running.values()):  # shown by another thread
            table.add_row(spinner)
        return table

    def _table(self) -> Table:
        table = Table(box=SIMPLE, pad_edge=False, header_style="bold")
        for column in ("", "what", "expected", "happened"):
            table.add_column(column, overflow="fold")
        for scene in self._scenes:
            outcome = self._outcomes.get(id(scene), Outcome(False, "not played"))
            mark = Text("✓", style="green") if outcome.agrees else Text("✗", style="bold red")
            happened = Text(outcome.happened, style="" if outcome.agrees else "red")
            table.add_row(mark, Text(scene.title), Text(scene.expected, style="dim"), happened)
        return table
