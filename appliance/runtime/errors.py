"""ICMP errors: those the appliance sends as a router, and those about its flows, which it translates and passes on.

Source: RFC 1812, sections 4.3 and 5.2.7; RFC 4443, section 2.4; RFC 5508, section 4 (errors of translated flows).
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final, NamedTuple

from ena_dev.packet import build
from ena_dev.packet.build import IcmpError
from ena_dev.packet.checksum import checksum, transport_checksum, update
from ena_dev.packet.parse import Reason, parse, parse_quote

if TYPE_CHECKING:
    from ena_dev.packet.parse import Parsed

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
CHECKSUM_AT: Final = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}


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
    at = 18 if frame[12:14] in (b"\x81\x00", b"\x88\xa8") else 14
    if len(frame) < at + 20:
        return frame
    length = int.from_bytes(frame[at + 2 : at + 4]) if frame[at] >> 4 == 4 else 40 + int.from_bytes(frame[at + 4 : at + 6])
    return frame.ljust(at + length, b"\0")


def router_error(frame: bytes, error: IcmpError, source: IPv4Address | IPv6Address | None, mtu: int = 0) -> bytes | None:
    """The frame that tells the sender of `frame` about `error`, by the way it came; None where none may or can be sent."""
    if source is None:
        return None
    packet = build.icmp_error(whole(frame), error, source, mtu=mtu)
    return None if packet is None else build.reply(frame, packet)


class Ends(NamedTuple):
    """Addresses and ports of one direction of a flow, as integers."""

    source: int
    destination: int
    sport: int
    dport: int


class Translated(NamedTuple):
    """An ICMP error as its receiver must see it."""

    packet: bytes
    version: int
    source: int
    destination: int


def translate_error(frame: bytes, lookup: Callable[[int, int, Ends], Ends | None]) -> Translated | None:
    """Rewrite an ICMP error about a flow for the other side of the appliance; None if it is malformed or about none of our flows.

    The quoted packet was sent by us: its tuple reversed is one that we receive. `lookup(version, protocol, tuple)` gives the tuple that the
    other direction of that flow has on its own side. Source: RFC 5508, section 4.2.
    """
    reason, outer = parse(frame)
    if reason is not Reason.OK:
        return None
    at, version = outer["l3_offset"], outer["version"]
    packet = frame[at : at + outer["l3_length"]]
    body = outer["l4_offset"] - at
    message = packet[body:]
    if len(message) < 16 or not _sound(packet, message, version):
        return None
    quote = message[8:]
    reason, inner = parse_quote(_framed(quote, version))
    if reason is not Reason.OK or inner["version"] != version:
        return None
    received = _reversed(quote, inner, version)
    other = lookup(version, inner["protocol"], received)
    if other is None:
        return None
    source, _ = _addresses(packet, version)
    if source == received.source:
        source = other.destination
    quote = _rewrite(quote, inner, version, Ends(other.destination, other.source, other.dport, other.sport))
    error = build.icmp(_address(version, source), _address(version, other.source), message[0], message[1], message[4:8] + quote,
                       ttl=max(outer["ttl"] - 1, 1))
    return Translated(error, version, source, other.source)


def _sound(packet: bytes, message: bytes, version: int) -> bool:
    if version == 4:
        return checksum(message) == 0
    source, destination = _addresses(packet, 6)
    return transport_checksum(IPv6Address(source), IPv6Address(destination), ICMPV6, message) == 0


def _framed(packet: bytes, version: int) -> bytes:
    return b"\0" * 12 + (b"\x08\x00" if version == 4 else b"\x86\xdd") + packet


def _addresses(packet: bytes, version: int) -> tuple[int, int]:
    if version == 4:
        return int.from_bytes(packet[12:16]), int.from_bytes(packet[16:20])
    return int.from_bytes(packet[8:24]), int.from_bytes(packet[24:40])


def _address(version: int, value: int) -> IPv4Address | IPv6Address:
    return IPv4Address(value) if version == 4 else IPv6Address(value)


def _reversed(quote: bytes, inner: Parsed, version: int) -> Ends:
    source, destination = _addresses(quote, version)
    return Ends(destination, source, inner["destination_port"], inner["source_port"])


def _rewrite(quote: bytes, inner: Parsed, version: int, to: Ends) -> bytes:
    """The quoted packet with the addresses and ports of `to`, its checksums following as far as they are there."""
    size, first = (4, 12) if version == 4 else (16, 8)
    data = bytearray(quote)
    old = bytes(data[first : first + 2 * size])
    new = to.source.to_bytes(size) + to.destination.to_bytes(size)
    data[first : first + 2 * size] = new
    l4, protocol = inner["l4_offset"] - 14, inner["protocol"]
    if version == 4:
        data[10:12] = update(int.from_bytes(data[10:12]), old, new).to_bytes(2)
    at = l4 + CHECKSUM_AT.get(protocol, 1 << 20)
    field = int.from_bytes(data[at : at + 2]) if len(data) >= at + 2 else 0
    if protocol in (TCP, UDP):
        ports = to.sport.to_bytes(2) + to.dport.to_bytes(2)
        old, new = old + bytes(data[l4 : l4 + 4]), new + ports
        data[l4 : l4 + 4] = ports
    elif protocol in (ICMP, ICMPV6):
        identifier = to.sport.to_bytes(2)
        old = (old if protocol == ICMPV6 else b"") + bytes(data[l4 + 4 : l4 + 6])
        new = (new if protocol == ICMPV6 else b"") + identifier
        data[l4 + 4 : l4 + 6] = identifier
    if field and len(data) >= at + 2:
        data[at : at + 2] = update(field, old, new, udp=protocol == UDP).to_bytes(2)
    return bytes(data)
