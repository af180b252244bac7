"""The instrument runs, judges right, and leaves nothing behind. What it measures is for a calm machine: here margins are very wide."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Literal

import pytest

from appliance.host.links import NAMESPACES
from tests.e2e.host import eventually
from tests.e2e.host import missing as missing_for_labs
from tests.perf import measures
from tests.perf.__main__ import Lab
from tests.perf.candidates import CANDIDATES
from tests.perf.measures import Figures, idle
from tests.perf.process import cpu_by_thread, cpu_seconds
from tests.perf.programs import missing
from tests.perf.results import Result, Verdict, as_data, markdown
from tests.perf.rig import PREFIX
from tests.perf.rows import ROWS, Bar, Row

ROOT = Path(__file__).parents[2]


@pytest.fixture
def machine() -> None:
    """Skips, saying what is missing."""
    if what := missing_for_labs():
        pytest.skip(what)
    if what := missing("ip", "nft", "iperf3", "taskset", "gcc"):
        pytest.skip(f"the benchmark needs {what}")


def bench(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.perf", *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def left_behind(by: int) -> list[Path]:
    return list(NAMESPACES.glob(f"{PREFIX}-{by}-*"))


@pytest.mark.perf
@pytest.mark.usefixtures("machine")
def test_two_short_rows_come_out_within_very_wide_margins(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    run = bench("--rows", "frames,round-trip", "--rounds", "1", "--seconds", "0.3", "--json", str(file))
    output, errors = run.communicate(timeout=120)
    assert run.returncode == 0, output + errors
    assert not left_behind(run.pid)
    data = json.loads(file.read_text())
    assert data["machine"]["cpus"] and data["machine"]["kernel"] in output
    ratios: dict[tuple[str, str], Any] = {(row["row"], bar["figure"]): bar["ratio"] for row in data["rows"] for bar in row["bars"]}
    assert ratios["frames", "core_kpps"] > 0.2
    assert ratios["round-trip", "p50_us"] < 30


FAMILIES: Final = ("frames", "first-met", "bulk", "connections", "new-flow", "new-kind", "round-trip", "flood", "memory", "start", "idle")
"""A row of each way to measure."""
TINY: Final = {"FIRST_MET": 0.3, "NEW_KINDS": 100, "MILLION": 2_000, "PART": 1_000, "ANNOUNCING": 0.0, "IDLE": 0.2}


@pytest.mark.perf
@pytest.mark.usefixtures("machine")
def test_every_way_to_measure_gives_the_figures_that_its_bars_are_about(monkeypatch: pytest.MonkeyPatch) -> None:
    by_name = {row.name: row for row in ROWS}
    assert {row.measure.__qualname__ for row in ROWS} == {by_name[name].measure.__qualname__ for name in FAMILIES}
    for constant, value in TINY.items():
        monkeypatch.setattr(measures, constant, value)
    with Lab() as lab:
        for name in FAMILIES:
            figures = by_name[name].measure(lab.rig("softena, 4 queues, checked"), 0.2)
            assert {bar.figure for bar in by_name[name].bars} <= figures.keys(), name
            assert all(math.isfinite(value) for value in figures.values()), name
        assert {"p50_us", "p99_us"} <= by_name["flood"].measure(lab.rig("tapfwd -q"), 0.2).keys()


@pytest.mark.perf
@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_behind(number: signal.Signals) -> None:
    run = bench("--rows", "frames", "--rounds", "1", "--seconds", "60")
    eventually(lambda: len(left_behind(run.pid)) == 3, "it has made its namespaces")
    run.send_signal(number)
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 130, output + errors
    assert not left_behind(run.pid)


def test_the_cpu_time_of_a_process_is_that_of_all_its_threads_ended_ones_too() -> None:
    burn = "import time\ndef f():\n while time.thread_time() < 0.1: pass\n"
    code = burn + "import threading\nt = threading.Thread(target=f); t.start(); t.join(); f(); print('burnt', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdin
        child.stdout.readline()
        used, living = cpu_seconds(child.pid), sum(cpu_by_thread(child.pid).values())
        with open(f"/proc/{child.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        by_ticks = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        child.stdin.close()
    assert used >= 0.2 > living - 0.1
    assert abs(used - by_ticks) <= 0.05


def row(better: Literal["more", "less"] = "more", against: str = "limit") -> Row:
    limits = (0.8, 1.1) if better == "more" else (1.1, 0.8)
    return Row("r", "", idle, (Bar("speed", against, *limits),), ours="us", better=better)


@pytest.mark.parametrize(
    ("better", "rounds", "ratio", "verdict"),
    [
        ("more", [(4.0, 5.0), (9.0, 10.0), (1.0, 10.0)], 0.8, "pass"),  # round by round: not the ratio of two medians
        ("more", [(7.9, 10.0)], 0.79, "short"),
        ("more", [(11.0, 10.0)], 1.1, "aim"),
        ("less", [(11.0, 10.0)], 1.1, "pass"),
        ("less", [(12.0, 10.0)], 1.2, "short"),
        ("less", [(8.0, 10.0)], 0.8, "aim"),
    ],
)
def test_a_bar_is_judged_by_the_median_of_its_rounds(
    better: Literal["more", "less"], rounds: list[tuple[float, float]], ratio: float, verdict: Verdict
) -> None:
    found: list[dict[str, Figures]] = [{"us": {"speed": ours}, "limit": {"speed": theirs}} for ours, theirs in rounds]
    [judged] = Result(row(better), found).judged()
    assert judged.verdict == verdict
    assert judged.ratio == pytest.approx(ratio)


def test_who_could_not_be_measured_has_failed_and_a_figure_alone_is_its_own_ratio() -> None:
    [judged] = Result(row(), [{"us": {"speed": 1.0}}]).judged()
    assert judged.verdict == "failed" and judged.ratio is None
    [judged] = Result(row(against=""), [{"us": {"speed": 0.9}}, {}]).judged()
    assert judged.verdict == "pass" and judged.ratio == 0.9


def test_readme_shows_one_line_a_row_and_crosses_what_fell_short() -> None:
    short = as_data(Result(row("less"), [{"us": {"speed": 12.0}, "limit": {"speed": 10.0}}]))
    assert markdown([short]).splitlines()[-1] == "|  | `speed` | limit | 1.2 ✗ | ≤ 1.1 |"


def test_every_bar_names_a_candidate_and_its_aim_is_beyond_it() -> None:
    for each in ROWS:
        assert set(each.candidates) <= CANDIDATES.keys()
        for bar in each.bars:
            assert bar.aim > bar.must if each.better == "more" else bar.aim < bar.must or bar.aim == bar.must == 0
