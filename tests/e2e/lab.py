"""Appliances between network namespaces: each a child process in a namespace of its own, its TAPs moved to the hosts they lead to.

    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        fw = lab.appliance("fw", CONFIG)                       # running, and ready
        fw.plug("lan", client, ["192.168.1.9/24"], ["192.168.1.1"])
        fw.plug("wan", server, ["203.0.113.9/24"])
        client.output("ping", "-c1", "203.0.113.9")

The stack at both ends is the kernel's. Leaving the block ends every process and namespace, whatever happened inside.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from ipaddress import ip_address, ip_interface
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pyroute2 import IPRoute

from appliance.control.client import ControlClient
from appliance.host.links import NAMESPACES, move
from appliance.host.namespaces import Namespace
from tests.appliance.host.lab import missing as missing_for_namespaces

T = TypeVar("T")

PREFIX = "se2e"
PROGRAMS = ("ip", "ping", "nsenter", "iperf3")
PATIENCE = 20.0
"""Seconds for anything that a loaded machine may delay."""


def missing() -> str:
    """What these tests need and this machine doesn't have, by name; empty if they can run."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    return missing_for_namespaces() or (f"end-to-end tests need {', '.join(lacking)}" if lacking else "")


def eventually(look: Callable[[], T | None], what: str = "", patience: float = PATIENCE) -> T:
    """The first true result of `look`, asked again and again."""
    end = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < end, f"did not happen in {patience} s: {what or look}; last seen: {found!r}"
        time.sleep(0.01)
    return found


class Host(Namespace):
    """A machine with the kernel's stack. `call` makes sockets inside."""

    def __init__(self, label: str) -> None:
        super().__init__(label, PREFIX)

    def output(self, *argv: str, check: bool = True) -> str:
        """What a program prints inside. It fails the test if it fails, with its words."""
        result = subprocess.run(self.inside(*argv), capture_output=True, text=True, timeout=PATIENCE)
        assert not check or result.returncode == 0, f"{' '.join(argv)}: {result.stdout}{result.stderr}"
        return result.stdout

    def inside(self, *argv: str) -> list[str]:
        """The command line that runs a program inside."""
        return ["nsenter", f"--net={NAMESPACES / self.name}", "--", *argv]

    def link(self, name: str) -> dict[str, int]:
        """The kernel's counters of an interface: rx_packets is what the kernel received."""

        def read() -> dict[str, int]:
            with IPRoute() as ip:
                return dict(ip.get_links(ifname=name)[0].get("stats64"))

        return self.call(read)

    def links(self) -> set[str]:
        """The names of all interfaces."""

        def read() -> set[str]:
            with IPRoute() as ip:
                return {link.get("ifname") for link in ip.get_links()}

        return self.call(read)

    def stack_errors(self) -> dict[str, int]:
        """Packets that the kernel's stack found damaged, by counter; only those that are not zero."""
        counters = self.call(_stack_counters)
        return {name: value for name, value in counters.items() if value and name.endswith(("HdrErrors", "CsumErrors", "InErrs"))}


def _stack_counters() -> dict[str, int]:
    """All counters of the calling thread's namespace: IpInHdrErrors, Udp6InCsumErrors..."""
    net = Path("/proc/thread-self/net")
    lines = net.joinpath("snmp").read_text().splitlines()
    counters: dict[str, int] = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        group = names.partition(":")[0]
        counters |= {group + name: int(value) for name, value in zip(names.split()[1:], values.split()[1:], strict=True)}
    six = (line.split() for line in net.joinpath("snmp6").read_text().splitlines())
    return counters | {name: int(value) for name, value in six}


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
            self.log.append({"event": "<end of log>", "level": "raw"})
            self._news.notify_all()

    def wait_for(self, event: str, since: int = 0, **fields: object) -> dict[str, Any]:
        """The first log entry of this event with these fields, from entry `since` on; waits for it."""

        def look() -> dict[str, Any] | None:
            wanted = {"event": event, **fields}
            return next((entry for entry in self.log[since:] if wanted.items() <= entry.items()), None)

        with self._news:
            self._news.wait_for(lambda: look() or self.log[-1:] == [{"event": "<end of log>", "level": "raw"}], PATIENCE)
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


