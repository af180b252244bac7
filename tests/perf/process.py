"""What a process costs, by the kernel's clocks: CPU time of all its threads, each thread's share, resident memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

CPUCLOCK_SCHED = 2
"""The clock that counts what the scheduler gave, in nanoseconds. Source: Linux, posix-timers_types.h; glibc's clock_getcpuclockid."""


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process so far: all its threads, those that have ended too, and no other process."""
    return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)


def cpu_by_thread(pid: int) -> dict[str, float]:
    """CPU seconds of each living thread, by its number and name."""
    used = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # ended meanwhile
            used[f"{task.name} {(task / 'comm').read_text().strip()}"] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return used


def resident(pid: int) -> int:
    """Bytes of memory that a process has in RAM."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) * 1024


def pin(pid: int, cpus: Iterable[int]) -> None:
    """Let all threads of a process run on these CPUs only."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task), set(cpus))


def be_nice(pid: int) -> None:
    """Give the session of a process our own niceness: between sessions only the sessions' counts, where the kernel groups by them."""
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(os.nice(0)))
