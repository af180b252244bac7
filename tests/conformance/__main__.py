"""Testers that nobody in this project wrote, each run against the kernel first and the appliance second.

    python -m tests.conformance [--only NAME] [--json FILE]           takes root; prints, and records in RESULTS.md if all testers ran

    policy      one job, told to the kernel and to the appliance       site      either between three hosts
    programs    what is needed, and running it                         verdict   what a tester says: a word for each case and side
    differences why a word may differ; any other difference fails      report    tables

    nat_discovery  thc_ipv6  fragments  scans  floods  captures  evasions  applications (with quic_peer)      the testers

Exit status: 0 fine, 1 a difference that nothing explains or a tester that failed, 2 something is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from appliance.host.namespaces import sweep
from tests.conformance import applications, captures, evasions, floods, fragments, nat_discovery, scans, thc_ipv6
from tests.conformance.differences import explain
from tests.conformance.programs import missing
from tests.conformance.report import Table, as_data, markdown
from tests.conformance.site import opened
from tests.conformance.verdict import Row, Tester, Verdict, Verdicts
from tests.e2e.host import PREFIX
from tests.e2e.host import missing as missing_for_labs

RESULTS: Final = Path(__file__).with_name("RESULTS.md")
SIDES: Final = ("kernel", "ours")
TESTERS: Final = (
    *nat_discovery.TESTERS, *thc_ipv6.TESTERS, *fragments.TESTERS, scans.TESTER, floods.TESTER, captures.TESTER, evasions.TESTER,
    *applications.TESTERS,
)  # fmt: skip
AT_ONCE: Final = 2
"""Testers that run at the same time, beside all those that wait. Those that measure come after them, each by itself."""
CHANCES: Final = 3
ABSENT: Final = Verdict("no such case")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", action="append", choices=[each.name for each in TESTERS], help="one tester; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to this file, too")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, tell, record."""
    given = arguments(argv)
    if lacking := missing_for_labs():
        print(lacking, file=sys.stderr)
        return 2
    wanted = [each for each in TESTERS if not given.only or each.name in given.only]
    if lacking := missing(need for each in wanted for need in each.needs):
        print(f"first: {lacking}", file=sys.stderr)
        return 2
    sweep(PREFIX)  # what killed runs left
    with ThreadPoolExecutor(len(wanted)) as waiting, ThreadPoolExecutor(AT_ONCE) as busy:
        at_once = {each.name: (waiting if each.waits else busy).submit(table, each) for each in wanted if not each.alone}
    tables = [at_once[each.name].result() if each.name in at_once else table(each) for each in wanted]
    text = markdown(tables, "python -m tests.conformance" + "".join(f" --only {name}" for name in given.only or ()))
    print(text)
    if given.json:
        given.json.write_text(json.dumps(as_data(tables), indent=1) + "\n")
    if not given.only and not any(each.left_out for each in tables):
        RESULTS.write_text(text)
    return int(any(each.unexplained or each.left_out for each in tables))


def table(tester: Tester) -> Table:
    """One tester at both sides: by turns if it measures, otherwise at the same time."""
    print(f"{tester.title}...", file=sys.stderr, flush=True)
    begun = time.monotonic()
    try:
        with ThreadPoolExecutor(1 if tester.alone else len(SIDES)) as pool:
            kernel, ours = pool.map(lambda side: looked(tester, side), SIDES)
    except Exception as error:  # a tester that breaks is told, and the others go on
        return Table(tester, seconds=time.monotonic() - begun, left_out=f"{type(error).__name__}: {error}"[:300])
    return Table(tester, rows(tester.name, kernel, ours), time.monotonic() - begun)


def looked(tester: Tester, side: str) -> Verdicts:
    """What it says of one side. A machine that is too busy for it gets other chances."""
    for chances in range(CHANCES, 0, -1):
        try:
            with opened(side, tester.side) as site:
                return tester.look(site)
        except (AssertionError, OSError):
            if chances == 1:
                raise
    raise AssertionError


def rows(tester: str, kernel: Verdicts, ours: Verdicts) -> tuple[Row, ...]:
    """Both sides beside each other."""
    found = []
    for case in dict.fromkeys((*kernel, *ours)):
        pair = kernel.get(case, ABSENT), ours.get(case, ABSENT)
        plain = Row(case, *pair)
        found.append(Row(case, *pair, explain(tester, case, *pair)) if plain.differs else plain)
    return tuple(found)


if __name__ == "__main__":
    sys.exit(main())
