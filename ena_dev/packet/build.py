"""Valid packets from keywords: answers the appliance sends itself, probes, and tests.

    ethernet(..., packet) <- udp, tcp, icmp_echo, icmp_error <- ip       frames around packets; checksums are always filled in
    arp_request, arp_reply, neighbor_solicitation, neighbor_advertisement   whole frames
    reply(frame, packet)                                                 back to whom the frame came from

Addresses are text or `ipaddress` objects, MAC addresses are 6 bytes, results are bytes without padding.
"""

from __future__ import annotations

import struct
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from ena_dev.errors import UsageError
from ena_dev.packet.checksum import checksum, transport_checksum
from ena_dev.packet.parse import Flag, Reason, parse

if TYPE_CHECKING:
    from ena_dev.packet.parse import Parsed

Address = IPv4Address | IPv6Address

ETHERTYPE_IPV4, ETHERTYPE_ARP, ETHERTYPE_VLAN, ETHERTYPE_IPV6 = 0x0800, 0x0806, 0x8100, 0x86DD
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
TCP_FIN, TCP_SYN, TCP_RST, TCP_ACK = 0x01, 0x02, 0x04, 0x10
BROADCAST_MAC = b"\xff" * 6
ND_HOP_LIMIT = 255               # proves that no router forwarded it
ALL_NODES = IPv6Address("ff02::1")
CONTROL_TOS = 0xC0               # precedence 6, internetwork control: RFC 1812, 4.3.2.5


def ethernet(destination: bytes, source: bytes, packet: bytes, *, ethertype: int | None = None, vlan: int | None = None) -> bytes:
    """A frame. The ethertype follows from the IP version of `packet` unless it is given; `vlan` is the tag control word."""
    if len(destination) != 6 or len(source) != 6:
        raise UsageError(f"a MAC address has 6 bytes, not {len(destination)} and {len(source)}")
    if ethertype is None:
        ethertype = ETHERTYPE_IPV6 if packet[:1] >= b"\x60" else ETHERTYPE_IPV4
    tag = b"" if vlan is None else struct.pack("!HH", ETHERTYPE_VLAN, vlan)
    return destination + source + tag + ethertype.to_bytes(2) + packet


def reply(frame: bytes, packet: bytes) -> bytes:
    """A frame with `packet` to the sender of `frame`, from its destination, in its VLAN."""
    tag = frame[12:16] if frame[12:14] in (b"\x81\x00", b"\x88\xa8") else b""
    untagged = ethernet(frame[6:12], frame[:6], packet)
    return untagged[:12] + tag + untagged[12:]


def arp_request(sender_mac: bytes, sender: Address | str, target: Address | str, *, target_mac: bytes = BROADCAST_MAC) -> bytes:
    """Who has `target`? Broadcast, or a unicast check of a known neighbor. Source: RFC 826."""
    return _arp(1, sender_mac, sender, b"\0" * 6, target, target_mac)


def arp_reply(sender_mac: bytes, sender: Address | str, target_mac: bytes, target: Address | str) -> bytes:
    """`sender` is at `sender_mac`, told to `target`. Source: RFC 826."""
    return _arp(2, sender_mac, sender, target_mac, target, target_mac)


def _arp(operation: int, sender_mac: bytes, sender: Address | str, hardware: bytes, target: Address | str, to: bytes) -> bytes:
    fixed = struct.pack("!HHBBH", 1, ETHERTYPE_IPV4, 6, 4, operation)
    body = fixed + sender_mac + IPv4Address(sender).packed + hardware + IPv4Address(target).packed
    return ethernet(to, sender_mac, body, ethertype=ETHERTYPE_ARP)


def ip(
    source: Address | str,
    destination: Address | str,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    tos: int = 0,
    identification: int = 0,
    fragment: int = 0x4000,
) -> bytes:
    """An IPv4 or IPv6 packet. `fragment` is IPv4's word of flags and offset, DF by default. Source: RFC 791, RFC 8200."""
    source, destination = ip_address(source), ip_address(destination)
    addresses = source.packed + destination.packed
    if source.version != destination.version:
        raise UsageError(f"{source} and {destination} are of different families")
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28 | tos << 20, len(payload), protocol, ttl) + addresses + payload
    header = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(payload), identification, fragment, ttl, protocol, 0) + addresses
    return _put(header, 10, checksum(header)) + payload


def udp(
    source: Address | str, destination: Address | str, source_port: int, destination_port: int, payload: bytes = b"", *, ttl: int = 64
) -> bytes:
    """An IP packet with a UDP datagram. Source: RFC 768."""
    header = struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0)
    return _transport(source, destination, UDP, header + payload, 6, ttl)


