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

import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from appliance.control.client import ControlClient
from appliance.host.links import move
from tests.e2e.child import Child
from tests.e2e.host import PATIENCE, Host, eventually

T = TypeVar("T")


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

    def service(self, name: str) -> dict[str, Any]:
        """What status says about one service."""
        return next(service for service in self.status()["services"] if service["name"] == name)

    def agree(self, tap: str, host: Host) -> None:
        """Wait until the card has received what the kernel sent by this TAP, and the other way: not one frame more or less.

        The kernel refuses what comes before the TAP is up, and the card counts that.
        """

        def same() -> bool:
            link, nic, refused = host.link(tap), self.nic(tap), self.ask("ethtool", nic=tap, kind="S")["data"]["statistics"]["tx_drops"]
            return (link["tx_packets"], link["rx_packets"]) == (nic["rx"]["packets"], nic["tx"]["packets"] - refused)

        eventually(same, f"card and kernel count the same frames on {tap}")

    def balanced(self) -> bool:
        """Whether every frame that was received is accounted for."""
        status = self.status()
        totals = status["totals"]
        gone = totals["sent"] + totals["punted"] + totals["parked"] + sum(status["drops"].values())
        return bool(totals["received"] + totals["made"] == gone)

    def flows(self) -> list[dict[str, Any]]:
        """All flows."""
        found, cursor = [], 0
        while True:
            page = self.ask("flows", limit=1000, cursor=cursor)
            found += page["flows"]
            cursor = page["next"]
            if not cursor:
                return found


@dataclass(frozen=True, slots=True)
class Site:
    """An appliance between two hosts."""

    fw: Appliance
    client: Host
    server: Host


Plugs = Mapping[str, tuple[Sequence[str], Sequence[str]]]
"""By nic: the addresses of the host at its Linux end, and its gateways there."""


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

    def site(self, text: str, client: Plugs, server: Plugs) -> Site:
        """An appliance from the text of a file, with its nics plugged into two hosts."""
        made = Site(self.appliance("fw", text), self.host("client"), self.host("server"))
        for host, plugs in ((made.client, client), (made.server, server)):
            for nic, (addresses, gateways) in plugs.items():
                made.fw.plug(nic, host, addresses, gateways)
        return made

    def keep(self, context: AbstractContextManager[T]) -> T:
        """Enter something that lasts as long as the lab."""
        return self._stack.enter_context(context)

    def __enter__(self) -> Self:
        self._directory = Path(self.keep(tempfile.TemporaryDirectory(prefix="softena-e2e-")))
        self._directory.chmod(0o755)  # an appliance that reloads is nobody
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()
