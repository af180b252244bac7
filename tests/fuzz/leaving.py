"""What left the appliance, read without its help: ends, numbers, and whether lengths and checksums are right.

Source: RFC 791, 8200, 9293, 768, 792, 4443 and 1071 (checksums, here as a remainder: 65536 is 1 modulo 65535).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
CHECKSUM_AT = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}
SKIPPED = (0, 43, 60)
FRAGMENT = 44
ECHOES = {4: (0, 8), 6: (128, 129)}


@dataclass(frozen=True, slots=True)
class Left:
    """A packet as it left. Ports are None in later fragments; of echoes both are the identifier, of others 0."""

    packet: bytes
    version: int
    protocol: int
    source: bytes
    destination: bytes
    sport: int | None
    dport: int | None
    fragment: bool
    l4: int
    seq: int = 0
    ack: int = 0
    flags: int = 0
    size: int = 0  # of TCP's data
    kind: int = -1  # ICMP's type

    @property
    def ends(self) -> tuple[int, bytes, bytes, int | None, int | None]:
        """What NAT is about."""
        return self.protocol, self.source, self.destination, self.sport, self.dport


def total(data: bytes) -> int:
    """The one's complement sum of 16-bit words, folded."""
    number = int.from_bytes(data if len(data) % 2 == 0 else data + b"\0", "big")
    return number % 65535 or (0xFFFF if number else 0)


def read(frame: bytes) -> Left | None:
    """The IP packet in a frame; None: there is none. AssertionError: its lengths don't fit."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind not in (0x0800, 0x86DD):
        return None
    packet = frame[14:]
    assert packet[0] >> 4 == (4 if kind == 0x0800 else 6), "version and EtherType differ"
    return _four(packet) if kind == 0x0800 else _six(packet)


def _four(packet: bytes) -> Left:
    header, size, word = (packet[0] & 15) * 4, *struct.unpack_from(">H2xH", packet, 2)
    assert 20 <= header <= size <= len(packet), f"{len(packet)} bytes, of which its header says {header} and {size}"
    return _transport(packet[:size], 4, packet[9], packet[12:16], packet[16:20], header, bool(word & 0x3FFF), bool(word & 0x1FFF))


def _six(packet: bytes) -> Left:
    size = 40 + int.from_bytes(packet[4:6], "big")
    assert size <= len(packet), f"{len(packet)} bytes, of which its header says {size}"
    packet, at, kind, word, fragment = packet[:size], 40, packet[6], 0, False
    while kind in (*SKIPPED, FRAGMENT) and at + 8 <= size and not word & 0xFFF8:
        if kind == FRAGMENT:
            fragment, word = True, int.from_bytes(packet[at + 2 : at + 4], "big")
        kind, at = packet[at], at + (8 if kind == FRAGMENT else 8 + 8 * packet[at + 1])
    return _transport(packet, 6, kind, packet[8:24], packet[24:40], at, fragment, bool(word & 0xFFF8))


def _transport(packet: bytes, version: int, protocol: int, source: bytes, destination: bytes, at: int, fragment: bool, later: bool) -> Left:
    if later:
        return Left(packet, version, protocol, source, destination, None, None, True, at)
    if protocol in (TCP, UDP):
        assert len(packet) >= at + (20 if protocol == TCP else 8), "a transport header that ends early"
        sport, dport = struct.unpack_from(">HH", packet, at)
        if protocol == UDP:
            return Left(packet, version, protocol, source, destination, sport, dport, fragment, at)
        seq, ack, offset, flags = struct.unpack_from(">IIBB", packet, at + 4)
        numbers = seq, ack, flags, len(packet) - at - (offset >> 4) * 4
        return Left(packet, version, protocol, source, destination, sport, dport, fragment, at, *numbers)
    if protocol in (ICMP, ICMPV6) and len(packet) >= at + 8:
        kind, name = packet[at], int.from_bytes(packet[at + 4 : at + 6], "big") if packet[at] in ECHOES[version] else 0
        return Left(packet, version, protocol, source, destination, name, name, fragment, at, kind=kind)
    return Left(packet, version, protocol, source, destination, 0, 0, fragment, at)


def check_sums(left: Left, partial: bool = False) -> None:
    """AssertionError for a wrong checksum. `partial`: the transport's holds the pseudo header's sum only."""
    packet, at = left.packet, left.l4
    if left.version == 4:
        assert total(packet[: (packet[0] & 15) * 4]) == 0xFFFF, "the IPv4 header's checksum is wrong"
    field = CHECKSUM_AT.get(left.protocol, len(packet))
    if left.fragment or at + field + 2 > len(packet):
        return
    value = packet[at + field : at + field + 2]
    if left.protocol == UDP and left.version == 4 and value == b"\0\0":
        return
    head = b"" if left.protocol == ICMP else left.source + left.destination + struct.pack(">IHH", len(packet) - at, 0, left.protocol)
    if partial:
        assert int.from_bytes(value, "big") % 65535 == total(head) % 65535, f"the pseudo header's sum is wrong in protocol {left.protocol}"
    else:
        assert total(head + packet[at:]) == 0xFFFF, f"the checksum is wrong: {left}"
