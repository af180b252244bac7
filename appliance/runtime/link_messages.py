"""ARP and ND messages as they are heard: bytes of a frame in, what it says out, or None for what no host may act on.

Addresses are integers. Source: RFC 826; RFC 4861, sections 4.3, 4.4 and 7.1 (what makes a message valid).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from ena_dev.packet.checksum import checksum

ARP_BODY: Final = struct.Struct(">HHBBH6s4s6s4s")
ETHERNET: Final = 14
IPV6: Final = 40
ICMPV6: Final = 58
FROM_THIS_LINK: Final = 255
"""The hop limit that no router has lowered."""
SOLICITATION, ADVERTISEMENT = 135, 136
SMALLEST: Final = 24
OPTION_SOURCE, OPTION_TARGET = 1, 2
SOLICITED_NODE: Final = bytes.fromhex("ff0200000000000000000001ff")


class Arp(NamedTuple):
    """An ARP request or answer; `sender` 0 asks whether `target` is taken."""

    request: bool
    mac: bytes
    sender: int
    target: int


class Solicitation(NamedTuple):
    """Who has `target`? `source` 0 asks whether it is taken; `mac` is the asker's, if it said so."""

    source: int
    target: int
    mac: bytes | None


class Advertisement(NamedTuple):
    """`target` is at `mac`, or where it was when that is None."""

    target: int
    mac: bytes | None
    solicited: bool
    override: bool


def read_arp(frame: bytes) -> Arp | None:
    """The ARP message of an untagged frame: IPv4 over Ethernet, a request or an answer."""
    if len(frame) < ETHERNET + ARP_BODY.size:
        return None
    hardware, protocol, hlen, plen, operation, mac, sender, _, target = ARP_BODY.unpack_from(frame, ETHERNET)
    if (hardware, protocol, hlen, plen) != (1, 0x0800, 6, 4) or operation not in (1, 2):
        return None
    return Arp(operation == 1, mac, int.from_bytes(sender), int.from_bytes(target))


def read_nd(frame: bytes) -> Solicitation | Advertisement | None:
    """The neighbour solicitation or advertisement of an untagged frame without extension headers."""
    packet = frame[ETHERNET:]
    if len(packet) < IPV6 + SMALLEST or packet[6] != ICMPV6 or packet[7] != FROM_THIS_LINK:
        return None
    length = int.from_bytes(packet[4:6])
    message = packet[IPV6 : IPV6 + length]
    if length < SMALLEST or len(message) != length or message[1] or _sum(packet, message):
        return None
    options = _options(message[SMALLEST:])
    if options is None or message[8] == 0xFF:
        return None
    if message[0] == SOLICITATION:
        return _solicitation(packet, message, options)
    if message[0] == ADVERTISEMENT:
        return _advertisement(packet, message, options)
    return None


def _solicitation(packet: bytes, message: bytes, options: dict[int, bytes]) -> Solicitation | None:
    source, mac = int.from_bytes(packet[8:24]), options.get(OPTION_SOURCE)
    if packet[8] == 0xFF or (source == 0 and (mac is not None or packet[24:37] != SOLICITED_NODE)):
        return None
    return Solicitation(source, int.from_bytes(message[8:24]), mac)


def _advertisement(packet: bytes, message: bytes, options: dict[int, bytes]) -> Advertisement | None:
    solicited = bool(message[4] & 0x40)
    if solicited and packet[24] == 0xFF:
        return None
    return Advertisement(int.from_bytes(message[8:24]), options.get(OPTION_TARGET), solicited, bool(message[4] & 0x20))


def _sum(packet: bytes, message: bytes) -> int:
    """0 for a good checksum."""
    return checksum(packet[8:40] + len(message).to_bytes(4) + ICMPV6.to_bytes(4) + message)


def _options(data: bytes) -> dict[int, bytes] | None:
    """The link-layer addresses by option type; None if an option has no length, or more than is there."""
    found = {}
    while data:
        size = data[1] * 8 if len(data) > 1 else 0
        if size == 0 or size > len(data):
            return None
        if data[0] in (OPTION_SOURCE, OPTION_TARGET) and size == 8:
            found[data[0]] = data[2:8]
        data = data[size:]
    return found
