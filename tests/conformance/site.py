"""The device under test between three hosts, each in a network namespace of its own, as is the device: the kernel, or the appliance.

    lan  192.168.1.9 .10   2001:db8:1::9 ::a  ---+
    dmz  198.51.100.20     2001:db8:3::20     ---+--- device under test        mtu 1500; of dmz less, if so asked
    wan  203.0.113.9 .10   2001:db8:2::9 ::a  ---+    (the device's default gateway, which forwards nothing)

The interface of a host has the host's name: a TAP of the appliance's, or one end of a veth pair, whose other end has the same name.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from ipaddress import ip_address, ip_interface
from pathlib import Path
from threading import Semaphore
from typing import Final

from tests.conformance.policy import (
    DEPENDENT_YAML,
    FIREWALL_NFT,
    FIREWALL_YAML,
    HIDDEN_NFT,
    HIDDEN_YAML,
    INDEPENDENT_YAML,
    NARROW,
    NARROW_YAML,
    OPEN_NFT,
    OPEN_YAML,
    PREFIX_NFT,
    PREFIX_YAML,
)
from tests.e2e.host import Host
from tests.e2e.lab import Appliance, Lab
from tests.perf.hosts import ip, run
from tests.perf.process import resident

LAN, LAN_TOO, LAN6 = "192.168.1.9", "192.168.1.10", "2001:db8:1::9"
DMZ, DMZ6 = "198.51.100.20", "2001:db8:3::20"
WAN, WAN_TOO, WAN6 = "203.0.113.9", "203.0.113.10", "2001:db8:2::9"
INSIDE, OUTSIDE, OUTSIDE6 = "192.168.1.1", "203.0.113.1", "2001:db8:2::1"
"""The device itself, as lan and wan see it."""
ADDRESSES: Final = {
    "lan": ("192.168.1.9/24", "192.168.1.10/24", "2001:db8:1::9/64", "2001:db8:1::a/64"),
    "dmz": ("198.51.100.20/24", "2001:db8:3::20/64"),
    "wan": ("203.0.113.9/24", "203.0.113.10/24", "2001:db8:2::9/64", "2001:db8:2::a/64"),
}
GATEWAYS: Final = {
    "lan": ("192.168.1.1", "2001:db8:1::1"),
    "dmz": ("198.51.100.1", "2001:db8:3::1"),
    "wan": ("203.0.113.1", "2001:db8:2::1"),
}
PREFIX: Final = {4: 24, 6: 64}

UNLIMITED: Final = {"net/ipv4/icmp_ratelimit": 0, "net/ipv6/icmp/ratelimit": 0}
"""A kernel that always answers: no error is missing because of another one."""
HOST_SETTINGS: Final = UNLIMITED | {"net/ipv4/ip_forward": 0, "net/ipv6/conf/all/forwarding": 0}
"""A namespace may have inherited the machine's: what a host forwards comes back to the device."""
KERNEL_SETTINGS: Final = UNLIMITED | {
    "net/ipv6/conf/default/accept_dad": 0, "net/ipv6/conf/default/accept_ra": 0,
    "net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1,
    "net/ipv4/conf/all/send_redirects": 0, "net/ipv4/conf/default/send_redirects": 0, "net/ipv4/conf/all/accept_redirects": 0,
    "net/ipv6/conf/all/accept_redirects": 0,
}  # fmt: skip
"""A router that believes no redirect and sends none, as the appliance does."""
STRICT, LENIENT = 0, 1
"""nf_conntrack_tcp_loose and nf_conntrack_tcp_be_liberal: what the appliance calls pickup and liberal, off by default."""

STARTING: Final = Semaphore(2)
"""Many begin at the same time; each has to be ready soon."""
_numbers = itertools.count()


class Side(Enum):
    """How both sides are set up: `policy` has the words. The kernel has no other mapping or filtering than its own."""

    FIREWALL = (FIREWALL_YAML, FIREWALL_NFT, STRICT)
    INDEPENDENT = (INDEPENDENT_YAML, FIREWALL_NFT, STRICT)
    DEPENDENT = (DEPENDENT_YAML, FIREWALL_NFT, STRICT)
    NARROW = (NARROW_YAML, FIREWALL_NFT, STRICT)
    HIDDEN = (HIDDEN_YAML, HIDDEN_NFT, STRICT)
    PREFIX = (PREFIX_YAML, PREFIX_NFT, STRICT)
    OPEN = (OPEN_YAML, OPEN_NFT, LENIENT)

    def mtu(self, link: str) -> int:
        """Of a link, in bytes."""
        return NARROW if self is Side.NARROW and link == "dmz" else 1500


