"""Packets as bytes: written, read, answered, and made comparable. Nothing of the product is used here.

Both sides choose a hidden source's port by themselves. `canonical` puts the flow's own port back, with every checksum following, so
that what is compared is the whole frame, checksums too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.differential.network import ETHERTYPES, Link, packed, station_mac

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
FRAGMENT: Final = 44
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
CHECKSUM_AT: Final = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}
ERRORS: Final = {ICMP: frozenset((3, 4, 5, 11, 12)), ICMPV6: frozenset(range(128))}
ECHOES: Final = {ICMP: (8, 0), ICMPV6: (128, 129)}
ECHO_PROTOCOL: Final = {4: ICMP, 6: ICMPV6}
ETHERNET: Final = 14
SHORTEST: Final = 60
"""A card pads frames up to here, a TAP doesn't."""

Aliases = Mapping[tuple[int, bytes, int], int]
"""What a port stands for: (protocol, address, port) -> port."""


def total(data: bytes) -> int:
    """The sum of 16-bit words in one's complement."""
    if len(data) & 1:
        data += b"\0"
    found: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while found >> 16:
        found = (found & 0xFFFF) + (found >> 16)
    return found


def pseudo(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    """The pseudo header; RFC 9293, 3.1, and RFC 8200, 8.1. ICMP has none."""
    if protocol == ICMP:
        return b""
    end = struct.pack("!IHBB", length, 0, 0, protocol) if len(source) == 16 else struct.pack("!BBH", 0, protocol, length)
    return source + destination + end


def summed(source: bytes, destination: bytes, protocol: int, message: bytes) -> bytes:
    """A message with its checksum in place."""
    at = CHECKSUM_AT[protocol]
    value = 0xFFFF - total(pseudo(source, destination, protocol, len(message)) + message) or (0xFFFF if protocol == UDP else 0)
    return message[:at] + value.to_bytes(2) + message[at + 2 :]


def packet(source: bytes, destination: bytes, protocol: int, message: bytes, ttl: int = 64, tos: int = 0, df: bool = True) -> bytes:
    """An IP packet of either version."""
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28 | tos << 20, len(message), protocol, ttl) + source + destination + message
    header = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(message), 0 if df else 0x1234, 0x4000 * df, ttl, protocol, 0)
    return _summed_header(header + source + destination) + message


def fragments(data: bytes, pieces: Iterable[tuple[int, int]], identification: int) -> list[bytes]:
    """A packet in pieces of its payload, from and to so many units of eight bytes; 0: to its end. RFC 791, 3.2; RFC 8200, 4.5."""
    ip = 20 if data[0] >> 4 == 4 else 40
    header, payload = data[:ip], data[ip:]
    made = []
    for start, end in pieces:
        piece, more = payload[start * 8 : end * 8 or None], bool(end) and end * 8 < len(payload)
        if ip == 20:
            length, words = struct.pack("!H", ip + len(piece)), struct.pack("!HH", identification & 0xFFFF, more << 13 | start)
            made.append(_summed_header(header[:2] + length + words + header[8:]) + piece)
        else:
            extension = struct.pack("!BBHI", header[6], 0, start << 3 | more, identification)
            made.append(header[:4] + struct.pack("!H", 8 + len(piece)) + bytes((FRAGMENT,)) + header[7:] + extension + piece)
    return made


def whole(frames: Iterable[bytes]) -> list[bytes]:
    """Frames with fragments put together; what never becomes whole, or overlaps, is left out. The identification is gone: one side may
    have chosen another."""
    found: list[bytes] = []
    parts: dict[tuple[bytes, bytes], dict[int, tuple[bytes, bool]]] = {}
    for frame in frames:
        piece = _fragment(frame[ETHERNET:])
        if piece is None:
            found.append(frame)
        else:
            header, identification, start, more, data = piece
            parts.setdefault((frame[:ETHERNET] + header, identification), {})[start] = data, more
    for (head, _), pieces in parts.items():
        payload = _joined(pieces)
        if payload is not None:
            found.append(head[:ETHERNET] + _with_length(head[ETHERNET:], len(payload)) + payload)
    return found


def _fragment(data: bytes) -> tuple[bytes, bytes, int, bool, bytes] | None:
    """The whole packet's header without length and checksum, the identification, where it starts, whether more follows, and its data.
    None: it can't be a fragment."""
    if data[0] >> 4 == 4:
        words = int.from_bytes(data[6:8])
        header = data[:2] + bytes(6) + data[8:10] + bytes(2) + data[12:20]
        return (header, data[4:6], (words & 0x1FFF) * 8, bool(words & 0x2000), data[20:]) if not words & 0x4000 else None
    if data[6] != FRAGMENT:
        return None
    words = int.from_bytes(data[42:44])
    return data[:4] + bytes(2) + data[40:41] + data[7:40], data[44:48], words & 0xFFF8, bool(words & 1), data[48:]


def _with_length(header: bytes, payload: int) -> bytes:
    if header[0] >> 4 == 4:
        return _summed_header(header[:2] + (20 + payload).to_bytes(2) + header[4:])
    return header[:4] + payload.to_bytes(2) + header[6:]


def _joined(pieces: Mapping[int, tuple[bytes, bool]]) -> bytes | None:
    payload, last = b"", False
    for start, (piece, more) in sorted(pieces.items()):
        if start != len(payload) or last:
            return None
        payload, last = payload + piece, not more
    return payload if last else None


