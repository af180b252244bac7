"""Packets rewritten in Python: those quoted in ICMP errors, and those that have to be fragmented. All others are rewritten compiled.

Source: RFC 5508, section 4 (errors about translated flows); RFC 791, section 3.2 (fragmentation).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final, NamedTuple

from ena_dev.packet.checksum import checksum, transport_checksum, update

if TYPE_CHECKING:
    from ena_dev.packet.parse import Parsed

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
CHECKSUM_AT: Final = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}
MORE_FRAGMENTS: Final = 0x2000
ECHOES: Final = {(4, ICMP, 8): 0, (4, ICMP, 0): 8, (6, ICMPV6, 128): 129, (6, ICMPV6, 129): 128}
"""By IP version, protocol and ICMP type, which type goes the other way."""


class Ends(NamedTuple):
    """Addresses and ports of one direction of a flow, as integers."""

    source: int
    destination: int
    sport: int
    dport: int
    shift: int = 0  # of TCP: what is added to the sequence numbers of who leaves under these

    @property
    def back(self) -> Ends:
        """Those of the other direction."""
        return Ends(self.destination, self.source, self.dport, self.sport)


def addresses(packet: bytes, version: int) -> tuple[int, int]:
    """Source and destination of an IP packet."""
    first, size = (12, 4) if version == 4 else (8, 16)
    return int.from_bytes(packet[first : first + size]), int.from_bytes(packet[first + size : first + 2 * size])


def ends(packet: bytes, parsed: Parsed) -> Ends:
    """Those of a packet that was parsed."""
    return Ends(*addresses(packet, parsed["version"]), parsed["source_port"], parsed["destination_port"])


def kind_back(parsed: Parsed) -> int:
    """The ICMP type of what answers a packet, or is answered by it; 0 if it has none."""
    return ECHOES.get((parsed["version"], parsed["protocol"], parsed["icmp_type"]), parsed["icmp_type"])


def rewrite(packet: bytes, parsed: Parsed, to: Ends) -> bytes:
    """A packet, maybe cut short or a fragment, with the addresses and ports of `to`, its checksums following as far as they are there."""
    data, version, protocol = bytearray(packet), parsed["version"], parsed["protocol"]
    size, first = (4, 12) if version == 4 else (16, 8)
    old, new = bytes(data[first : first + 2 * size]), to.source.to_bytes(size) + to.destination.to_bytes(size)
    data[first : first + 2 * size] = new
    l4 = parsed["l4_offset"] - parsed["l3_offset"]
    if version == 4:
        data[10:12] = update(int.from_bytes(data[10:12]), old, new).to_bytes(2)
    if not parsed["l4_offset"]:
        return bytes(data)
    if protocol in (TCP, UDP):
        ports = to.sport.to_bytes(2) + to.dport.to_bytes(2)
        old, new = old + bytes(data[l4 : l4 + 4]), new + ports
        data[l4 : l4 + 4] = ports
        if to.shift and protocol == TCP and len(data) >= l4 + 8:
            old += bytes(data[l4 + 4 : l4 + 8])
            data[l4 + 4 : l4 + 8] = ((int.from_bytes(data[l4 + 4 : l4 + 8]) + to.shift) % 2**32).to_bytes(4)
            new += bytes(data[l4 + 4 : l4 + 8])
    elif protocol in (ICMP, ICMPV6):
        identifier, pseudo = to.sport.to_bytes(2), protocol == ICMPV6
        old, new = old * pseudo + bytes(data[l4 + 4 : l4 + 6]), new * pseudo + identifier
        data[l4 + 4 : l4 + 6] = identifier
    at = l4 + CHECKSUM_AT.get(protocol, len(data))
    field = int.from_bytes(data[at : at + 2])
    if len(data) >= at + 2 and (field or protocol != UDP):
        data[at : at + 2] = update(field, old, new, udp=protocol == UDP).to_bytes(2)
    return bytes(data)


def finish(packet: bytes, parsed: Parsed) -> bytes:
    """A whole packet with its transport checksum as it must be on the wire: its sender may have left that to a card."""
    version, protocol, l4 = parsed["version"], parsed["protocol"], parsed["l4_offset"] - parsed["l3_offset"]
    at = l4 + CHECKSUM_AT.get(protocol, len(packet))
    if at + 2 > len(packet) or (protocol == UDP and version == 4 and packet[at : at + 2] == b"\0\0"):
        return packet
    data = packet[l4 : at] + b"\0\0" + packet[at + 2 :]
    source, destination = (address_of(version, value) for value in addresses(packet, version))
    value = checksum(data) if protocol == ICMP else transport_checksum(source, destination, protocol, data)
    return packet[:at] + value.to_bytes(2) + packet[at + 2 :]


def fragments(packet: bytes, mtu: int, hops: int) -> Iterator[bytes]:
    """An IPv4 packet without options, `hops` later, in fragments of at most `mtu` bytes."""
    header, data = packet[:20], packet[20:]
    room, at = (mtu - 20) // 8 * 8, 0
    word = int.from_bytes(header[6:8])
    while at < len(data):
        piece = data[at : at + room]
        more = MORE_FRAGMENTS if at + room < len(data) else word & MORE_FRAGMENTS
        place = (word & 0x1FFF) + at // 8
        fixed = header[:2] + (20 + len(piece)).to_bytes(2) + header[4:6] + (more | place).to_bytes(2)
        fixed += bytes((header[8] - hops, header[9])) + b"\0\0" + header[12:]
        yield fixed[:10] + checksum(fixed).to_bytes(2) + fixed[12:] + piece
        at += room


def address_of(version: int, value: int) -> IPv4Address | IPv6Address:
    """An address from its number."""
    return IPv4Address(value) if version == 4 else IPv6Address(value)
