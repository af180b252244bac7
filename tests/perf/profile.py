"""Where the time of a candidate goes while a row is measured: compiled code and kernel by `perf`, Python by py-spy; what exists is used.

Shares are of samples of the process: while it computes for perf, which counts CPU time, and of its threads' time for py-spy.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Final

from tests.perf.process import cpu_by_thread
from tests.perf.rig import Rig
from tests.perf.rows import Row

HERTZ: Final = 997
"""Of no tick's beat."""
SHOWN: Final = 40
"""Lines of each list."""


def profile(row: Row, rig: Rig, seconds: float) -> None:
    """Measure the row once to warm up, once on record, and print who used the time."""
    with rig:
        row.measure(rig, seconds)
        before, cpu = cpu_by_thread(rig.pid), rig.cpu()
        recorders = [recorder for command in (perf_record(rig), py_spy_record(rig)) if (recorder := start(command))]
        figures = row.measure(rig, seconds)
        after, spent = cpu_by_thread(rig.pid), rig.cpu() - cpu
        for recorder in recorders:
            recorder.send_signal(signal.SIGINT)
            recorder.wait()
        print(f"{row.name}: {row.what}\n" + "  ".join(f"{name} {value:.4g}" for name, value in figures.items()))
        print(f"\n{spent:.2f} s of CPU; by thread")
        for name, used in after.items():
            print(f"  {100 * (used - before.get(name, 0)) / spent:5.1f} %  {name.partition(' ')[2]}")
        print("\nby function, of all CPU time (perf)")
        print(perf_report(rig.directory / "perf.data") or "  no perf here: apt install linux-perf")
        print("\nby function, of the samples in Python (py-spy)")
        print(py_spy_report(rig.directory / "py-spy.txt") or "  no py-spy here: pip install py-spy")


def start(command: list[str]) -> subprocess.Popen[bytes] | None:
    """A recorder, if there is its program."""
    if not command[0]:
        return None
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def perf_record(rig: Rig) -> list[str]:
    """Samples of CPU time: where there are no hardware counters, as in most virtual machines, the clock does."""
    options = ["-q", "-e", "cpu-clock", "-F", str(HERTZ), "-p", str(rig.pid), "-o", str(rig.directory / "perf.data")]
    return [shutil.which("perf") or "", "record", *options]


def perf_report(data: Path) -> str:
    """The largest functions: share, where, which."""
    if not data.exists():
        return ""
    command = ["perf", "report", "-q", "-i", str(data), "--stdio", "--no-children", "--sort", "dso,symbol"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return "\n".join(f"  {line.strip()}" for line in [line for line in lines if line.strip()][:SHOWN])


def py_spy_record(rig: Rig) -> list[str]:
    """Samples of Python frames; the data thread has none."""
    found = shutil.which("py-spy") or shutil.which("py-spy", path=sysconfig.get_path("scripts")) or ""
    options = ["-p", str(rig.pid), "-r", "200", "-d", "3600", "-f", "raw", "-o", str(rig.directory / "py-spy.txt"), "--nonblocking"]
    return [found, "record", *options]


def py_spy_report(stacks: Path) -> str:
    """The functions that most samples were in, themselves or by what they called."""
    if not stacks.exists():
        return ""
    own, total = Counter[str](), Counter[str]()
    for line in stacks.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        own[frames[-1]] += int(count)
        total.update({frame: int(count) for frame in frames})
    everything = sum(own.values())
    share = {name: (100 * count / everything, 100 * own[name] / everything) for name, count in total.most_common(SHOWN)}
    return "\n".join(f"  {all_of_it:5.1f} % with callees  {itself:5.1f} % itself  {name}" for name, (all_of_it, itself) in share.items())
