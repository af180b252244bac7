"""Fuzzing by coverage: builds, then runs each target for its seconds of CPU, and says what came of it. The command is `tests/fuzz/run`.

A finding ends the run of its target and stays in `build/fuzz/findings/TARGET`; `--replay FILE` runs it alone. What a run learns is kept in
`build/fuzz/corpus/TARGET` and begins the next one; the committed corpus is small, and only `--keep` adds to it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.build import ROOT, build
from tests.fuzz.keep import keep
from tests.fuzz.readers import words
from tests.fuzz.targets import CORPUS, GROUPS, TARGETS

WRITTEN = ("file", "lists", "control")
"""Targets whose inputs are text."""
WORK = ROOT / "build" / "fuzz"
LAST = 6000  # characters of what a bad end said
PATIENCE = 600  # seconds of one execution: beside other work those of the wall clock say little
SANITIZER = (
    "detect_leaks=0:quarantine_size_mb=32:allocator_may_return_null=1:handle_sigbus=0:detect_stack_use_after_return=0:symbolize=1:"
    "malloc_context_size=8"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One target's run. `seconds`: of CPU, without its start. `features`: libFuzzer's count of edges with how often they were taken."""

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
        return f"{self.target:10s} {self.seconds:4.0f} s of CPU: {self.executions:8d} executions, {pace:4.0f} a second, {learnt}; {found}"


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
    """Run libFuzzer over one target for some seconds of CPU; prints its output when it ends badly, and how to run that again."""
    findings = WORK / "findings" / target
    findings.mkdir(parents=True, exist_ok=True)
    options = [f"-timeout={PATIENCE}", "-rss_limit_mb=4096", "-len_control=0"]
    options.append(f"-artifact_prefix={findings}/")
    options.append(f"-max_len={4096 if target in WRITTEN else 1024}")  # no target reads more decisions than that
    if target in WRITTEN:
        options.append(f"-dict={dictionary(target)}")
    where = arguments or [*options, str(learnt(target)), *([str(CORPUS / target)] if (CORPUS / target).exists() else [])]
    command = [sys.executable, "-m", "tests.fuzz.inside", target, str(seconds), "-print_final_stats=1", *where]
    with tempfile.TemporaryFile() as output:
        run = subprocess.Popen(command, cwd=tree, env=environment(tree), stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode(errors="replace")
    outcome = read(target, said, run.returncode, used.ru_utime + used.ru_stime)
    if outcome.finding:
        print(f"{said[-LAST:]}\n{outcome.finding}", flush=True)
        for path in re.findall(r"Test unit written to (\S+)", said)[-1:]:  # the file may be gone with the machine
            print(f"its input, in Base64: {b64encode(Path(path).read_bytes()).decode()}", flush=True)
    return outcome


def learnt(target: str) -> Path:
    """The folder of what runs have learnt."""
    path = WORK / "corpus" / target
    path.mkdir(parents=True, exist_ok=True)
    return path


def dictionary(target: str) -> Path:
    """A file of words for libFuzzer."""
    path = WORK / f"{target}.words"
    path.write_text("".join('"{}"\n'.format(word.replace('"', '\\"')) for word in words(target)))
    return path


def read(target: str, said: str, status: int, seconds: float) -> Outcome:
    last = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)/", said)
    edges, features, corpus = map(int, last[-1]) if last else (0, 0, 0)
    runs = re.findall(r"stat::number_of_executed_units: (\d+)", said) or re.findall(r"^#(\d+)", said, re.MULTILINE)
    start = re.findall(r"^started in (\S+) s", said, re.MULTILINE)
    seconds -= float(start[-1]) if start else 0.0
    artifact = re.findall(r"Test unit written to (\S+)", said)
    replay = f"tests/fuzz/run {target} --replay {artifact[-1]}" if artifact else f"no input was written; status {status}"
    finding = f"FAILED: {replay}" if status else ""
    return Outcome(target, seconds, int(runs[-1]) if runs else 0, edges, features, corpus, finding)


def names(many: Iterable[str]) -> str:
    return ", ".join(many)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/fuzz/run", description="Fuzz card, driver and appliance under AddressSanitizer.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {names(TARGETS)}; or a group: {names(GROUPS)}; all by default")
    parser.add_argument("--seconds", type=float, default=30, help="of CPU, of each target (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (%(default)s)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run the one TARGET with this input only")
    parser.add_argument("--keep", action="store_true", help="don't fuzz: take what runs have learnt, minimised, to tests/fuzz/corpus")
    given = parser.parse_args()
    unknown = set(given.targets) - set(TARGETS) - set(GROUPS)
    targets = [name for given_name in given.targets or TARGETS for name in GROUPS.get(given_name, (given_name,))]
    if unknown or (given.replay and len(targets) != 1):
        parser.error(f"no such target: {names(sorted(unknown))}" if unknown else "--replay needs one target")
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is missing: pip install atheris")
    tree, failed, begun = build(), False, time.monotonic()
    if given.keep:
        for target in targets:
            print(keep(target, tree, environment(tree), learnt(target)), flush=True)
        return 0
    arguments = [str(given.replay.resolve())] if given.replay else []
    with ThreadPoolExecutor(given.jobs) as pool:
        for outcome in pool.map(lambda target: fuzz(target, tree, arguments, given.seconds), targets):
            print(outcome, flush=True)
            failed |= bool(outcome.finding)
    print(f"{time.monotonic() - begun:.0f} s in all")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