def _summed_header(header: bytes) -> bytes:
    """An IPv4 header with its checksum."""
    bare = header[:10] + bytes(2) + header[12:]
    return bare[:10] + (0xFFFF - total(bare)).to_bytes(2) + bare[12:]


@dataclass(frozen=True, slots=True)
class Read:
    """What an IP packet without options says, and where its parts are. For ICMP echo both ports are the identifier, else they are 0."""

    version: int
    protocol: int
    source: bytes
    destination: bytes
    sport: int
    dport: int
    kind: int
    l4: int

    @property
    def is_error(self) -> bool:
        """Whether it is an ICMP error."""
        return self.kind in ERRORS.get(self.protocol, ())


def read(data: bytes, at: int = 0) -> Read:
    """An IP packet at `at`, maybe cut behind eight bytes of its transport header."""
    version = data[at] >> 4
    if version == 4:
        l4, protocol, source, destination = at + (data[at] & 15) * 4, data[at + 9], data[at + 12 : at + 16], data[at + 16 : at + 20]
    else:
        l4, protocol, source, destination = at + 40, data[at + 6], data[at + 8 : at + 24], data[at + 24 : at + 40]
    sport = dport = 0
    kind = -1
    if protocol in (TCP, UDP):
        sport, dport = int.from_bytes(data[l4 : l4 + 2]), int.from_bytes(data[l4 + 2 : l4 + 4])
    elif protocol in (ICMP, ICMPV6):
        kind = data[l4]
        if kind in ECHOES[protocol]:
            sport = dport = int.from_bytes(data[l4 + 4 : l4 + 6])
    return Read(version, protocol, source, destination, sport, dport, kind, l4)


# -- comparing -------------------------------------------------------------------------------------------------------------


def canonical(frame: bytes, aliases: Aliases, own: frozenset[bytes]) -> bytes:
    """A frame with its flow's own ports. Of what one of our `own` addresses reports, the words of IPv4 fragmentation are left out: the
    kernel draws an identification and we say DF, which needs none (RFC 6864, 4.1)."""
    found = read(frame, ETHERNET)
    data = bytearray(frame)
    if found.is_error:
        if found.version == 4 and found.source in own:
            data[ETHERNET + 4 : ETHERNET + 8], data[ETHERNET + 10 : ETHERNET + 12] = bytes(4), bytes(2)
        if len(frame) >= found.l4 + 8 + (28 if found.version == 4 else 48):
            _rename(data, read(frame, found.l4 + 8), aliases, found.l4 + CHECKSUM_AT[found.protocol])
    else:
        _rename(data, found, aliases, None)
    return bytes(data)


def _rename(data: bytearray, found: Read, aliases: Aliases, around: int | None) -> None:
    """Put ports back. `around`: the checksum of the message that quotes this packet, which follows if its own one is cut off."""
    for address, port, at in ((found.source, found.sport, 0), (found.destination, found.dport, 2)):
        alias = aliases.get((found.protocol, address, port), port)
        if alias == port:
            continue
        echo = found.protocol in (ICMP, ICMPV6)
        place, field = found.l4 + (4 if echo else at), found.l4 + CHECKSUM_AT[found.protocol]
        data[place : place + 2] = alias.to_bytes(2)
        if field + 2 > len(data):
            assert around is not None
            field = around
        _adjust(data, field, port, alias, found.protocol == UDP)


def _adjust(data: bytearray, field: int, old: int, new: int, udp: bool) -> None:
    """A checksum follows a word; RFC 1624. A UDP datagram without one stays without."""
    value = int.from_bytes(data[field : field + 2])
    if udp and not value:
        return
    value = (0xFFFF - value) + (0xFFFF - old) + new
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    data[field : field + 2] = (0xFFFF - value or (0xFFFF if udp else 0)).to_bytes(2)


def unpadded(frame: bytes) -> bytes:
    """A frame without the zeros that a card has to append."""
    if frame[12:14] not in ETHERTYPES.values() or len(frame) > SHORTEST:
        return frame
    length = ETHERNET + (int.from_bytes(frame[16:18]) if frame[14] >> 4 == 4 else 40 + int.from_bytes(frame[18:20]))
    return frame if any(frame[length:]) else frame[:length]


# -- neighbours ------------------------------------------------------------------------------------------------------------


def neighbour_answer(link: Link, frame: bytes) -> bytes | None:
    """What a link's stations answer to ARP and neighbour discovery, maybe nothing; None to anything else."""
    if frame[12:14] == b"\x08\x06":
        asker, target = frame[28:32], frame[38:42]
        if frame[20:22] != b"\0\1" or target == packed(link.address[4]):
            return b""
        mac = station_mac(target)
        return frame[6:12] + mac + frame[12:20] + b"\0\2" + mac + target + frame[6:12] + asker
    if frame[12:14] == b"\x86\xdd" and frame[20] == ICMPV6 and frame[54] in (133, 134, 135, 136):
        target, asker = frame[62:78], frame[22:38]
        if frame[54] != 135 or target == packed(link.address[6]) or not any(asker):
            return b""
        mac = station_mac(target)
        message = summed(target, asker, ICMPV6, b"\x88\0\0\0\x60\0\0\0" + target + b"\2\1" + mac)
        return frame[6:12] + mac + frame[12:14] + packet(target, asker, ICMPV6, message, ttl=255)
    return None