class Appliance:
    """One appliance in a namespace of its own, from one file; it may be started again after its end."""

    def __init__(self, host: Host, directory: Path, text: str) -> None:
        directory.mkdir(mode=0o755)
        self.host, self.file, self.socket = host, directory / "softena.yaml", directory / "control.sock"
        self.child: Child
        self.write(text)

    def write(self, text: str) -> None:
        """Replace the file. It must be readable for the nobody that the appliance becomes."""
        self.file.write_text(f"{text}\ncontrol: {{socket: {self.socket}}}\n")
        self.file.chmod(0o644)

    def start(self) -> Self:
        """Run it until it is ready."""
        self.child = Child(self.host, self.file)
        self.child.wait_for("ready")
        return self

    def log(self) -> str:
        """The log of its last run, for people."""
        return self.child.text() if hasattr(self, "child") else "never started"

    def kill(self) -> None:
        """End it at once, if it runs."""
        if hasattr(self, "child"):
            self.child.end(signal.SIGKILL)

    def plug(self, tap: str, host: Host, addresses: Sequence[str], gateways: Sequence[str] = (), mtu: int = 1500) -> None:
        """Move the Linux end of a nic to a host."""
        self.host.call(move, tap, host.name)
        host.set_up(tap, [ip_interface(each) for each in addresses], [ip_address(each) for each in gateways], mtu=mtu)

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        """One request on the control socket."""
        return ControlClient(self.socket, PATIENCE).call(method, **params)

    def status(self) -> dict[str, Any]:
        """Everything at a glance."""
        return self.ask("status")

    def nic(self, name: str) -> dict[str, Any]:
        """What status says about one nic."""
        return next(nic for nic in self.status()["nics"] if nic["name"] == name)

    def rule(self, name: str) -> dict[str, Any]:
        """What status says about one rule."""
        return next(rule for rule in self.status()["rules"] if rule["name"] == name)

    def agree(self, tap: str, host: Host) -> None:
        """Wait until the card has received what the kernel sent by this TAP, and the other way: not one frame more or less."""

        def same() -> bool:
            link, nic = host.link(tap), self.nic(tap)
            return (link["tx_packets"], link["rx_packets"]) == (nic["rx"]["packets"], nic["tx"]["packets"])

        eventually(same, f"card and kernel count the same frames on {tap}")

    def balanced(self) -> bool:
        """Whether every frame that was received is accounted for."""
        status = self.status()
        totals = status["totals"]
        return bool(totals["received"] == totals["sent"] + totals["punted"] + totals["parked"] + sum(status["drops"].values()))

    def flows(self) -> list[dict[str, Any]]:
        """All flows."""
        found, cursor = [], 0
        while True:
            page = self.ask("flows", limit=1000, cursor=cursor)
            found += page["flows"]
            cursor = page["next"]
            if not cursor:
                return found


class Lab:
    """Hosts and appliances for the time of a `with` block."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.appliances: list[Appliance] = []

    def host(self, label: str) -> Host:
        """A namespace, empty but for its loopback."""
        host = Host(label)
        self.keep(host)
        return host

    def appliance(self, label: str, text: str, start: bool = True) -> Appliance:
        """An appliance from the text of a file, ready."""
        appliance = Appliance(self.host(label), self._directory / label, text)
        self._stack.callback(appliance.kill)
        self.appliances.append(appliance)
        return appliance.start() if start else appliance

    def keep(self, context: AbstractContextManager[T]) -> T:
        """Enter something that lasts as long as the lab."""
        return self._stack.enter_context(context)

    def __enter__(self) -> Self:
        self._directory = Path(self.keep(tempfile.TemporaryDirectory(prefix="softena-e2e-")))
        self._directory.chmod(0o755)  # an appliance that reloads is nobody
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()
