"""Both sides in tables: for people, as RESULTS.md, and as JSON."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from tests.conformance.programs import versions
from tests.conformance.verdict import NOT_TOLD, Row, Tester
from tests.perf.machine import commit


@dataclass(frozen=True, slots=True)
class Table:
    """One tester and its rows. `left_out` is why it did not run; empty if it did."""

    tester: Tester
    rows: tuple[Row, ...] = ()
    seconds: float = 0.0
    left_out: str = ""

    @property
    def unexplained(self) -> list[Row]:
        """Rows that nobody can explain."""
        return [row for row in self.rows if row.unexplained]


def markdown(tables: Sequence[Table], command: str) -> str:
    """RESULTS.md."""
    head = f"""# Foreign testers

`{command}`, {datetime.now(UTC):%Y-%m-%d}, Linux {platform.release()}, commit {commit() or "unknown"}.

Each tester was run against the kernel (nftables, stateful, with masquerade) and against the appliance, both told the same
[policy](policy.py), between the same three hosts. What stands in brackets is told, not compared; {NOT_TOLD}: the tester can't say, and why.

"""
    lines = ["| tester | cases | alike | otherwise on purpose | unexplained | not told | s |", "|---|--:|--:|--:|--:|--:|--:|"]
    lines += [summary(table) for table in tables]
    programs = sorted({(name, version) for table in tables for name, version in versions(table.tester.needs).items()})
    told = f"\nPrograms: {', '.join(f'{name} {version}' for name, version in programs)}.\n"
    return head + "\n".join(lines) + "\n" + told + "".join(section(table) for table in tables)


def summary(table: Table) -> str:
    """A line about a tester."""
    if table.left_out:
        return f"| {table.tester.title} | {NOT_TOLD} ({cell(table.left_out)}) | | | | | |"
    differing, untold = sum(row.differs for row in table.rows), sum(NOT_TOLD in (row.kernel.word, row.ours.word) for row in table.rows)
    unexplained, all_rows = len(table.unexplained), len(table.rows)
    numbers = (all_rows, all_rows - differing - untold, differing - unexplained, unexplained, untold, round(table.seconds))
    return f"| {table.tester.title} | {' | '.join(map(str, numbers))} |"


def section(table: Table) -> str:
    """A tester's table."""
    if table.left_out:
        return f"\n## {table.tester.title}\n\nNot run: {table.left_out}\n"
    rows = [f"| {cell(row.case)} | {cell(str(row.kernel))} | {cell(str(row.ours))} | {cell(remark(row))} |" for row in table.rows]
    return "\n".join(("", f"## {table.tester.title}", "", "| case | kernel | ours | |", "|---|---|---|---|", *rows, ""))


def remark(row: Row) -> str:
    """What is said of a difference."""
    return row.explanation or ("**unexplained**" if row.unexplained else "")


def cell(text: str) -> str:
    """Text that doesn't end its cell."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def as_data(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """For programs."""
    return [
        {"tester": table.tester.name, "seconds": round(table.seconds, 1), "left_out": table.left_out,
         "programs": versions(table.tester.needs), "rows": [asdict(row) for row in table.rows]}
        for table in tables
    ]  # fmt: skip
