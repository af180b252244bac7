"""The kernel's side: a namespace whose TAPs are the links, with netfilter between them.

A frame written into a TAP has been forwarded, filtered, translated and queued at another when the write returns: neighbours are
permanent, and TAPs without NAPI receive in the writer's context. So reading needs no patience.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
from pathlib import Path
from typing import Final, Self

from appliance.host.links import NAMESPACES
from appliance.host.namespaces import Namespace
from tests.appliance.host.lab import missing as missing_for_namespaces
from tests.differential.conntrack import tracked
from tests.differential.network import LINKS, OUTSIDE, Link, packed, station_mac
from tests.differential.states import Ends, Tracked

PREFIX: Final = "sdiff"
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x2, 0x1000
NETLINK_NETFILTER: Final = 12
DELETE_ALL: Final = struct.pack("=IHHII", 20, 1 << 8 | 2, 5, 1, 0) + bytes(4)
"""IPCTNL_MSG_CT_DELETE with NLM_F_REQUEST | NLM_F_ACK, for every family."""
LOG_CONFIG, LOG_BIND, LOG_PF_BIND, LOG_PREFIX = 4 << 8 | 1, 1, 3, 10

SETTINGS: Final = {
    "net/ipv4/ip_forward": 1, "net/ipv4/icmp_ratelimit": 0, "net/ipv4/icmp_msgs_per_sec": 1_000_000, "net/ipv4/icmp_msgs_burst": 1_000_000,
    "net/ipv4/conf/all/send_redirects": 0, "net/ipv4/conf/all/accept_redirects": 0, "net/ipv4/conf/all/rp_filter": 0,
    "net/ipv4/conf/default/rp_filter": 0, "net/ipv4/conf/default/send_redirects": 0, "net/ipv6/icmp/ratelimit": 0,
    "net/ipv6/conf/default/accept_dad": 0, "net/ipv6/conf/default/accept_ra": 0, "net/ipv6/conf/default/addr_gen_mode": 1,
    "net/ipv6/conf/all/accept_redirects": 0, "net/ipv6/conf/all/forwarding": 1,
    "net/ipv6/auto_flowlabels": 0, "net/netfilter/nf_conntrack_tcp_loose": 0, "net/netfilter/nf_conntrack_log_invalid": 255,
}  # fmt: skip
OPTIONAL: Final = ("net/ipv4/icmp_msgs_per_sec", "net/ipv4/icmp_msgs_burst")
"""Of the whole machine in older kernels."""


def missing() -> str:
    """What this side needs and this machine doesn't have; empty if it can start."""
    lacking = [name for name in ("ip", "nft", "nsenter") if shutil.which(name) is None]
    return missing_for_namespaces() or (f"the kernel as oracle needs {', '.join(lacking)}" if lacking else "")


