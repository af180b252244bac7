"""Fuzzing by coverage: builds, then runs each target for its seconds, and says what came of it. The command is `tests/fuzz/run`.

A finding ends the run of its target and stays in `build/fuzz/findings/TARGET`; `--replay FILE` runs it alone. What a run learns is kept in
`build/fuzz/corpus/TARGET` and begins the next one; the committed corpus is small, and only read.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.build import ROOT, build
from tests.fuzz.readers import words
from tests.fuzz.targets import CORPUS, TARGETS

WRITTEN = ("file", "lists", "control")
"""Targets whose inputs are text."""
WORK = ROOT / "build" / "fuzz"
PATIENCE = 600  # seconds of one execution: beside other work those of the wall clock say little
SANITIZER = (
    "detect_leaks=0:quarantine_size_mb=32:allocator_may_return_null=1:handle_sigbus=0:detect_stack_use_after_return=0:symbolize=1:"
    "malloc_context_size=8"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One target's run. `features`: libFuzzer's count of edges with how often they were taken."""

    target: str
    seconds: float
    executions: int
    edges: int
    features: int
    corpus: int
    finding: str  # empty: none

    def __str__(self) -> str:
        found = self.finding or "nothing found"
        pace = self.executions / max(self.seconds, 1)
        learnt = f"{self.edges:5d} edges, {self.features:6d} features, corpus {self.corpus:4d}"
        return f"{self.target:10s} {self.seconds:4.0f} s: {self.executions:8d} executions, {pace:4.0f} a second, {learnt}; {found}"


def environment(tree: Path) -> dict[str, str]:
    import atheris  # type: ignore[import-untyped]

    runtime = Path(atheris.path()) / "asan_with_fuzzer.so"
    return os.environ | {
        "LD_PRELOAD": str(runtime),
        "ASAN_OPTIONS": SANITIZER,
        "PYTHONPATH": f"{tree}:{ROOT}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def fuzz(target: str, tree: Path, arguments: list[str], seconds: float) -> Outcome:
    """Run libFuzzer over one target; prints its output when it ends badly."""
    kept, findings = WORK / "corpus" / target, WORK / "findings" / target
    for folder in (kept, findings):
        folder.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds:.0f}", f"-timeout={PATIENCE}", "-rss_limit_mb=4096", "-len_control=0"]
    options.append(f"-artifact_prefix={findings}/")
    options.append(f"-max_len={4096 if target in WRITTEN else 1024}")  # no target reads more decisions than that
    if target in WRITTEN:
        options.append(f"-dict={dictionary(target)}")
    where = arguments or [*options, str(kept), *([str(CORPUS / target)] if (CORPUS / target).exists() else [])]
    begun = time.monotonic()
    command = [sys.executable, "-m", "tests.fuzz.inside", target, "-print_final_stats=1", *where]
    done = subprocess.run(command, cwd=tree, env=environment(tree), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    said = done.stdout.decode(errors="replace")
    if done.returncode:
        print(said[-6000:], flush=True)
    return read(target, said, done.returncode, time.monotonic() - begun)


def dictionary(target: str) -> Path:
    """A file of words for libFuzzer."""
    path = WORK / f"{target}.words"
    path.write_text("".join('"{}"\n'.format(word.replace('"', '\\"')) for word in words(target)))
    return path


def read(target: str, said: str, status: int, seconds: float) -> Outcome:
    last = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)/", said)
    edges, features, corpus = map(int, last[-1]) if last else (0, 0, 0)
    runs = re.findall(r"stat::number_of_executed_units: (\d+)", said) or re.findall(r"^#(\d+)", said, re.MULTILINE)
    artifact = re.findall(r"Test unit written to (\S+)", said)
    finding = "" if not status else f"FAILED: {artifact[-1] if artifact else f'status {status}'}"
    return Outcome(target, seconds, int(runs[-1]) if runs else 0, edges, features, corpus, finding)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/fuzz/run", description="Fuzz card, driver and appliance under AddressSanitizer.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--seconds", type=float, default=30, help="of each target")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (%(default)s)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run the one TARGET with this input only")
    given = parser.parse_args()
    unknown = set(given.targets) - set(TARGETS)
    if unknown or (given.replay and len(given.targets) != 1):
        parser.error(f"no such target: {', '.join(sorted(unknown))}" if unknown else "--replay needs one target")
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is missing: pip install atheris")
    tree, failed, begun = build(), False, time.monotonic()
    arguments = [str(given.replay.resolve())] if given.replay else []
    with ThreadPoolExecutor(given.jobs) as pool:
        for outcome in pool.map(lambda target: fuzz(target, tree, arguments, given.seconds), given.targets or TARGETS):
            print(outcome, flush=True)
            failed |= bool(outcome.finding)
    print(f"{time.monotonic() - begun:.0f} s in all")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
