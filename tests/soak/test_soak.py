"""Every soak for seconds, at a fraction of its size: it runs, finds what is wrong, and keeps its promises, in time by wide margins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.host import missing as missing_for_labs
from tests.perf.programs import missing
from tests.soak import __main__ as soak
from tests.soak import cut as cutting
from tests.soak import flood as flooding
from tests.soak.bars import Bar, Found
from tests.soak.record import record

WIDE = {
    "growth of memory": 0.2, flooding.GOODPUT: 0.4, "slowest new connection to `self`": 10.0, flooding.OFFERED: 0.5, flooding.LOST: 0.2,
}  # fmt: skip

SHOWN = """## {}

    soak {}

Commit abc, today, 2 CPUs (m), Linux 6, Python 3.11; niceness 0, load average 0.5 before, 1.25 after.

| promised | measured | bar | |
|---|--:|--:|---|
| lost | {} | ≤ 0 | {} |

flows 3.
"""


@pytest.fixture
def machine() -> None:
    """Skips, saying what is missing."""
    if what := missing_for_labs() or missing("ip", "nft", "iperf3", "ss", "prlimit", "gcc"):
        pytest.skip(f"soaks need {what}")


@pytest.mark.perf
@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(("name", "seconds", "size"), [("reload", 4, 0.01), ("cut", 1, 0.02), ("targets", 1, 0.25), ("flood", 4, 0.2)])
def test_a_short_soak_keeps_its_promises(name: str, seconds: float, size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "IDLE_FOR", 0.2)
    found = soak.SOAKS[name](seconds, size)
    broken = [bar for bar in found.bars if not Bar(bar.what, bar.value, WIDE.get(bar.what, bar.limit), at_least=bar.at_least).met]
    assert not broken and found.bars, found.show()


def test_what_was_found_is_told_to_people_and_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def short(seconds: float, size: float) -> Found:
        found = Found("short", figures={"flows": 3})
        found.at_most("lost", 1)
        found.at_least("kept", 0.95, 0.9)
        return found

    monkeypatch.setattr(soak, "SOAKS", {"short": short})
    monkeypatch.setattr(soak, "sweep", lambda prefix: None)
    monkeypatch.setattr(soak.os, "geteuid", lambda: 0)
    assert soak.main(["short", "--json", str(tmp_path / "found.json")]) == 1
    shown = capsys.readouterr().out
    assert "MISS lost: 1 (≤ 0)" in shown and "ok   kept: 0.95 (≥ 0.9)" in shown
    [found] = json.loads((tmp_path / "found.json").read_text())["soaks"]
    assert (found["met"], [bar["met"] for bar in found["bars"]]) == (False, [False, True])


def test_a_recorded_run_takes_the_place_of_that_soaks_last_one_and_leaves_all_else(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    path.write_text("# Recorded runs\n\nWords.\n\n## cut\n\nold\n\n## What fell short\n\nMore words.\n")
    facts = {"cpus": 2, "model": "m", "kernel": "6", "python": "3.11", "commit": "abc", "when": "today", "nice": 0}
    for name, value in (("cut", 1.0), ("flood", 2.0), ("cut", 0.0)):
        found = Found(name, figures={"flows": 3}, load=(0.5, 1.25))
        found.at_most("lost", value)
        record(found, f"soak {name}", facts, ["flood", "cut"], path)
    flood, cut = (SHOWN.format(*each) for each in (("flood", "flood", 2, "**missed**"), ("cut", "cut", 0, "kept")))
    assert path.read_text() == f"# Recorded runs\n\nWords.\n\n{flood}\n{cut}\n## What fell short\n\nMore words.\n"
