"""Facts without which figures mean nothing: the machine, its load, and what exactly was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TOOLS = {"gcc": "--version", "nft": "-v", "haproxy": "-v", "iperf3": "-v"}


def facts() -> dict[str, Any]:
    """The machine and the commit."""
    models = (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpus": len(os.sched_getaffinity(0)),
        "model": next(models, ""),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "tools": {name: first_line(name, option) for name, option in TOOLS.items()},
        "load_before": load(),
    }


def load() -> float:
    """Processes that ran or wanted to, over the last minute."""
    return round(os.getloadavg()[0], 2)


def commit() -> str:
    """The commit that is checked out, with a plus if product files differ from it; empty without git."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "appliance", "ena_dev"], cwd=ROOT).returncode
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + "+" * changed


def first_line(tool: str, option: str) -> str:
    """How a tool names itself; empty if it isn't there."""
    try:
        return subprocess.run([tool, option], capture_output=True, text=True).stdout.partition("\n")[0]
    except OSError:
        return ""
