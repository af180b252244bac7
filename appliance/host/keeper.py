"""A small process that keeps what it takes to undo changes, after the appliance has dropped it.

    keeper = Keeper()                                 # early: it takes a while to start, beside its parent
    keeper.keep(adopted.changes, tun_changes)         # before dropping privileges
    drop()
    ...
    keeper.finish()                                   # undo now; it happens as well whenever the appliance ends, however it ends

An uplink must get its addresses back even after SIGKILL. The keeper gets the undo calls by a pipe and waits for the pipe's end; it heeds no
input after the calls. It lives in a session of its own and ignores the signals that end a terminal's or a service's whole group.
A container's last process takes its network namespace along, and needs no keeper.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from appliance.host.changes import Changes
from ena_dev.errors import HostError

READY = "ready\n"


class Keeper:
    """Works in the network namespace of the thread that makes it. Without anything to keep it ends as its parent does."""

    def __init__(self) -> None:
        # The child must find this package wherever the parent did.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "appliance.host.keeper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
            env=environment,
        )

    def keep(self, *changes: Changes) -> None:
        """Take over the undoing of changes, given in the order in which they were made, and empty them.

        Raises HostError if the process didn't start; the changes then are as before.
        """
        calls = [call for each in changes for call in each.undo]
        try:
            self._tell(json.dumps(calls))
        except OSError as error:
            self._process.wait()
            raise HostError("can't start the keeper of the network settings", str(error)) from error
        for each in changes:
            each.undo.clear()

    def _tell(self, line: str) -> None:
        if self._process.stdin is None or self._process.stdout is None:
            raise BrokenPipeError("no pipe to it")
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != READY:
            raise BrokenPipeError("it ended at once, see its message above")

    @property
    def pid(self) -> int:
        """The keeper's process id."""
        return self._process.pid

    def finish(self, timeout: float = 10.0) -> None:
        """Have everything undone, and wait for it. Idempotent. Raises HostError."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise HostError("the network settings are not restored yet", f"their keeper, pid {self.pid}, is busy") from error
        if status:
            raise HostError("the network settings could not all be restored", f"their keeper ended with status {status}")


def main() -> int:
    """Read the calls, say so, wait for the end of the pipe, undo. The end may come before the calls: nothing was changed then."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(each, signal.SIG_IGN)
    line = sys.stdin.readline()
    if not line:  # nobody is left to hear anything either
        return 0
    changes = Changes([(method, command, arguments) for method, command, arguments in json.loads(line)])
    sys.stdout.write(READY)
    sys.stdout.flush()
    while sys.stdin.buffer.read(4096):
        pass
    try:
        changes.restore()
    except HostError as error:
        print(f"softena: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
