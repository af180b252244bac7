"""The network around both: three nics, the hosts behind them, and what is written on a wire between them.

    lan  10.1.0.0/16      2001:db8:1::/64     hosts .0.10 and up          mtu 1500
    wan  203.0.113.0/24   2001:db8:2::/64     hosts .9, .10; a gateway    mtu 1500     198.51.100.9, 2001:db8:9::9 beyond
    dmz  10.3.0.0/24      2001:db8:3::/64     hosts .20, .21              mtu 1400

A station's MAC address follows from its IP address, so that frames of both can be compared whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

ETHERTYPES: Final = {4: b"\x08\x00", 6: b"\x86\xdd"}


@dataclass(frozen=True, slots=True)
class Link:
    """A nic, and who is behind it, by IP version. `beyond`: hosts that its gateway leads to."""

    name: str
    mac: bytes
    mtu: int
    address: Mapping[int, str]
    prefix: Mapping[int, int]
    hosts: Mapping[int, tuple[str, ...]]
    gateway: Mapping[int, str]
    beyond: Mapping[int, tuple[str, ...]]


LAN: Final = Link(
    "lan", bytes.fromhex("020000000101"), 1500, {4: "10.1.0.1", 6: "2001:db8:1::1"}, {4: 16, 6: 64},
    {4: ("10.1.0.10", "10.1.0.11", "10.1.7.12"), 6: ("2001:db8:1::10", "2001:db8:1::11", "2001:db8:1::712")}, {}, {},
)  # fmt: skip
WAN: Final = Link(
    "wan", bytes.fromhex("020000000102"), 1500, {4: "203.0.113.1", 6: "2001:db8:2::1"}, {4: 24, 6: 64},
    {4: ("203.0.113.9", "203.0.113.10"), 6: ("2001:db8:2::9", "2001:db8:2::10")},
    {4: "203.0.113.254", 6: "2001:db8:2::fe"}, {4: ("198.51.100.9", "192.0.2.77"), 6: ("2001:db8:9::9", "2001:db8:77::77")},
)  # fmt: skip
DMZ: Final = Link(
    "dmz", bytes.fromhex("020000000103"), 1400, {4: "10.3.0.1", 6: "2001:db8:3::1"}, {4: 24, 6: 64},
    {4: ("10.3.0.20", "10.3.0.21"), 6: ("2001:db8:3::20", "2001:db8:3::21")}, {}, {},
)  # fmt: skip
POOL: Final = {4: "203.0.113.40", 6: "2001:db8:2::40"}
OUTSIDE: Final = (*POOL.values(), "203.0.113.20")
"""Addresses of a link that only translation gives: where it has no flow for them, they are nobody's."""
LINKS: Final = {link.name: link for link in (LAN, WAN, DMZ)}


def packed(address: str) -> bytes:
    """An address as it stands on the wire."""
    return ip_address(address).packed


def text(address: bytes) -> str:
    """An address as people write it."""
    return str(IPv4Address(address) if len(address) == 4 else IPv6Address(address))


def station_mac(address: bytes) -> bytes:
    """Whose NIC an address on a link has."""
    return b"\x02" + bytes((len(address),)) + address[-4:]


def on_link(link: Link, address: str) -> str:
    """Who on a link hands packets of `address` over: itself, or the gateway."""
    version = ip_address(address).version
    return link.gateway[version] if address in link.beyond.get(version, ()) else address


def frame_to(link: Link, source: str, packet: bytes) -> bytes:
    """A packet of the host `source` behind a link, as it arrives there."""
    return link.mac + station_mac(packed(on_link(link, source))) + ETHERTYPES[packet[0] >> 4] + packet
