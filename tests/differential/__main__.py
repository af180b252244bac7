"""The appliance beside netfilter: the same packets through both, what leaves compared byte by byte, and what both have tracked at the end.

    python -m tests.differential --sequences 100000 [--seed N] [--processes N]          takes root; prints, and records in RESULTS.md
    python -m tests.differential --model N.PROCESS.MODEL                                what one of its firewalls found; records nothing

    model       a small firewall, written as our YAML and as an nft ruleset
    generate    models and sequences by chance         packets   flows and steps; their frames on each side       wire   bytes
    kernel      netfilter in a namespace, by TAPs      ours      the appliance, in virtual time                   network   around both
    compare     a sequence on both sides               run       many                                             shrink    the shortest one
    conntrack   what netfilter has tracked         states     what we have, in its words
    differences where the appliance means to differ, and by which document; anything else is a failure
        number_differences   flag_differences   the same for TCP       later_differences   for what earlier packets left behind
        state_differences    for what is tracked
        deliberate           what such a one is, and examples
    facts       of a difference       state_facts   of one in what is tracked       sequence_numbers, reset_facts   of TCP
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from appliance.host.namespaces import sweep
from tests.differential.deliberate import Deliberate
from tests.differential.differences import DIFFERENCES
from tests.differential.kernel import PREFIX, missing
from tests.differential.run import EACH, Result, part_of_run
from tests.differential.state_differences import STATES

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    """Run, tell, record. 1: there was a difference that nothing explains; 2: it can't run here."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential")
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-record", action="store_true", help="leave RESULTS.md as it is")
    parser.add_argument("--model", metavar="N.PROCESS.MODEL", help="one model alone, by the numbers that a failure is told with")
    options = parser.parse_args()
    if lacking := missing():
        print(lacking, file=sys.stderr)
        return 2
    sweep(PREFIX)  # what killed runs left
    begun = time.monotonic()
    if options.model:
        seed, _, number = options.model.rpartition(".")
        one = part_of_run(seed, EACH, begun, int(number))
        print("\n", *one.failures, sep="\n\n")
        return 1 if one.failures else 0
    result = Result()
    parts = [(f"{options.seed}.{part}", options.sequences // options.processes, begun) for part in range(options.processes)]
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        for each in pool.map(part_of_run, *zip(*parts, strict=True)):
            result.add(each)
    text = report(result, options.seed, options.processes, time.monotonic() - begun)
    print(f"\n{text}")
    if not options.no_record:
        RESULTS.write_text(text)
    return 1 if result.failures else 0


def report(result: Result, seed: int, processes: int, seconds: float) -> str:
    """The result as Markdown."""
    packets, states = (_rows(result, each) for each in (DIFFERENCES, STATES))
    failures = "\n\n".join(f"```\n{failure}\n```" for failure in result.failures[:20]) or "None."
    command = f"python -m tests.differential --sequences {result.sequences} --seed {seed} --processes {processes}"
    return f"""# The appliance beside netfilter

`{command}`, {datetime.now(UTC):%Y-%m-%d}, Linux {platform.release()}, {seconds:.0f} s

| | |
|---|---|
| sequences | {result.sequences} of {result.models} firewalls |
| packets compared | {result.packets} |
| tracked state compared, of sequences whose packets were the same | {result.states} |
| the same to the end | {result.same} |
| ended by a difference on purpose, of packets or of state | {result.explained.total()} |
| unexplained | {len(result.failures)} |

## On purpose

A sequence ends at its first difference.

| Difference | Sequences | What the appliance does | By |
|---|--:|---|---|
{packets}

Where all packets were the same, what was tracked of their flows may still differ: whether there is a flow, its ends on both sides of the
translation, whether it was answered, and its TCP state in netfilter's words.

| Difference | Sequences | What the appliance does | By |
|---|--:|---|---|
{states}

## Unexplained

{failures}
"""


def _rows(result: Result, of: tuple[Deliberate, ...]) -> str:
    return "\n".join(f"| {each.name} | {result.explained[each.name]} | {each.reason} | {each.source} |" for each in of)


if __name__ == "__main__":
    sys.exit(main())
