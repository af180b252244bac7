"""A host of the lab: a network namespace with the kernel's own stack, what runs inside, and what that stack counted."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pyroute2 import IPRoute

from appliance.host.links import NAMESPACES
from appliance.host.namespaces import Namespace
from tests.appliance.host.lab import missing as missing_for_namespaces

T = TypeVar("T")

PREFIX = "se2e"
PROGRAMS = ("ip", "ping", "nsenter", "iperf3")
PATIENCE = 60.0
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
        """Packets that the kernel's stack found damaged, by counter; only those that are not zero.

        It counts a SYN that it challenges as an error of TCP, too: one that came twice may well be sound.
        """
        counters = self.call(_stack_counters)
        counters["TcpInErrs"] -= min(counters["TcpInErrs"], counters["TcpExtTCPSYNChallenge"])
        return {name: value for name, value in counters.items() if value and name.endswith(("HdrErrors", "CsumErrors", "InErrs"))}


def _stack_counters() -> dict[str, int]:
    """All counters of the calling thread's namespace: IpInHdrErrors, Udp6InCsumErrors..."""
    net = Path("/proc/thread-self/net")
    lines = [line for table in ("snmp", "netstat") for line in net.joinpath(table).read_text().splitlines()]
    counters: dict[str, int] = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        group = names.partition(":")[0]
        counters |= {group + name: int(value) for name, value in zip(names.split()[1:], values.split()[1:], strict=True)}
    six = (line.split() for line in net.joinpath("snmp6").read_text().splitlines())
    return counters | {name: int(value) for name, value in six}
