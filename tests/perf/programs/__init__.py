"""The programs in C that load a device under test, and the one that is the limit: compiled when their sources are newer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent
BUILT = SOURCES.parents[2] / "build" / "perf"


def program(name: str) -> str:
    """The path of a compiled program. Raises CalledProcessError, with gcc's words on standard error."""
    source, built = SOURCES / f"{name}.c", BUILT / name
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        BUILT.mkdir(parents=True, exist_ok=True)
        fresh = built.with_suffix(".new")
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", fresh, source], check=True)
        fresh.rename(built)
    return str(built)


def missing(*wanted: str) -> str:
    """Which of these programs this machine lacks, as a sentence's end; empty if none."""
    return ", ".join(name for name in wanted if shutil.which(name) is None)
