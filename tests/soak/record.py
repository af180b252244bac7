"""RESULTS.md: of each soak the last run that was recorded, with its own command, commit and machine. What people wrote beside stays.

    # Recorded runs            words
    ## flood                   replaced by the next recorded flood
    ## cut                     replaced by the next recorded cut
    ## anything else           words
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.soak.bars import Bar, Found

RESULTS: Final = Path(__file__).with_name("RESULTS.md")
SECTION: Final = "\n## "


def record(found: Found, command: str, facts: dict[str, Any], order: Sequence[str], path: Path = RESULTS) -> None:
    """Put a run in the place of that soak's last one. `order`: of all soaks; whatever else has a heading comes after them."""
    head, *sections = path.read_text().rstrip().split(SECTION) if path.exists() else ["# Recorded runs\n"]
    by_title = {text.partition("\n")[0]: text.rstrip() for text in sections}
    by_title[found.soak] = section(found, command, facts)
    titles = sorted(by_title, key=lambda title: order.index(title) if title in order else len(order))
    path.write_text("\n".join([head.rstrip() + "\n", *(f"## {by_title[title]}\n" for title in titles)]))


def section(found: Found, command: str, facts: dict[str, Any]) -> str:
    """One run, below its heading."""
    machine = f"{facts['cpus']} CPUs ({facts['model']}), Linux {facts['kernel']}, Python {facts['python']}"
    load = f"niceness {facts['nice']}, load average {found.load[0]:g} before, {found.load[1]:g} after"
    lines = [
        f"{found.soak}\n\n    {command}\n",
        f"Commit {facts['commit'] or 'unknown'}, {facts['when']}, {machine}; {load}.\n",
        "| promised | measured | bar | |",
        "|---|--:|--:|---|",
        *map(row, found.bars),
        f"\n{found.told()}.",
    ]
    return "\n".join(lines)


def row(bar: Bar) -> str:
    """A promise, and whether it was kept."""
    return f"| {bar.what} | {bar.value:,.6g}{bar.unit} | {bar.bound} | {'kept' if bar.met else '**missed**'} |"
