"""A virtual machine behind the firewall: its stock driver on the card at a nic's far side, the kernel's stack beyond the other nic.

    guest .2 --192.168.50.0/24-- vm .1 [fw] wan .7 --203.0.113.0/24-- server .9
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.endpoints import DATA, Caller, connect, receive, serving
from tests.e2e.host import eventually
from tests.e2e.lab import Appliance, Lab
from tests.guest.lab import KERNELS, Far, Said, boot, need

CONFIG = """
version: 1
nics:
  vm:  {{vfio-user: {socket}, address: 192.168.50.1/24, queues: 2, mtu: 1600}}
  wan: {{address: 203.0.113.7/24, mtu: 1600}}
zones: {{machines: {{nics: [vm]}}, internet: {{nics: [wan]}}}}
policy:
  - out: {{from: [machines], to: [internet], allow: [ping, iperf3, tcp/7001]}}
  - me:  {{from: [machines], to: [self], allow: ping}}
nat:
  - behind: {{masquerade: {{from: [machines], to: [internet]}}}}
  - door:   {{forward: {{on: internet, port: tcp/8080, to: "192.168.50.2:7000"}}}}
"""
ADDRESS, SERVER = "203.0.113.7", "203.0.113.9"
BULK = 8 << 20


class Site:
    """The firewall, the server, and what a guest may have done out here."""

    def __init__(self, fw: Appliance, server: Far, socket: Path) -> None:
        self.fw, self.server, self.socket = fw, server, socket
        self._before = (0, 0)

    def boot(self, kernel: str, **env: str) -> Said:
        asked = {"large": self.large, "forwarded": self.forwarded, "dying": self.kill, "seen": self.seen, "link": self.link}
        asked["reload"] = self.reload
        return boot(kernel, "behind-firewall.sh", [self.socket], host={**asked, "ended": self.ended}, env={"PEER": SERVER, **env})

    def vm(self) -> dict[str, Any]:
        return self.fw.nic("vm")

    def large(self, words: list[str]) -> None:
        """How long packets of the guest are that reached the firewall since the last time: they come as they left the driver."""
        now = (self.vm()["rx"]["packets"], self.vm()["rx"]["bytes"])
        packets, octets = (after - before for after, before in zip(now, self._before, strict=True))
        self._before = now
        assert octets >= int(words[0]) * packets, f"{octets} bytes in {packets} packets"

    def forwarded(self, words: list[str]) -> None:
        """A connection from outside is led to the guest, which sends back what comes: every byte is held against its hash."""
        data = DATA[:BULK]
        with connect(self.server, ADDRESS, 8080, patience=120) as one:
            sender = threading.Thread(target=one.sendall, args=(data,), daemon=True)
            sender.start()
            back = receive(one, BULK)
            sender.join()
        assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()

    def seen(self, words: list[str]) -> None:
        """Status knows who is there, and ethtool its nic."""
        guest = self.vm()["guest"]
        assert (guest["connected"], guest["driver"]["system"], guest["link"]) == (True, "linux", True), guest
        assert guest["driver"]["distribution"] == words[0], guest
        assert "rx_bytes" in self.fw.ask("ethtool", nic="vm", kind="S")["text"]

    def reload(self, words: list[str]) -> None:
        """The same file again changes nothing for the guest."""
        assert self.fw.ask("reload")["ended"] == 0

    def link(self, words: list[str]) -> None:
        """The firewall's link follows the guest's interface."""
        eventually(lambda: self.vm()["link"] == (words[0] == "up"), f"link {words[0]}")

    def kill(self, words: list[str]) -> None:
        """The machine that has our socket dies at once."""
        os.kill(machine(self.socket), signal.SIGKILL)

    def ended(self, words: list[str]) -> None:
        """The firewall ends in order with a guest attached."""
        assert self.fw.child.end(signal.SIGTERM) == 0, self.fw.log()


def machine(socket: Path) -> int:
    """The process id of the QEMU that was given a socket."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"qemu-system" in words and str(socket).encode() in words:
            return int(path.parent.name)
    raise AssertionError("no machine has the socket")


@pytest.fixture
def site(far: Far, tmp_path: Path) -> Iterator[Site]:
    """`far` is the server's namespace."""
    socket = tmp_path / "vm.sock"
    with Lab() as lab:
        fw = lab.appliance("fw", CONFIG.format(socket=socket))
        fw.plug("wan", far, [f"{SERVER}/24"], mtu=1600)
        far.spawn("iperf3", "-s")
        with serving(far, (Caller, SERVER, 7001, "tcp"), (Caller, SERVER, 7002, "tcp")):
            yield Site(fw, far, socket)
        print(fw.log())


@pytest.mark.guest
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_machine_lives_behind_the_firewall_dies_and_another_comes(site: Site, kernel: str) -> None:
    need(kernel)
    assert not site.vm()["link"]
    first = site.boot(kernel, SHORT="1")
    assert (first.failed, len(first.verdicts)) == ([], 6), first
    eventually(lambda: not site.vm()["link"] and not site.vm()["guest"]["connected"], "the guest is gone")
    second = site.boot(kernel)
    assert second.well, second
    assert not [entry for entry in site.fw.child.log if entry["level"] in ("error", "critical")]
    assert site.socket.exists(), "as nobody, it can't remove what root made: the next start takes its place"
    site.fw.start()
    assert not site.vm()["guest"]["connected"]