class Site(ABC):
    """A device under test and the hosts around it."""

    name: str

    def __init__(self, lab: Lab) -> None:
        number = next(_numbers)
        self.lab = lab
        self.lan, self.dmz, self.wan = (lab.host(f"{self.name}{number}{label}") for label in ADDRESSES)
        self.label = f"{self.name}{number}"
        for host in self.hosts.values():
            settle(host, HOST_SETTINGS)

    @property
    def hosts(self) -> dict[str, Host]:
        """The hosts by the name of their interface."""
        return {"lan": self.lan, "dmz": self.dmz, "wan": self.wan}

    @abstractmethod
    def flows(self) -> int:
        """How many flows the device tracks."""

    @abstractmethod
    def idle(self) -> bool:
        """Whether all that has come in is decided about."""

    @abstractmethod
    def memory(self) -> int | None:
        """Bytes that the device has in RAM; None where that can't be told from the rest of the machine."""

    @abstractmethod
    def trouble(self) -> str:
        """What is wrong with the device itself; empty if nothing is."""


class KernelSite(Site):
    """The kernel routes between three veth pairs, filters by nftables, tracks by conntrack."""

    name = "kernel"

    def __init__(self, lab: Lab, side: Side) -> None:
        super().__init__(lab)
        _, rules, lenient = side.value
        self.device = lab.host(self.label)
        run(self.device, "nft", rules)  # loads conntrack, whose settings follow
        lax = {f"net/netfilter/nf_conntrack_tcp_{name}": lenient for name in ("loose", "be_liberal")}
        settle(self.device, KERNEL_SETTINGS | lax)
        for link, host in self.hosts.items():
            gateways = [f"address add {each}/{PREFIX[ip_address(each).version]} dev {link}" for each in GATEWAYS[link]]
            ip(self.device, f"link add {link} mtu {side.mtu(link)} type veth peer name {link} netns {host.name}")
            ip(self.device, *gateways, f"link set {link} up")
            given = [ip_interface(each) for each in ADDRESSES[link]]
            host.set_up(link, given, [ip_address(each) for each in GATEWAYS[link]], mtu=side.mtu(link))
        ip(self.device, f"route add default via {WAN}", f"route add default via {WAN6}")

    def flows(self) -> int:
        text: str = self.device.call(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text)
        return int(text)

    def idle(self) -> bool:
        return True

    def memory(self) -> None:
        return None

    def trouble(self) -> str:
        return ""


class OurSite(Site):
    """The appliance with one TAP for each host."""

    name = "ours"

    def __init__(self, lab: Lab, side: Side) -> None:
        super().__init__(lab)
        self.appliance: Appliance = lab.appliance(self.label, side.value[0])
        for link, host in self.hosts.items():
            self.appliance.plug(link, host, ADDRESSES[link], GATEWAYS[link], side.mtu(link))

    def flows(self) -> int:
        return int(self.appliance.status()["flows"]["used"])

    def idle(self) -> bool:
        return not self.appliance.status()["flows"]["pending"]

    def memory(self) -> int:
        return resident(self.appliance.child.process.pid)

    def trouble(self) -> str:
        child = self.appliance.child
        if child.process.poll() is not None:
            return f"ended with {child.process.returncode}: {child.text()[-2000:]}"
        wrong = [entry for entry in list(child.log) if entry.get("level") in ("error", "critical", "raw")]
        return f"says {wrong[0]}" if wrong else ""


def settle(host: Host, settings: Mapping[str, int]) -> None:
    """Kernel settings of a namespace."""
    for name, value in settings.items():
        host.call(Path("/proc/sys", name).write_text, str(value))


@contextmanager
def opened(name: str, side: Side) -> Iterator[Site]:
    """One side, `kernel` or `ours`, whose neighbours know each other."""
    with Lab() as lab:
        with STARTING:
            site = {"kernel": KernelSite, "ours": OurSite}[name](lab, side)
            for host in site.hosts.values():
                for far in (GATEWAYS[label][v] for label in ADDRESSES if site.hosts[label] is host for v in (0, 1)):
                    host.output("ping", "-n", "-c1", "-W2", far)
        yield site
