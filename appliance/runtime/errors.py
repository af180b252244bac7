"""ICMP errors: those the appliance sends as a router, and those about its flows, which it translates and passes on.

Source: RFC 1812, sections 4.3 and 5.2.7; RFC 4443, section 2.4; RFC 5508, section 4 (errors of translated flows); RFC 5927 (forged ones).
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from appliance.flow.records import FlowView
from appliance.runtime.translate import ICMPV6, TCP, Ends, address_of, addresses, ends, kind_back, rewrite
from ena_dev.packet import build
from ena_dev.packet.build import IcmpError
from ena_dev.packet.checksum import checksum, transport_checksum
from ena_dev.packet.parse import Reason, parse, parse_quote

OF_OLD: Final = (4, 5)
"""Source quench, which nobody sends any more (RFC 6633), and redirects, which are for the reporter's own link alone (RFC 1122, 3.2.2.2)."""

FRAGMENT_HEADER: Final = 44
UNANSWERED: Final = 65535
"""What an end may have sent at most before it was answered."""


class RateLimit:
    """A token bucket: at most `rate` a second, in bursts of up to `burst`."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, float(burst)
        self._tokens, self._at = float(burst), 0.0

    def take(self, now: float) -> bool:
        """Whether one more may be sent now."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def whole(frame: bytes) -> bytes:
    """The frame at the length its IP header tells, padded with zeros: what was handed over of a large one is only its beginning."""
    if len(frame) < 14 + 20:
        return frame
    length = int.from_bytes(frame[16:18]) if frame[14] >> 4 == 4 else 40 + int.from_bytes(frame[18:20])
    return frame.ljust(14 + length, b"\0")


def router_error(frame: bytes, error: IcmpError, source: IPv4Address | IPv6Address, mtu: int = 0) -> bytes | None:
    """The frame that tells the sender of `frame` about `error`, by the way it came; None where none may be sent."""
    packet = build.icmp_error(whole(frame), error, source, mtu=mtu)
    return None if packet is None else build.reply(frame, packet)


def refusal(frame: bytes, source: IPv4Address | IPv6Address | None) -> bytes | None:
    """The frame that tells the sender of `frame` that a rule denies it: to TCP a RST, to others an ICMP error from `source`, or, if that is
    None, from whom it wanted to reach. None where none may be sent."""
    reason, parsed = parse(frame)
    if reason is not Reason.OK:
        return None
    if parsed["protocol"] == build.TCP:
        packet = build.tcp_reset(whole(frame))
        return None if packet is None else build.reply(frame, packet)
    version = parsed["version"]
    return router_error(frame, IcmpError.PROHIBITED, source or address_of(version, addresses(frame[parsed["l3_offset"] :], version)[1]))


class Translated(NamedTuple):
    """An ICMP error as its receiver must see it."""

    packet: bytes
    version: int
    destination: int
    hops: int
    """That are left to it behind this router."""


Lookup = Callable[[int, int, Ends, int, int | None, int | None], Ends | None]


def translate_error(frame: bytes, lookup: Lookup) -> Translated | None:
    """Rewrite an ICMP error about a flow for the other side of the appliance; None if it is malformed or about none of our flows.

    The quoted packet was sent by us, to whom the error is: its tuple reversed is one that we receive. `lookup(version, protocol, tuple,
    kind, sequence, identity)` gives the tuple that the other direction of that flow has on its own side; `kind` is the ICMP type of what
    we receive, `sequence` that of a quoted TCP segment, `identity` that of a quoted fragment that isn't the first, and has no ports to
    tell.
    Source: RFC 5508, section 4.2.
    """
    reason, outer = parse(frame)
    if reason is not Reason.OK:
        return None
    at, version = outer["l3_offset"], outer["version"]
    packet = frame[at : at + outer["l3_length"]]
    message = packet[outer["l4_offset"] - at :]
    if len(message) < 16 or (version == 4 and message[0] in OF_OLD) or not _sound(packet, message, version):
        return None
    quote = message[8:]
    reason, inner = parse_quote(frame)
    if reason is not Reason.OK or inner["version"] != version:
        return None
    received = ends(quote, inner).back
    reporter, receiver = addresses(packet, version)
    sequence = int.from_bytes(frame[inner["l4_offset"] + 4 :][:4]) if inner["protocol"] == TCP and inner["l4_offset"] else None
    later = None if inner["l4_offset"] else _identification(quote, version)
    if receiver != received.destination:
        return None
    other = lookup(version, inner["protocol"], received, kind_back(inner), sequence, later)
    if other is None:
        return None
    # Who is behind a translation stays there (RFC 5508, 4.2.2); any other reporter is seen as itself.
    source = reporter if received.source == other.destination else other.destination
    head = _header(packet[: outer["l4_offset"] - at], version, source, other.source, outer["ttl"])
    body = message[:2] + b"\0\0" + message[4:8] + rewrite(quote, inner, other)
    value = checksum(body) if version == 4 else transport_checksum(IPv6Address(source), IPv6Address(other.source), ICMPV6, body)
    return Translated(head + body[:2] + value.to_bytes(2) + body[4:], version, other.source, outer["ttl"] - 1)


def _identification(packet: bytes, version: int) -> int:
    """That of a fragment, maybe cut, which parsed well."""
    if version == 4:
        return int.from_bytes(packet[4:6])
    at, kind = 40, packet[6]
    while kind != FRAGMENT_HEADER:
        kind, at = packet[at], at + (packet[at + 1] + 1) * 8
    return int.from_bytes(packet[at + 4 : at + 8])


def in_flight(flow: FlowView, sender: int, sequence: int) -> bool:
    """Whether a sequence number of a flow's end (0: originator) was sent, and isn't acknowledged yet: others are an attacker's guess, and
    no end would listen to them either. Nobody knows for one whose numbers weren't followed. Source: RFC 5927, section 4.1."""
    end, acknowledged = flow.said[sender], flow.heard[1 - sender]
    if flow.liberal or not end:
        return True
    most = (end - acknowledged) & 0xFFFFFFFF if acknowledged else UNANSWERED
    return (end - sequence) & 0xFFFFFFFF <= most


def _header(header: bytes, version: int, source: int, destination: int, ttl: int) -> bytes:
    """A packet's header with other addresses and one hop less; all else is the sender's."""
    data = bytearray(header)
    hops, (size, first) = bytes((max(ttl - 1, 1),)), (4, 12) if version == 4 else (16, 8)
    data[first : first + 2 * size] = source.to_bytes(size) + destination.to_bytes(size)
    if version == 6:
        data[7:8] = hops
        return bytes(data)
    data[8:9], data[10:12] = hops, b"\0\0"
    data[10:12] = checksum(bytes(data)).to_bytes(2)
    return bytes(data)


def _sound(packet: bytes, message: bytes, version: int) -> bool:
    if version == 4:
        return checksum(message) == 0
    source, destination = addresses(packet, 6)
    return transport_checksum(IPv6Address(source), IPv6Address(destination), ICMPV6, message) == 0