def tcp(
    source: Address | str,
    destination: Address | str,
    source_port: int,
    destination_port: int,
    payload: bytes = b"",
    *,
    sequence: int = 0,
    acknowledgment: int = 0,
    flags: int = 0x10,
    window: int = 65535,
    options: bytes = b"",
    ttl: int = 64,
) -> bytes:
    """An IP packet with a TCP segment; `options` are padded to 4 bytes with zeros. Source: RFC 9293."""
    options += b"\0" * (-len(options) % 4)
    words = 5 + len(options) // 4
    header = struct.pack("!HHIIBBHHH", source_port, destination_port, sequence, acknowledgment, words << 4, flags, window, 0, 0)
    return _transport(source, destination, TCP, header + options + payload, 16, ttl)


def icmp_echo(
    source: Address | str,
    destination: Address | str,
    identifier: int,
    sequence: int,
    payload: bytes = b"",
    *,
    reply: bool = False,
    ttl: int = 64,
) -> bytes:
    """An IP packet with an ICMP or ICMPv6 echo request or reply. Source: RFC 792; RFC 4443, 4.1."""
    kind = (129 if reply else 128) if ip_address(source).version == 6 else (0 if reply else 8)
    return icmp(source, destination, kind, 0, struct.pack("!HH", identifier, sequence) + payload, ttl=ttl)


def icmp(source: Address | str, destination: Address | str, kind: int, code: int, body: bytes, *, ttl: int = 64, tos: int = 0) -> bytes:
    """An IP packet with an ICMP or ICMPv6 message; `body` follows the checksum. Source: RFC 792; RFC 4443, 2.1."""
    message = struct.pack("!BBH", kind, code, 0) + body
    if ip_address(source).version == 6:
        return _transport(source, destination, ICMPV6, message, 2, ttl, tos)
    return ip(source, destination, ICMP, _put(message, 2, checksum(message)), ttl=ttl, tos=tos)


def neighbor_solicitation(
    sender_mac: bytes, sender: Address | str, target: Address | str, *, target_mac: bytes | None = None
) -> bytes:
    """Who has `target`? To its solicited-node group, or a unicast check of a known neighbor. Source: RFC 4861, 4.3.

    From `::` it asks whether the address is taken, and names no MAC address (RFC 4862, 5.4.2).
    """
    sender, target = IPv6Address(sender), IPv6Address(target)
    group = IPv6Address(IPv6Address("ff02::1:ff00:0").packed[:13] + target.packed[13:])
    option = b"" if sender.is_unspecified else b"\x01\x01" + sender_mac
    destination = group if target_mac is None else target
    packet = icmp(sender, destination, 135, 0, b"\0" * 4 + target.packed + option, ttl=ND_HOP_LIMIT)
    return ethernet(target_mac or _group_mac(group), sender_mac, packet)


def neighbor_advertisement(
    sender_mac: bytes, sender: Address | str, target_mac: bytes, target: Address | str, *, router: bool = True, override: bool = True
) -> bytes:
    """`sender` is at `sender_mac`, told to the solicitor `target`; to all nodes if that is `::`. Source: RFC 4861, 4.4 and 7.2.4."""
    sender, target = IPv6Address(sender), IPv6Address(target)
    solicited = not target.is_unspecified
    destination, mac = (target, target_mac) if solicited else (ALL_NODES, _group_mac(ALL_NODES))
    flags = (router << 31 | solicited << 30 | override << 29).to_bytes(4)
    return ethernet(mac, sender_mac, icmp(sender, destination, 136, 0, flags + sender.packed + b"\x02\x01" + sender_mac, ttl=ND_HOP_LIMIT))


class IcmpError(Enum):
    """What an ICMP error says: type and code for IPv4, and for IPv6. Source: RFC 792; RFC 1812, 5.2.7; RFC 4443, 3."""

    #                  IPv4     IPv6
    NO_ROUTE =        (3, 0),  (1, 0)
    HOST_UNREACHABLE = (3, 1), (1, 3)
    PORT_UNREACHABLE = (3, 3), (1, 4)
    PROHIBITED =      (3, 13), (1, 1)
    TOO_BIG =         (3, 4),  (2, 0)
    TIME_EXCEEDED =   (11, 0), (3, 0)


