"""README's table of drivers by capabilities, made by trying all of them.

    .venv/bin/python -m tests.guest.table                        # everything, some minutes a column
    .venv/bin/python -m tests.guest.table 6.12 --only faults     # again: one chapter with one kernel

Each run keeps its verdicts in build/drivers.json beside those of earlier runs, and writes README's table anew from that file.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.guest.capabilities import CAPABILITIES
from tests.guest.chapters import CHAPTERS, run
from tests.guest.lab import Said, Verdict

ROOT = Path(__file__).parent.parent.parent
RESULTS, README = ROOT / "build" / "drivers.json", ROOT / "README.md"
BEGIN, END = "<!-- drivers -->\n", "<!-- /drivers -->\n"

KERNELS = ("6.1", "6.12", "backports")
PROGRAMS = {"dpdk-host": "test_dpdk_host.py", "dpdk-guest": "test_dpdk_guest.py"}
"""Columns whose tests print their verdicts themselves."""
ONE_SIDE = "tried without a guest only"
UNTRIED = {
    "mtu": "testpmd changes the MTU of a stopped port only",
    "reload": "killed and started again a few times, not unloaded",
    "two-cards": "testpmd was given one card",
    **dict.fromkeys(("tso-off", "fault-link", "fault-tx-id", "fault-rx-id"), ONE_SIDE),
}
"""Why there is no verdict on some capability, where programs have none."""
TITLES = {"6.1": "Linux {}", "6.12": "Linux {}", "backports": "Linux {}", "dpdk-host": "DPDK, no guest", "dpdk-guest": "DPDK in a guest"}
SIGNS = {"ok": "✓", "FAIL": "✗", "n/a": "n/a"}

Cells = dict[str, Verdict]
Results = dict[str, dict[str, object]]


def main() -> int:
    """Try what was asked for. Status 1 if something failed."""
    parser = argparse.ArgumentParser(prog="tests.guest.table", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("columns", nargs="*", metavar="COLUMN", help=", ".join(TITLES))
    parser.add_argument("--only", action="append", choices=[chapter.name for chapter in CHAPTERS], help="chapters; default: all")
    wanted = parser.parse_args()
    if unknown := set(wanted.columns) - set(TITLES):
        parser.error(f"no such column: {', '.join(sorted(unknown))}")
    results: Results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    failed = False
    for column in wanted.columns or TITLES:
        version, cells = _try_kernel(column, wanted.only) if column in KERNELS else _try_program(PROGRAMS[column])
        failed |= any(verdict.word == "FAIL" for verdict in cells.values())
        _keep(results, column, version, cells)
    README.write_text(inserted(README.read_text(), table(results)))
    return int(failed)


def _try_kernel(kernel: str, only: Sequence[str] | None) -> tuple[str, Cells]:
    """All chapters, or some, with one kernel."""
    version = ""
    cells: Cells = {}
    for chapter in CHAPTERS:
        if only is None or chapter.name in only:
            print(f"== {kernel}: {chapter.name}", flush=True)
            said = run(chapter, kernel)
            version = _version(said) or version
            cells |= {name: said.verdicts.get(name, Verdict("FAIL", "the guest said nothing of it")) for name in chapter.proves}
    return version, cells


def _version(said: Said) -> str:
    match = re.search(r"run-guest: (\d[\d.]*)\S* up after", "\n".join(said.lines))
    return match[1].removesuffix(".0") if match else ""


def _try_program(name: str) -> tuple[str, Cells]:
    """A column of a test file of its own."""
    said = Said()
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", str(Path(__file__).parent / name)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, errors="replace") as program:
        assert program.stdout is not None
        for line in program.stdout:
            print(line, end="", flush=True)
            said.hear(line.rstrip())
    return "", {name: verdict for name, verdict in said.verdicts.items() if name in CAPABILITIES}


def _keep(results: Results, column: str, version: str, cells: Cells) -> None:
    """Put new verdicts over old ones, in the file too."""
    kept = results.setdefault(column, {"version": "", "cells": {}})
    kept["version"] = version or kept["version"]
    kept["cells"] = {**_cells(kept), **{name: [verdict.word, verdict.why] for name, verdict in cells.items()}}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def _cells(kept: Mapping[str, object]) -> dict[str, list[str]]:
    cells = kept["cells"]
    assert isinstance(cells, dict)
    return cells


def table(results: Results) -> str:
    """The table in Markdown, with a footnote for each reason why something can't work or did not."""
    notes: list[str] = []
    titles = [TITLES[column].format(results.get(column, {}).get("version") or column) for column in TITLES]
    lines = ["| | " + " | ".join(titles) + " |", "|---|" + ":-:|" * len(titles)]
    for name, title in CAPABILITIES.items():
        silent = ["n/a", UNTRIED.get(name, "not tried")]
        cells = [_cells(results[column]).get(name, silent) if column in results else ["n/a", "not tried"] for column in TITLES]
        lines.append(f"| {title} | " + " | ".join(_sign(cell, notes) for cell in cells) + " |")
    return "\n".join([*lines, "", *(f"{number}. {note}" for number, note in enumerate(notes, 1))]) + "\n"


def _sign(cell: Sequence[str], notes: list[str]) -> str:
    """What stands in a cell; a reason becomes a note, once."""
    word, why = cell
    if not why:
        return SIGNS[word]
    if why not in notes:
        notes.append(why)
    return f"{SIGNS[word]} ({notes.index(why) + 1})"


def inserted(text: str, made: str) -> str:
    """A README with the table between its marks."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + made + END + rest.split(END)[1]


if __name__ == "__main__":
    sys.exit(main())
