"""What a soak has found, held against what was promised: for people a line each, for programs JSON."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.perf import machine


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise: what was measured, and the limit. `at_least`: more is better."""

    what: str
    value: float
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the promise was kept."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def bound(self) -> str:
        """The limit, and on which side of it is good."""
        return f"{'≥' if self.at_least else '≤'} {self.limit:,g}{self.unit}"

    def __str__(self) -> str:
        return f"{'ok  ' if self.met else 'MISS'} {self.what}: {self.value:,.6g}{self.unit} ({self.bound})"


@dataclass(slots=True)
class Found:
    """One soak's bars, and figures that nothing was promised about."""

    soak: str
    bars: list[Bar] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    load: tuple[float, float] = (0.0, 0.0)

    @property
    def met(self) -> bool:
        """Whether all promises were kept."""
        return all(bar.met for bar in self.bars)

    def at_most(self, what: str, value: float, limit: float = 0, unit: str = "") -> None:
        self.bars.append(Bar(what, value, limit, unit))

    def at_least(self, what: str, value: float, limit: float, unit: str = "") -> None:
        self.bars.append(Bar(what, value, limit, unit, at_least=True))

    def show(self) -> str:
        """Lines for people."""
        load = f"  load average {self.load[0]} to {self.load[1]}"
        return "\n".join([f"{self.soak}: {self.told()}", *(f"  {bar}" for bar in self.bars), load])

    def told(self) -> str:
        """The figures, in a line."""
        return ", ".join(f"{name} {f'{value:,.4g}' if isinstance(value, float) else value}" for name, value in self.figures.items())

    def data(self) -> dict[str, Any]:
        """The same for JSON."""
        bars = [asdict(bar) | {"met": bar.met} for bar in self.bars]
        return {"soak": self.soak, "met": self.met, "bars": bars, "figures": self.figures, "load": self.load}


def facts() -> dict[str, Any]:
    """Where and of what."""
    return machine.facts() | {"nice": os.nice(0)}