def icmp_error(frame: bytes, error: IcmpError, source: Address | str, *, mtu: int = 0) -> bytes | None:
    """The IP packet that tells the sender of `frame` about `error`, from our address `source`; None where none may be sent.

    It quotes as much as fits into 576 bytes (IPv6: 1280). `mtu` is that of the next hop, for TOO_BIG. Not answered: what can't be
    parsed, ICMP errors, group addresses, senders that aren't one host, fragments but the first. The caller limits the rate.
    Source: RFC 1812, 4.3.2; RFC 1122, 3.2.2; RFC 1191; RFC 4443, 2.4 and 3.
    """
    reason, parsed = parse(frame)
    if reason is not Reason.OK or not _may_answer(frame, error, parsed):
        return None
    source = ip_address(source)
    if source.version != parsed["version"]:
        raise UsageError(f"{source} can't answer an IPv{parsed['version']} packet")
    at = parsed["l3_offset"]
    packet = frame[at : at + parsed["l3_length"]]
    sender, _ = _addresses(packet)
    kind, code = error.value[source.version == 6]
    body = (mtu if error is IcmpError.TOO_BIG else 0).to_bytes(4)
    room, tos = (1280 - 48, 0) if source.version == 6 else (576 - 28, CONTROL_TOS)
    return icmp(source, sender, kind, code, body + packet[:room], tos=tos)


def tcp_reset(frame: bytes) -> bytes | None:
    """The IP packet that tells the sender of `frame`, a TCP segment, that there is no connection; None where none may be sent.

    It comes from where the segment went to. Not answered: RST, and what an ICMP error would not be sent about either.
    Source: RFC 9293, 3.10.7.1.
    """
    reason, parsed = parse(frame)
    if reason is not Reason.OK or parsed["protocol"] != TCP or not _may_answer(frame, IcmpError.PROHIBITED, parsed):
        return None
    sender, destination = _addresses(frame[parsed["l3_offset"] :])
    at, flags = parsed["l4_offset"], parsed["tcp_flags"]
    sequence, acknowledgment = struct.unpack_from("!II", frame, at + 4)
    if flags & TCP_RST:
        return None
    ports = parsed["destination_port"], parsed["source_port"]
    if flags & TCP_ACK:
        return tcp(destination, sender, *ports, sequence=acknowledgment, flags=TCP_RST, window=0)
    payload = parsed["l3_offset"] + parsed["l3_length"] - parsed["payload_offset"]
    end = sequence + payload + bool(flags & TCP_SYN) + bool(flags & TCP_FIN)
    return tcp(destination, sender, *ports, acknowledgment=end & 0xFFFFFFFF, flags=TCP_RST | TCP_ACK, window=0)


def _may_answer(frame: bytes, error: IcmpError, parsed: Parsed) -> bool:
    sender, destination = _addresses(frame[parsed["l3_offset"] :])
    flags = parsed["flags"]
    group = bool(flags & Flag.BROADCAST) or destination.is_multicast
    if flags & Flag.FRAGMENT and not flags & Flag.FIRST_FRAGMENT:
        return False
    if sender.is_multicast or sender.is_unspecified or sender.is_loopback:
        return False
    if parsed["version"] == 6:
        # A group may be told that its packet is too big: that is how multicast learns its path MTU (RFC 4443, 2.4 (e.3)).
        redirect_or_error = parsed["protocol"] == ICMPV6 and (parsed["icmp_type"] < 128 or parsed["icmp_type"] == 137)
        return (not group or error is IcmpError.TOO_BIG) and not redirect_or_error
    reserved = _is_reserved(destination) or _is_reserved(sender)
    return not group and not reserved and not (parsed["protocol"] == ICMP and parsed["icmp_type"] in (3, 4, 5, 11, 12))


def _is_reserved(address: Address) -> bool:
    """Class E, which holds the limited broadcast, or the network 0."""
    return address.packed[0] >= 240 or address.packed[0] == 0


def _addresses(packet: bytes) -> tuple[Address, Address]:
    if packet[0] >> 4 == 6:
        return IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    return IPv4Address(packet[12:16]), IPv4Address(packet[16:20])


def _transport(
    source: Address | str, destination: Address | str, protocol: int, data: bytes, field: int, ttl: int, tos: int = 0
) -> bytes:
    source, destination = ip_address(source), ip_address(destination)
    value = transport_checksum(source, destination, protocol, data)
    return ip(source, destination, protocol, _put(data, field, value), ttl=ttl, tos=tos)


def _put(data: bytes, offset: int, value: int) -> bytes:
    return data[:offset] + value.to_bytes(2) + data[offset + 2 :]


def _group_mac(group: IPv6Address) -> bytes:
    """The Ethernet group of an IPv6 group. Source: RFC 2464, 7."""
    return b"\x33\x33" + group.packed[12:]