class Kernel:
    """The kernel with a ruleset, for the time of a `with` block. `load` gives it another, and it forgets all flows."""

    def __init__(self, label: str = "dut") -> None:
        self.namespace = Namespace(label, PREFIX)
        self.taps: dict[str, int] = {}

    def __enter__(self) -> Self:
        self.namespace.__enter__()
        try:
            self._set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for tap in self.taps.values():
            os.close(tap)
        for each in ("_control", "_log"):
            if hasattr(self, each):
                getattr(self, each).close()
        self.taps.clear()
        self.namespace.__exit__(None, None, None)

    def _set_up(self) -> None:
        self._nft("table inet fw {\n chain any {\n type filter hook forward priority 0\n ct state new accept\n }\n}")  # loads conntrack
        self.namespace.call(self._settings)
        for link in LINKS.values():
            self.taps[link.name] = self.namespace.call(_tap, link.name)
        self._run(["ip", "-batch", "-"], "\n".join([line for link in LINKS.values() for line in _addresses(link)] + _nobodys()))
        self._control: socket.socket = self.namespace.call(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._log: socket.socket = self.namespace.call(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        for family in (socket.AF_INET, socket.AF_INET6):
            self._configure(family, LOG_PF_BIND)
        self._configure(socket.AF_UNSPEC, LOG_BIND)
        self._log.setblocking(False)
        self.drain()

    def _configure(self, family: int, command: int) -> None:
        """Have what conntrack logs come here."""
        self._log.send(struct.pack("=IHHIIBBHHHBxxx", 28, LOG_CONFIG, 5, 1, 0, family, 0, 0, 5, 1, command))
        error = struct.unpack_from("=i", self._log.recv(4096), 16)[0]
        assert error == 0, f"no log of conntrack: {os.strerror(-error)}"

    def _settings(self) -> None:
        for name, value in SETTINGS.items():
            path = Path("/proc/sys", name)
            if path.exists() or name not in OPTIONAL:
                path.write_text(str(value))

    def _run(self, argv: list[str], text: str) -> None:
        command = ["nsenter", f"--net={NAMESPACES / self.namespace.name}", "--", *argv]
        done = subprocess.run(command, input=text + "\n", capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}\n{text}"

    def _nft(self, text: str) -> None:
        self._run(["nft", "-f", "-"], text)

    def load(self, ruleset: str) -> None:
        """Filter by another ruleset, and know no flow any more."""
        self._nft(f"flush ruleset\n{ruleset}")
        self.forget()

    def forget(self) -> None:
        """Know no flow any more."""
        self._control.send(DELETE_ALL)
        answer = self._control.recv(4096)
        error = struct.unpack_from("=i", answer, 16)[0]
        assert error == 0, f"the kernel did not forget its flows: {os.strerror(-error)}"
        self.drain()

    def drain(self) -> list[tuple[str, bytes]]:
        """What left since the last look, but for the kernel's own announcements."""
        left = []
        for name, tap in self.taps.items():
            while True:
                try:
                    frame = os.read(tap, 65536)
                except BlockingIOError:
                    break
                if not frame[0] & 1:
                    left.append((name, frame))
        return left

    def says(self) -> str:
        """What conntrack has remarked since the last call."""
        remarks = []
        while True:
            try:
                remarks.append(_prefix(self._log.recv(65536)))
            except BlockingIOError:
                return "; ".join(remarks)

    def tracked(self, protocol: int, ends: Ends) -> Tracked | None:
        """What netfilter knows of the flow of packets with these ends; of echoes, requests."""
        return tracked(self._control, protocol, ends)

    def pass_through(self, nic: str, frame: bytes) -> list[tuple[str, bytes]]:
        """A frame arrives by a nic: the frames that left for it, and by which nics."""
        os.write(self.taps[nic], frame)
        return self.drain()


def _prefix(message: bytes) -> str:
    """The remark in a packet log message."""
    at = 20
    while at + 4 <= len(message):
        size, kind = struct.unpack_from("=HH", message, at)
        if kind & 0x7FFF == LOG_PREFIX:
            return message[at + 4 : at + size].rstrip(b"\0").decode(errors="replace").strip()
        at += max(size + 3 & ~3, 4)
    return ""


def _tap(name: str) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return tap


def _nobodys() -> list[str]:
    """Nothing leads to addresses that only translation gives, though a link's network may have them."""
    return [f"route add blackhole {network}" for network in OUTSIDE]


def _addresses(link: Link) -> list[str]:
    """What iproute2 is told about a link: address, neighbours, gateway."""
    lines = [f"link set {link.name} address {link.mac.hex(':')} mtu {link.mtu}"]
    lines += [f"address add {link.address[v]}/{link.prefix[v]} dev {link.name}{' nodad' * (v == 6)}" for v in (4, 6)]
    lines += [f"link set {link.name} up"]
    near = [host for v in (4, 6) for host in link.hosts[v]] + list(link.gateway.values())
    lines += [f"neigh replace {host} lladdr {station_mac(packed(host)).hex(':')} dev {link.name} nud permanent" for host in near]
    return lines + [f"route add default via {gateway}" for gateway in link.gateway.values()]
