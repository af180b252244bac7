"""Runs the appliance for minutes under what breaks others, between real hosts, and says which promises it kept.

    .venv/bin/python -m tests.soak                                       all soaks, a minute each
    .venv/bin/python -m tests.soak flood --seconds 600 --record          ten minutes of flood, with calm in between; into RESULTS.md
    .venv/bin/python -m tests.soak reload --seconds 900 --json reload.json

    flood     random tuples at a rate: memory within its limit, established connections keep their pace, `self` stays reachable
    reload    a thousand reloads under a stream, a pulse and ten thousand idle connections
    cut       a new policy forbids half of a hundred thousand flows
    targets   a balancer's targets die in turn, silently and with a RST

It takes root, gcc, and `apt install iproute2 nftables iperf3`. Figures of time want a calm machine; the load average stands in the record.
Without `--json` or `--record` a run is only told.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.host.namespaces import sweep
from tests.e2e.host import PREFIX
from tests.perf import machine
from tests.perf.process import be_nice
from tests.soak.bars import Found, facts
from tests.soak.cut import cut
from tests.soak.flood import flood
from tests.soak.record import RESULTS, record
from tests.soak.reload import reload
from tests.soak.site import many_descriptors
from tests.soak.targets import targets

SOAKS: dict[str, Callable[[float, float], Found]] = {"flood": flood, "reload": reload, "cut": cut, "targets": targets}


def main(argv: Sequence[str] | None = None) -> int:
    """0: every promise was kept; 1: some were not."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("soaks", nargs="*", metavar="SOAK", help=f"of {', '.join(SOAKS)}; all by default")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each, at most; of flood: under flood (%(default)s)")
    parser.add_argument("--size", type=float, default=1.0, help="of crowds, tables and rates, 1 as promised (%(default)s)")
    parser.add_argument("--json", type=Path, help="write everything to this file, too")
    parser.add_argument("--record", action="store_true", help=f"put each run in the place of that soak's last one in {RESULTS.name}")
    parser.add_argument("--nice", type=int, default=0, help="of all processes: -20 holds its own against neighbours (%(default)s)")
    given = parser.parse_args(argv)
    if unknown := set(given.soaks) - set(SOAKS):
        parser.error(f"no such soak: {', '.join(sorted(unknown))}")
    if os.geteuid():
        parser.error("it takes root: it makes network namespaces and TAP devices")
    if given.nice:
        os.nice(given.nice)
        be_nice(os.getpid())
    many_descriptors()
    sweep(PREFIX)
    results = [run(name, given) for name in given.soaks or SOAKS]
    if given.json:
        data = {"machine": facts(), "seconds": given.seconds, "size": given.size, "soaks": [found.data() for found in results]}
        given.json.write_text(json.dumps(data, indent=1) + "\n")
    return int(not all(found.met for found in results))


def run(name: str, given: argparse.Namespace) -> Found:
    """One soak, told and recorded as soon as it is over."""
    before, began = machine.load(), facts()
    found = SOAKS[name](given.seconds, given.size)
    found.load = before, machine.load()
    print(found.show(), flush=True)
    if given.record:
        record(found, command(name, given), began, list(SOAKS))
    return found


def command(name: str, given: argparse.Namespace) -> str:
    """What makes this run again."""
    words = [".venv/bin/python -m tests.soak", name, f"--seconds {given.seconds:g}"]
    words += [f"--size {given.size:g}"] * (given.size != 1) + [f"--nice {given.nice}"] * (given.nice != 0)
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
