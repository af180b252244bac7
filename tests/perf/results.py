"""What was measured, judged: medians, ratios by round, and whether a bar was reached. For people a table, for programs JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from tests.perf.measures import Figures
from tests.perf.rows import Bar, Row

Verdict = Literal["aim", "pass", "short", "failed"]
STYLES: dict[Verdict, str] = {"aim": "bold green", "pass": "green", "short": "red", "failed": "bold red"}


@dataclass(frozen=True, slots=True)
class Judged:
    """One bar: medians of both sides, the ratio's median and extremes. With nobody to compare, the ratio is the figure."""

    bar: Bar
    ours: float | None
    theirs: float | None
    ratio: float | None
    extremes: tuple[float, float] | None
    verdict: Verdict


@dataclass(slots=True)
class Result:
    """One row's figures by candidate, a mapping a round. A round in which a candidate failed has none of it, and the reason is kept."""

    row: Row
    rounds: list[dict[str, Figures]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def judged(self) -> list[Judged]:
        """Every bar of the row."""
        return [self._judge(bar) for bar in self.row.bars]

    def _judge(self, bar: Bar) -> Judged:
        pairs = [
            (found[self.row.ours][bar.figure], found[bar.against][bar.figure] if bar.against else 1.0)
            for found in self.rounds
            if {self.row.ours, bar.against} - {""} <= found.keys()
        ]
        ratios = [ours / theirs for ours, theirs in pairs if theirs]
        if not ratios:
            return Judged(bar, None, None, None, None, "failed")
        ratio = median(ratios)
        theirs = median(theirs for _, theirs in pairs) if bar.against else None
        return Judged(bar, median(ours for ours, _ in pairs), theirs, ratio, (min(ratios), max(ratios)), self._verdict(bar, ratio))

    def _verdict(self, bar: Bar, ratio: float) -> Verdict:
        sign = 1 if self.row.better == "more" else -1
        return "aim" if sign * ratio >= sign * bar.aim else "pass" if sign * ratio >= sign * bar.must else "short"


def as_data(result: Result) -> dict[str, Any]:
    """A row for JSON: what was to be reached, what was, and every round's figures."""
    bars = [
        {
            "figure": each.bar.figure,
            "against": each.bar.against or None,
            "must": each.bar.must,
            "aim": each.bar.aim,
            "ours": each.ours,
            "theirs": each.theirs,
            "ratio": each.ratio,
            "extremes": each.extremes,
            "verdict": each.verdict,
        }
        for each in result.judged()
    ]
    row = result.row
    return {
        "row": row.name,
        "what": row.what,
        "ours": row.ours,
        "better": row.better,
        "bars": bars,
        "rounds": result.rounds,
        "failures": result.failures,
    }


def number(value: float | None) -> str:
    """Three digits that matter."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(results: list[Result]) -> Table:
    """One line a bar."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("row", "what"):
        made.add_column(name, no_wrap=True)
    made.add_column("figure")
    for name in ("ours", "theirs", "ratio", "min-max", "bar", "aim"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("against")
    made.add_column("")
    for result in results:
        for each in result.judged():
            row, bar = result.row, each.bar
            extremes = f"{number(each.extremes[0])}-{number(each.extremes[1])}" if each.extremes and len(result.rounds) > 1 else ""
            sign = ">=" if row.better == "more" else "<="
            ratio = number(each.ratio) if bar.against else ""
            limits = (f"{sign} {bar.must:g}{bar.unit and ' ' + bar.unit}", f"{bar.aim:g}")
            sides, verdict = (number(each.ours), number(each.theirs)), f"[{STYLES[each.verdict]}]{each.verdict}[/]"
            made.add_row(row.name, row.what, bar.figure, *sides, ratio, extremes, *limits, bar.against, verdict)
    return made


def markdown(rows: list[dict[str, Any]]) -> str:
    """What `as_data` gave, as README shows it: one line a row, a cross where a bar was missed."""
    lines = ["| what | figure | against | measured | bar |", "|---|---|---|---|---|"]
    for row in rows:
        bars = row["bars"]
        sign = "≤" if row["better"] == "less" else "≥"
        against = " / ".join(dict.fromkeys(bar["against"] or "" for bar in bars))
        figures = " / ".join(dict.fromkeys(f"`{bar['figure']}`" for bar in bars))
        measured = " / ".join(number(bar["ratio"]) + " ✗" * (bar["verdict"] in ("short", "failed")) for bar in bars)
        limits = " / ".join(f"{bar['must']:g}" for bar in bars)
        lines.append(f"| {row['what']} | {figures} | {against.removesuffix(' / ')} | {measured} | {sign} {limits} |")
    return "\n".join(lines)


def show(results: list[Result], footer: str) -> None:
    """Print the table, why what failed did, and under what conditions."""
    console = Console(width=None if Console().is_terminal else 150, highlight=False)
    console.print(table(results))
    for result in results:
        for why in dict.fromkeys(result.failures):
            console.print(f"{result.row.name}: {why}", markup=False)
    console.print(footer, markup=False)
