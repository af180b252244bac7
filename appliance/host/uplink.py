"""Take over a Linux interface: its frames go to the card, its addresses to the appliance.

    network -- uplink ==tc redirect==> TAP -- card            and the same the other way

Both ends are tied by an ingress redirect, a wire below the network stack. A Linux bridge would also hand the stack what is sent to the
uplink's own MAC address, and since the appliance's addresses are local (of the TUN), the stack would answer past the card and its policy.
So the wire fails closed: whatever becomes of the appliance, nothing reaches the stack by the uplink.

The card may bear the uplink's MAC address, as a network that knows just that one requires: a cloud's, some hypervisors'. With a MAC
address of its own it should send `announcements`. The TAP's Linux end keeps its own; it is in no frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from socket import AF_INET6
from typing import Any

from pyroute2 import IPRoute

from appliance.host.changes import Call, Changes, session
from appliance.host.links import (
    ETHERNET,
    IFA_F_NODAD,
    IFA_F_NOPREFIXROUTE,
    IFF_PROMISC,
    IFF_UP,
    Interface,
    Link,
    find,
    set_link,
    without_link_local,
)
from ena_dev.errors import HostError
from ena_dev.packet.build import arp_request, neighbor_advertisement

LOCAL, MAIN = 255, 254  # routing tables
BY_KERNEL = 2  # RTPROT_KERNEL: routes that come and go with an address
GLOBAL = 0  # RT_SCOPE_UNIVERSE
IFA_F_TEMPORARY, IFA_F_DADFAILED, IFA_F_DEPRECATED = 0x01, 0x08, 0x20
IFA_F_MANAGETEMPADDR = 0x100
RTNH_F_ONLINK = 0x4
INGRESS = 0xFFFF0000
EVERY_FRAME: dict[str, Any] = {"parent": INGRESS, "prio": 1, "protocol": 3, "target": 0x10001, "keys": ["0x0/0x0+0"]}  # 3: ETH_P_ALL
KERNEL_HINT = "the kernel needs CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_U32 and CONFIG_NET_ACT_MIRRED (or their modules loaded)"


@dataclass(frozen=True, slots=True)
class Adopted:
    """What an interface had when it was taken over: addresses, the primary one of a family first, a gateway a family, MTU, MAC address."""

    addresses: tuple[Interface, ...]
    gateways: tuple[IPv4Address | IPv6Address, ...]
    mtu: int
    mac: bytes
    changes: Changes

    def restore(self) -> None:
        """Give the interface its addresses and routes back. Idempotent; raises HostError."""
        self.changes.restore()


def take_over(uplink: str, tap: str) -> Adopted:
    """Wire the interface to the TAP and take its addresses and routes away. Raises HostError, having undone all.

    The TAP must be open, and its MTU becomes the uplink's. Take over before the TUN is given the adopted addresses.
    """
    changes = Changes()
    with session() as ip, changes.or_undone():
        link, other = _usable(find(ip, uplink)), find(ip, tap)
        addresses = [each for each in ip.get_addr() if each["index"] == link.index]
        routes = [each for each in ip.get_routes() if each.get("oif") == link.index and each.get("table") != LOCAL]
        set_mtu = set_link(other.index, mtu=link.mtu)
        changes.make(ip, f"set the MTU of {tap} to {link.mtu}", set_mtu, set_link(other.index, mtu=other.mtu))
        for end in (other, link):
            without_link_local(ip, changes, end)
        _redirect(ip, changes, link, other)
        _redirect(ip, changes, other, link)
        _listen(ip, changes, other, 0)
        _listen(ip, changes, link, IFF_PROMISC)  # the card's MAC address need not be the uplink's
        _flush(ip, changes, link, addresses, routes)
        _flush(ip, changes, other, [each for each in ip.get_addr() if each["index"] == other.index], [])
    return Adopted(_adoptable(addresses), _gateways(routes), link.mtu, link.mac, changes)


def announcements(mac: bytes, addresses: Sequence[Interface]) -> list[bytes]:
    """Frames that tell the network who has these addresses now: an ARP announcement or an unsolicited neighbor advertisement for each.

    Source: RFC 5227, 2.3; RFC 4861, 7.2.6.
    """
    return [
        arp_request(mac, each.ip, each.ip) if each.version == 4 else neighbor_advertisement(mac, each.ip, mac, "::") for each in addresses
    ]


def _usable(link: Link) -> Link:
    if link.kind != ETHERNET:
        raise HostError(f"can't take over {link.name}", "it is no Ethernet interface", "name one that is")
    if link.master is not None:
        raise HostError(f"can't take over {link.name}", "it is a port of a bridge or bond", "name that one, or free this one")
    return link


def _redirect(ip: IPRoute, changes: Changes, source: Link, target: Link) -> None:
    qdisc: dict[str, Any] = {"kind": "ingress", "index": source.index, "handle": INGRESS}
    what = f"redirect what {source.name} receives to {target.name}"
    hint = f"another program redirects it already, or a killed run did: tc qdisc del dev {source.name} ingress"
    taken = any(each.get("kind") in ("ingress", "clsact") for each in ip.get_qdiscs(source.index))
    changes.make(ip, what, ("tc", "add", qdisc), ("tc", "del", qdisc), hint if taken else KERNEL_HINT)
    action = {"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": target.index}
    changes.make(ip, what, ("tc", "add-filter", {"kind": "u32", "index": source.index, "action": action, **EVERY_FRAME}), hint=KERNEL_HINT)


def _listen(ip: IPRoute, changes: Changes, link: Link, flag: int) -> None:
    """Bring a link up, with a flag more; put back what it was."""
    mask = IFF_UP | flag
    up = set_link(link.index, flags=mask, change=mask)
    changes.make(ip, f"bring {link.name} up", up, set_link(link.index, flags=link.flags & mask, change=mask))


def _flush(ip: IPRoute, changes: Changes, link: Link, addresses: list[Any], routes: list[Any]) -> None:
    """Remove routes by the link, those with gateways first, then addresses, the primary ones last: undoing goes the other way."""
    for route in sorted(routes, key=lambda each: each.get("gateway") is None):
        if route["proto"] != BY_KERNEL:
            add, remove = _route_calls(route)
            changes.make(ip, f"take the route {remove[2]} off {link.name}", remove, add)
    for address in reversed(addresses):
        add, remove = _address_calls(address)
        changes.make(ip, f"take the address {remove[2]['address']} off {link.name}", remove, add)


def _route_calls(route: Any) -> tuple[Call, Call]:
    """The calls that add and delete a route, from the kernel's description."""
    fields = {name: route[name] for name in ("family", "dst_len", "src_len", "tos", "proto", "scope", "type")}
    fields["flags"] = route["flags"] & RTNH_F_ONLINK
    kept = ("RTA_TABLE", "RTA_DST", "RTA_SRC", "RTA_GATEWAY", "RTA_OIF", "RTA_PREFSRC", "RTA_PRIORITY", "RTA_METRICS", "RTA_VIA")
    attributes = {name: value for name, value in route["attrs"] if name in kept}
    if not route["dst_len"]:
        attributes["dst"] = "default"
    return ("route", "add", fields | attributes), ("route", "del", fields | attributes)


