"""How the demo is shown: on a terminal a table that fills as it happens, elsewhere a line for each scene, and the table at the end."""

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


class Screen:
    """Shows scenes and what became of them. Use it as a context; leaving it leaves the table."""

    def __init__(self, scenes: list[Scene]) -> None:
        self._scenes = scenes
        self._running: dict[int, Spinner] = {}
        self._outcomes: dict[int, Outcome] = {}
        terminal = sys.stdout.isatty()
        self._console = Console(width=None if terminal else 200)
        self._live: Live | None = None
        if terminal:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=8, vertical_overflow="visible")

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._outcomes:
            self._console.print(self._table())

    def say(self, line: str) -> None:
        """A remark between the scenes."""
        self._console.print(Text(line))

    def begins(self, scene: Scene) -> None:
        """A scene is being played."""
        self._running[id(scene)] = Spinner("dots", style="cyan")

    def ended(self, scene: Scene, outcome: Outcome) -> None:
        """A scene is over."""
        self._running.pop(id(scene), None)
        self._outcomes[id(scene)] = outcome
        if self._live is None:
            self._console.print(Text(f"{'ok  ' if outcome.agrees else 'FAIL'} {scene.title}: {outcome.happened}"))

    def _table(self) -> Table:
        table = Table(box=SIMPLE, pad_edge=False, header_style="bold")
        for column in ("", "what", "expected", "happened"):
            table.add_column(column, overflow="fold")
        for scene in self._scenes:
            mark, happened = self._state(scene)
            table.add_row(mark, Text(scene.title), Text(scene.expected, style="dim"), happened)
        return table

    def _state(self, scene: Scene) -> tuple[Text | Spinner, Text]:
        outcome = self._outcomes.get(id(scene))
        if outcome is None:
            return self._running.get(id(scene), Text("·", style="dim")), Text("")
        if outcome.agrees:
            return Text("✓", style="green"), Text(outcome.happened)
        return Text("✗", style="bold red"), Text(outcome.happened, style="red")
