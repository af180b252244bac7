"""Measures the appliance beside what people would use instead, in one run, and says which bars it reaches.

    .venv/bin/python -m tests.perf                                all rows, some twenty minutes
    .venv/bin/python -m tests.perf --rows frames,round-trip       these
    .venv/bin/python -m tests.perf --profile frames               where the time goes in one row, by perf and py-spy

It takes root and gcc, and `apt install iproute2 nftables iperf3`; `haproxy`, `linux-perf` and `pip install py-spy` for what needs them.

    rows.py         what is measured, and the bars          measures.py    how
    fairness.py     the same beside a flood                 rig.py         one of them between two hosts; hosts.py
    candidates.py   who: ours, tapfwd, kernel, HAProxy      machine.py     facts about where it ran
    programs/       load in C, and the limit                process.py     CPU time and memory
    results.py      medians, ratios, verdicts               profile.py     where the time goes

Candidates stand side by side and take turns, round by round, so that each round's ratio compares neighbours in time. Figures that count CPU
time (core_kpps, us_flow) hold on a loaded machine; ratios of what the wall clock sees want a calm one: look at the load below the table.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from appliance.host.links import NAMESPACES
from appliance.host.namespaces import delete, sweep
from ena_dev.errors import SoftenaError
from tests.perf import machine
from tests.perf.candidates import CANDIDATES
from tests.perf.hosts import RigError
from tests.perf.measures import Figures
from tests.perf.process import be_nice
from tests.perf.profile import profile
from tests.perf.programs import missing
from tests.perf.results import Result, as_data, markdown, show
from tests.perf.rig import PREFIX, Rig
from tests.perf.rows import ROWS, Row

Say = Callable[[str], None]


class Lab:
    """The rigs of a run, each made when first needed, all gone at the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._rigs: dict[str, Rig] = {}

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        self._stack.close()
        for path in NAMESPACES.glob(f"{PREFIX}-{os.getpid()}-*"):  # whatever an interrupt left between being made and being known
            delete(path.name)
        for number, handler in before.items():
            signal.signal(number, handler)

    def rig(self, name: str) -> Rig:
        """The candidate's rig."""
        if name not in self._rigs:
            self._rigs[name] = self._stack.enter_context(rig(name))
        return self._rigs[name]


def rig(name: str) -> Rig:
    """A rig of the candidate, not entered yet. Raises RigError if the machine lacks something for it."""
    candidate = CANDIDATES[name]
    if what := missing("ip", "nft", "nsenter", "taskset", "gcc", "iperf3", *candidate.needs):
        raise RigError(f"{name} needs {what}")
    return Rig(candidate)


def measured(lab: Lab, row: Row, name: str, seconds: float) -> Figures:
    """One candidate's turn."""
    if row.fresh:
        with rig(name) as fresh:
            return row.measure(fresh, seconds)
    return row.measure(lab.rig(name), seconds)


def run_row(lab: Lab, row: Row, rounds: int, seconds: float, say: Say) -> Result:
    """A row: the candidates take turns. Who fails once is left out from then on, with the reason."""
    result, out = Result(row), set[str]()
    for number in range(min(rounds, row.rounds or rounds)):
        found: dict[str, Figures] = {}
        for name in row.candidates:
            if name in out:
                continue
            say(f"{row.name}: {name}, round {number + 1}")
            try:
                found[name] = measured(lab, row, name, seconds)
            except (RigError, SoftenaError, OSError) as error:
                result.failures.append(f"{name}: {error}")
                out.add(name)
        result.rounds.append(found)
    return result


def profile_row(row: Row, seconds: float) -> None:
    """Every candidate of a row that is a process, ours first."""
    for name in row.candidates:
        with rig(name) as profiled:
            if profiled.process:
                profile(row, profiled, seconds)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="python -m tests.perf", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(names), help="some of: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each candidate (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a turn (%(default)s)")
    parser.add_argument("--json", type=Path, help="write everything to this file, too")
    parser.add_argument("--markdown", action="store_true", help="print the table as README has it, too")
    parser.add_argument("--nice", type=int, default=0, help="of all processes: -20 holds its own against neighbours (%(default)s)")
    running = [row.name for row in ROWS if not row.fresh]
    parser.add_argument("--profile", choices=running, metavar="ROW", help="profile the candidates of one row instead")
    given = parser.parse_args(argv)
    if unknown := set(given.rows.split(",")) - set(names):
        parser.error(f"no row is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return given


def prepare(nice: int) -> None:
    """End by SIGTERM as by Ctrl-C; clear what killed runs left; be as nice as asked."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    sweep(PREFIX)
    if nice:
        os.nice(nice)
        be_nice(os.getpid())


def say(what: str) -> None:
    """Progress, on standard error."""
    print(what, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """0: every row was measured; 1: some could not be; 130: interrupted."""
    given = arguments(argv)
    if os.geteuid() != 0:
        say("it takes root: it makes network namespaces and TAP devices")
        return 1
    prepare(given.nice)
    facts, results = machine.facts(), list[Result]()
    wanted = [row for row in ROWS if row.name in (given.profile or given.rows).split(",")]
    interrupted = False
    try:
        with Lab() as lab:
            for row in wanted:
                if given.profile:
                    profile_row(row, given.seconds)
                else:
                    results.append(run_row(lab, row, given.rounds, given.seconds, say))
    except KeyboardInterrupt:
        interrupted = True
    except RigError as error:
        say(str(error))
        return 1
    if results:
        report(given, facts, results)
    return 130 if interrupted else int(any(result.failures for result in results))


def report(given: argparse.Namespace, facts: dict[str, Any], results: list[Result]) -> None:
    """Table and file."""
    facts["load_after"] = machine.load()
    run = {name: getattr(given, name) for name in ("rounds", "seconds", "nice")}
    load = f"load {facts['load_before']} before, {facts['load_after']} after"
    where = f"{facts['cpus']} CPUs, {facts['model']}, Linux {facts['kernel']}"
    show(results, f"{given.rounds} rounds of {given.seconds:g} s at commit {facts['commit'] or 'unknown'}; {load}; {where}")
    if given.markdown:
        print(markdown([as_data(each) for each in results]))
    if given.json:
        data = {"machine": facts, **run, "rows": [as_data(each) for each in results]}
        given.json.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
