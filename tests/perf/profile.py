"""Where the time of a candidate goes while a row is measured: compiled code and kernel by `perf`, Python by py-spy; what exists is used.

For perf 100 % are the CPU time of all threads; for py-spy the samples of those that ran Python.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Final

from tests.perf.measures import Figures
from tests.perf.process import cpu_by_thread
from tests.perf.rig import Rig
from tests.perf.rows import Row

HERTZ: Final = 997
"""Of no tick's beat."""
SHOWN: Final = 30
"""Lines of each list."""
CALLERS: Final = 0.95
"""What called nearly everything else says nothing."""
DATA_THREAD: Final = "Thread.run (threading.py"
"""What py-spy sees of a thread that is in compiled code all the time."""
FRAME: Final = re.compile(r"\s*[0-9a-f]+ (.+) \((.+)\)$")
DISPATCH: Final = "do_syscall_64"


def profile(row: Row, rig: Rig, seconds: float) -> None:
    """Measure the row once to warm up, once on record, and print who used the time."""
    row.measure(rig, seconds)
    before, cpu = cpu_by_thread(rig.pid), rig.cpu()
    commands = [perf_record(rig), *([py_spy_record(rig)] if rig.candidate.is_ours else ())]
    recorders = [recorder for command in commands if (recorder := start(command))]
    figures = row.measure(rig, seconds)
    after, spent = cpu_by_thread(rig.pid), rig.cpu() - cpu
    for recorder in recorders:
        recorder.send_signal(signal.SIGINT)
        recorder.wait()
    print(f"{rig.candidate.name}: {row.what}\n" + "  ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    print(f"\n{spent:.2f} s of CPU, by thread")
    for name, used in after.items():
        print(f"  {100 * (used - before.get(name, 0)) / spent:5.1f} %  {name.partition(' ')[2]}")
    print()
    print(perf_report(rig.directory / "perf.data", unit_of(figures)))
    if rig.candidate.is_ours:
        print("\nPython, by line (py-spy)")
        print(py_spy_report(rig.directory / "py-spy.txt"))
    print()


def unit_of(figures: Figures) -> float:
    """Microseconds of CPU of what the row counts: a frame, a connection. 0 if it counts nothing."""
    return figures.get("ns_frame", 0.0) / 1e3 or figures.get("us_connection", 0.0)


def start(command: list[str]) -> subprocess.Popen[bytes] | None:
    """A recorder, if there is its program."""
    if not command[0]:
        return None
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def perf_record(rig: Rig) -> list[str]:
    """Samples of CPU time: where there are no hardware counters, as in most virtual machines, the clock does."""
    options = ["-q", "-g", "-e", "cpu-clock", "-F", str(HERTZ), "-p", str(rig.pid), "-o", str(rig.directory / "perf.data")]
    return [shutil.which("perf") or "", "record", *options]


def perf_samples(data: Path) -> list[list[tuple[str, str]]]:
    """Every sample's stack, innermost first: symbol and the file that it is in."""
    if not data.exists():
        return []
    script = subprocess.run(["perf", "script", "-i", str(data), "-F", "ip,sym,dso"], capture_output=True, text=True).stdout
    stacks = (block.splitlines() for block in script.split("\n\n"))
    return [[(found[1], found[2]) for line in stack if (found := FRAME.match(line))] for stack in stacks if stack]


def place(stack: list[tuple[str, str]]) -> str:
    """Where a sample belongs: a system call, the receiving stack that a write to a TAP runs, the kernel's own affairs, a compiled file."""
    symbols = [symbol for symbol, _ in stack]
    if "kernel" not in stack[0][1]:
        return Path(stack[0][1]).name.split(".")[0]
    if DISPATCH not in symbols:
        return "kernel: interrupts, faults"
    depth = symbols.index(DISPATCH)
    call = re.sub("^(__x64_sys_|__se_sys_|ksys_|do_)", "", symbols[depth - 1]) if depth else "entry and exit"
    receiving = any(symbol.endswith("netif_receive_skb") for symbol in symbols)
    return f"system call: {call}" + (", the receiver's stack in it" if receiving else "")


def perf_report(data: Path, unit: float) -> str:
    """Shares by place, then the largest functions. `unit`: microseconds that 100 % are, if the row counts something."""
    samples = [stack for stack in perf_samples(data) if stack]
    if not samples:
        return "  no perf here (apt install linux-perf), or it saw nothing"

    def shares(counted: Counter[str]) -> list[str]:
        share = {name: count / len(samples) for name, count in counted.most_common(SHOWN)}
        return [f"  {100 * part:5.1f} %{f'{unit * part:8.2f} us' if unit else ''}  {name}" for name, part in share.items()]

    places = shares(Counter(place(stack) for stack in samples))
    functions = shares(Counter(stack[0][0] for stack in samples))
    return "\n".join(["by place (perf)", *places, "", "by function (perf)", *functions])


def py_spy_record(rig: Rig) -> list[str]:
    """Samples of threads that run Python."""
    found = shutil.which("py-spy") or shutil.which("py-spy", path=sysconfig.get_path("scripts")) or ""
    options = ["-r", "200", "-d", "3600", "--nonblocking", "-f", "raw", "-o", str(rig.directory / "py-spy.txt")]
    return [found, "record", "-p", str(rig.pid), *options]


def py_spy_report(stacks: Path) -> str:
    """The lines that most samples were in, themselves or by what they called."""
    own, total = Counter[str](), Counter[str]()
    for line in stacks.read_text().splitlines() if stacks.exists() else ():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if DATA_THREAD not in frames[-1]:
            own[frames[-1]] += int(count)
            total.update(dict.fromkeys(frames, int(count)))
    everything = sum(own.values())
    if not everything:
        return "  no py-spy here (pip install py-spy), or it saw nothing"
    lines = [
        f"  {100 * count / everything:5.1f} % with callees {100 * own[name] / everything:5.1f} % itself  {name}"
        for name, count in total.most_common()
        if count < CALLERS * everything
    ]
    return "\n".join(lines[:SHOWN])
