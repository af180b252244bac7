"""The whole demo on this machine: every row agrees, and whatever ends it, nothing of it remains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.demo.stage import preflight
from ena_dev.errors import HostError

ROOT = Path(__file__).parents[2]


def missing() -> str:
    """What this machine lacks for the demo."""
    try:
        preflight()
    except HostError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


def demo(mark: str) -> subprocess.Popen[str]:
    """The demo, with a mark in the environment of it and its children."""
    command = [sys.executable, "-m", "appliance.cli", "demo"]
    environment = os.environ | {"MARK": mark}
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def remains(pid: int, mark: str) -> list[str]:
    """Namespaces, files and processes of the demo that ran as `pid`."""
    found = [path.name for path in Path("/run/netns").glob(f"softena-{pid}-*")]
    found += [path.name for path in Path("/run").glob(f"softena-demo-{pid}-*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"MARK={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # ended meanwhile
    return found


def test_every_row_agrees_in_under_a_minute_and_nothing_remains(tmp_path: Path) -> None:
    begun = time.monotonic()
    running = demo(str(tmp_path))
    output, _ = running.communicate(timeout=120)
    assert running.returncode == 0, output
    assert "rows agree" in output
    assert time.monotonic() - begun < 60
    assert remains(running.pid, str(tmp_path)) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_nothing_remains(number: signal.Signals, tmp_path: Path) -> None:
    running = demo(str(tmp_path))
    if running.stdout is None:
        pytest.fail("no output")
    for line in running.stdout:
        if line.startswith("ok"):
            break
    assert len(list(Path("/run/netns").glob(f"softena-{running.pid}-*"))) == 3
    os.kill(running.pid, number)
    output, _ = running.communicate(timeout=30)
    assert running.returncode == 128 + number, output
    assert "interrupted; everything is cleaned up" in output
    assert remains(running.pid, str(tmp_path)) == []
