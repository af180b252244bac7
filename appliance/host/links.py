"""Interfaces: find one, bring it up, move it to another network namespace."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from appliance.host.changes import Call, Changes, refusal, session
from ena_dev.errors import HostError

Interface = IPv4Interface | IPv6Interface

NAMESPACES = Path("/run/netns")
ETHERNET = 1  # ARPHRD_ETHER
IFF_UP, IFF_PROMISC = 0x1, 0x100
IFA_F_NODAD, IFA_F_NOPREFIXROUTE = 0x02, 0x200
GEN_MODE_NONE = 1  # IN6_ADDR_GEN_MODE_NONE: no link-local address of the kernel's making


@dataclass(frozen=True, slots=True)
class Link:
    """One interface as the kernel describes it. `gen_mode` is how it makes IPv6 link-local addresses, None without IPv6."""

    index: int
    name: str
    kind: int
    flags: int
    mtu: int
    mac: bytes
    master: int | None
    gen_mode: int | None


def find(ip: IPRoute, name: str) -> Link:
    """The interface `name`. Raises HostError, which lists those that are there."""
    try:
        found = next(iter(ip.get_links(ifname=name)), None)
    except NetlinkError as error:
        if error.code not in (errno.ENODEV, errno.EINVAL, errno.ERANGE):
            raise refusal(f"look up interface {name}", error) from error
        found = None
    if found is None:
        there = ", ".join(sorted(link.get("ifname") for link in ip.get_links()))
        raise HostError(f"no interface {name}", f"in this network namespace there are {there}", "name one of them, or make it first")
    gen_mode = found.get_nested("IFLA_AF_SPEC", "AF_INET6", "IFLA_INET6_ADDR_GEN_MODE")
    mac = bytes.fromhex((found.get("address") or "").replace(":", ""))
    return Link(found["index"], name, found["ifi_type"], found["flags"], found.get("mtu"), mac, found.get("master"), gen_mode)


def set_link(index: int, **settings: object) -> Call:
    """The call that changes an interface."""
    return "link", "set", {"index": index, **settings}


def set_gen_mode(index: int, mode: int) -> Call:
    """The call that says how an interface makes its IPv6 link-local address."""
    return set_link(index, IFLA_AF_SPEC={"attrs": [["AF_INET6", {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", mode]]}]]})


def without_link_local(ip: IPRoute, changes: Changes, link: Link) -> None:
    """Keep the kernel from giving an interface a link-local address, and so from talking IPv6 over it unasked."""
    if link.gen_mode is not None and link.gen_mode != GEN_MODE_NONE:
        undo = set_gen_mode(link.index, link.gen_mode)
        changes.make(ip, f"keep IPv6 addresses off {link.name}", set_gen_mode(link.index, GEN_MODE_NONE), undo)


def owners(ip: IPRoute) -> dict[object, int]:
    """Who has an address in this namespace: address to interface index."""
    addresses = ((ip_address(each.get("local") or each.get("address")), each["index"]) for each in ip.get_addr())
    return dict(addresses)


def bring_up(name: str, mtu: int) -> None:
    """Set the MTU of an interface, in bytes, and bring it up. Raises HostError."""
    with session() as ip:
        link = find(ip, name)
        Changes().make(ip, f"set the MTU of {name} to {mtu}", set_link(link.index, mtu=mtu))
        Changes().make(ip, f"bring {name} up", set_link(link.index, state="up"))


def move(name: str, namespace: str) -> None:
    """Move an interface into the named network namespace, where it arrives down and without addresses. Raises HostError."""
    try:
        target = os.open(NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        there = ", ".join(sorted(path.name for path in NAMESPACES.glob("*"))) or "none"
        raise refusal(f"open network namespace {namespace}", error, f"there are: {there}") from error
    try:
        with session() as ip:
            Changes().make(ip, f"move {name} to {namespace}", set_link(find(ip, name).index, net_ns_fd=target))
    finally:
        os.close(target)


def add_addresses(name: str, addresses: Sequence[Interface]) -> None:
    """Give an interface addresses with their networks, at once usable (no duplicate address detection). Raises HostError."""
    with session() as ip:
        link = find(ip, name)
        for each in addresses:
            arguments = {"index": link.index, "address": str(each.ip), "prefixlen": each.network.prefixlen}
            flags = {"IFA_FLAGS": IFA_F_NODAD} if each.version == 6 else {}
            Changes().make(ip, f"give {name} the address {each}", ("addr", "add", arguments | flags))
