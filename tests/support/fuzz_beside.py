"""A plugin that fuzzes while the tests run: a minute of CPU for each parser on the path from a wire to the appliance's decisions, which the
tests leave over.

    pytest -p tests.support.fuzz_beside

The run's end is awaited after the tests', what it said is printed then, and a finding fails them all. It needs what `tests/fuzz/run` needs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GROUP, SECONDS, JOBS = "path", 60, 2
IDLE = ("chrt", "--idle", "0")  # whatever else wants a processor gets it at once


def pytest_configure(config: pytest.Config) -> None:
    if not config.option.collectonly:
        config.pluginmanager.register(Beside())


class Beside:
    """The run beside one session."""

    def __init__(self) -> None:
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115  as long as the session

    def pytest_sessionstart(self) -> None:
        command = [*IDLE, sys.executable, "-m", "tests.fuzz.fuzz", GROUP, "--seconds", str(SECONDS), "--jobs", str(JOBS)]
        self.run = subprocess.Popen(command, cwd=ROOT, stdout=self.said, stderr=subprocess.STDOUT, start_new_session=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.INTERRUPTED and self.run.poll() is None:
            os.killpg(self.run.pid, signal.SIGTERM)
        if self.run.wait():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        self.said.seek(0)
        terminalreporter.section("fuzzing")
        terminalreporter.write(self.said.read())