def _address_calls(address: Any) -> tuple[Call, Call]:
    at = {name: address[name] for name in ("family", "prefixlen", "scope", "index")}
    kept = ("IFA_ADDRESS", "IFA_LOCAL", "IFA_LABEL", "IFA_BROADCAST")
    at |= {name.removeprefix("IFA_").lower(): value for name, value in address["attrs"] if name in kept}
    more: dict[str, Any] = {"IFA_FLAGS": _flags(address) & (IFA_F_NOPREFIXROUTE | IFA_F_MANAGETEMPADDR)}
    if address["family"] != 2:
        more["IFA_FLAGS"] |= IFA_F_NODAD  # it was ours a moment ago
    if (maker := address.get("IFA_PROTO")) is not None:
        more["IFA_PROTO"] = maker
    if times := address.get("cacheinfo"):
        more["IFA_CACHEINFO"] = {name: times[name] for name in ("ifa_preferred", "ifa_valid")}
    return ("addr", "add", at | more), ("addr", "del", at)


def _flags(address: Any) -> int:
    return int(address.get("IFA_FLAGS") or address["flags"])


def _adoptable(addresses: list[Any]) -> tuple[Interface, ...]:
    found = []
    for each in addresses:
        # In IPv4 the temporary bit says secondary, which is no reason.
        unusable = IFA_F_DADFAILED | IFA_F_DEPRECATED | (IFA_F_TEMPORARY if each["family"] == AF_INET6 else 0)
        if each["scope"] == GLOBAL and not _flags(each) & unusable:
            found.append(ip_interface(f"{each.get('local') or each.get('address')}/{each['prefixlen']}"))
    return tuple(sorted(found, key=lambda address: address.version))


def _gateways(routes: list[Any]) -> tuple[IPv4Address | IPv6Address, ...]:
    """The gateway of the default route with the lowest metric, a family."""
    best: dict[int, tuple[int, str]] = {}
    for each in routes:
        if each["dst_len"] == 0 and each.get("table") == MAIN and each.get("gateway") is not None:
            offer = (each.get("priority") or 0, each.get("gateway"))
            best[each["family"]] = min(best.get(each["family"], offer), offer)
    return tuple(ip_address(best[family][1]) for family in sorted(best))
