"""`softena run FILE` as a child process in a host's namespace, and its log as it comes.

Readiness, and all that happens inside, is told by the log: nothing here sleeps.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

from tests.e2e.host import PATIENCE, Host

END = {"event": "<end of log>", "level": "raw"}


class Child:
    """A running `softena run FILE`. `log` holds its lines, as the JSON objects they are."""

    def __init__(self, host: Host, file: Path) -> None:
        self.log: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(host.inside(*self.command(file)), stderr=subprocess.PIPE, text=True, env=self.environment())
        self._reader = threading.Thread(target=self._read, name=f"log of {host.name}", daemon=True)
        self._reader.start()

    @staticmethod
    def command(file: Path) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "appliance.cli", "run", "--log-format", "json", str(file)]

    @staticmethod
    def environment() -> dict[str, str]:
        """The child finds the packages where the test did."""
        return os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": line.rstrip(), "level": "raw"}
            with self._news:
                self.log.append(entry)
                self._news.notify_all()
        with self._news:
            self.log.append(END)
            self._news.notify_all()

    def wait_for(self, event: str, since: int = 0, **fields: object) -> dict[str, Any]:
        """The first log entry of this event with these fields, from entry `since` on; waits for it."""

        def look() -> dict[str, Any] | None:
            wanted = {"event": event, **fields}
            return next((entry for entry in self.log[since:] if wanted.items() <= entry.items()), None)

        with self._news:
            self._news.wait_for(lambda: look() or self.log[-1:] == [END], PATIENCE)
            found = look()
        assert found, f"no {event!r} {fields} in the log:\n{self.text()}"
        return found

    def text(self) -> str:
        """The log, for people."""
        return "\n".join(json.dumps(entry) for entry in self.log)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Have it end by a signal; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.ended()
        return self.process.returncode

    def ended(self) -> Self:
        """Itself, once it has ended and its log is complete."""
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return self
