"""Frames of all kinds by dice: right ones, answers to what left, errors that quote it, pieces of packets; and damaged ones.

A `Cast` says who lives where. Every frame is right (lengths, checksums) unless the input asks for damage.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import pairwise

from tests.fuzz.decode import Decisions
from tests.fuzz.leaving import ICMP, ICMPV6, TCP, UDP, Left, total

FLAGS = (0x02, 0x12, 0x10, 0x18, 0x11, 0x14, 0x04, 0x01, 0x00, 0x29, 0x06, 0xC2)
OPTIONS = (
    b"", b"\x02\x04\x05\xb4", b"\x02\x04\x05\xb4\x01\x03\x03\x07", b"\x01\x01\x08\x0a" + bytes(8), b"\x01\x01\x05\x0a" + bytes(8),
    b"\x03\x03\xff\x01", b"\x02\x00\x01\x01", b"\x08\xff\x01\x01",
)  # fmt: skip
ERRORS = {4: ((3, 1), (3, 4), (3, 13), (11, 0), (12, 0), (4, 0), (5, 1)), 6: ((1, 0), (2, 0), (3, 0), (4, 1), (1, 4), (100, 0))}
EXTENSIONS = (0, 60, 43, 44, 51, 59, 135, 17, 6, 58)
PORTS = (7, 25, 53, 80, 443, 5000, 5001, 40000, 40001, 50001, 65535)
REMEMBERED = 8
DATA = bytes(range(256)) * 16


@dataclass(frozen=True, slots=True)
class Place:
    """What is at one nic: the card's MAC, a neighbour's, and by IP version the addresses there, its own first."""

    mac: bytes
    neighbour: bytes
    addresses: dict[int, list[bytes]]

    @staticmethod
    def of(mac: bytes, neighbour: bytes, *addresses: str) -> Place:
        """From addresses as texts, both versions."""
        packed = [ip_address(each).packed for each in addresses]
        return Place(mac, neighbour, {4: [each for each in packed if len(each) == 4], 6: [each for each in packed if len(each) == 16]})


class Frames:
    """Makes frames of one input. `heard`: what left each nic, the last few."""

    def __init__(self, dice: Decisions, places: list[Place]) -> None:
        self._dice, self._places = dice, places
        self.damages = dice.chance(64)
        """Whether some frames of this input are not as their senders made them: then what leaves may be wrong, too."""
        self.heard: dict[int, deque[Left]] = {nic: deque(maxlen=REMEMBERED) for nic in range(len(places))}

    def make(self, nic: int) -> bytes:
        """A frame that comes in at `nic`."""
        dice = self._dice
        match dice.below(16):
            case 0 | 1 | 2 | 3 | 4:
                frame = self._answer(nic) or self._first(nic)
            case 5:
                frame = self._error(nic)
            case 6 | 7:
                frame = self._piece(nic)
            case 8:
                frame = self._arp(nic)
            case 9:
                frame = self._neighbour(nic)
            case 10:
                frame = self._chain(nic)
            case 11:
                frame = self._ethernet(nic, dice.choice((0x0800, 0x86DD, 0x0806, 0x8100, 0x88CC)), dice.take(dice.byte()))
            case _:
                frame = self._first(nic)
        return self._damaged(frame) if self.damages and dice.chance(96) else frame

    # -- packets -------------------------------------------------------------------------------------------------------

    def _first(self, nic: int) -> bytes:
        """Something new, from who lives there (most often) to who lives elsewhere."""
        dice = self._dice
        version, ends = dice.choice((4, 6)), self._ends(nic)
        source, destination = ends[version]
        protocol = dice.choice((TCP, TCP, UDP, ICMP if version == 4 else ICMPV6, dice.choice((47, 50, 132, 4))))
        sport, dport = dice.choice(PORTS), dice.choice(PORTS)
        numbers = 100 + dice.below(3), 0
        payload = self._transport(protocol, version, source, destination, sport, dport, dice.choice(FLAGS), numbers)
        return self._packet(nic, version, protocol, source, destination, payload)

    def _answer(self, nic: int) -> bytes:
        """To something that left; empty if nothing has."""
        dice, heard = self._dice, self.heard[nic]
        if not heard:
            return b""
        left = heard[dice.below(len(heard))]
        seq = left.ack if left.flags & 0x10 else 7000
        ack = left.seq + left.size + bool(left.flags & 2) + bool(left.flags & 1)
        if dice.chance(32):
            seq, ack = seq + dice.number() - 64, ack + dice.number() - 64
        flags = 0x12 if left.flags & 0x12 == 2 and dice.chance(224) else dice.choice(FLAGS)
        ends = left.destination, left.source, left.dport or 0, left.sport or 0
        payload = self._transport(left.protocol, left.version, *ends, flags, (seq, ack), reply=True)
        return self._packet(nic, left.version, left.protocol, left.destination, left.source, payload)

    def _ends(self, nic: int) -> dict[int, tuple[bytes, bytes]]:
        dice = self._dice
        here, there = self._places[nic], self._places[dice.choice([other for other in range(len(self._places)) if other != nic])]
        if dice.chance(16):
            here = self._places[dice.below(len(self._places))]
        one, other = dice.byte(), dice.byte()
        return {v: (here.addresses[v][one % len(here.addresses[v])], there.addresses[v][other % len(there.addresses[v])]) for v in (4, 6)}

    def _transport(
        self, protocol: int, version: int, source: bytes, destination: bytes, sport: int, dport: int, flags: int, numbers: tuple[int, int],
        reply: bool = False,
    ) -> bytes:  # fmt: skip
        dice = self._dice
        data = DATA[: dice.choice((0, 1, 8, 40, 200, 1200))]
        if protocol == TCP:
            options = dice.choice(OPTIONS) if dice.chance(96) else b""
            seq, ack = (each & 0xFFFFFFFF for each in numbers)
            words = sport, dport, seq, ack, 80 + 4 * len(options) & 0xF0, flags, dice.choice((65535, 1000, 0)), 0, 0
            made = struct.pack(">HHIIBBHHH", *words) + options + data
            return summed(made, 16, pseudo(source, destination, TCP, len(made)))
        if protocol == UDP:
            made = struct.pack(">HHHH", sport, dport, 8 + len(data), 0) + data
            return made if version == 4 and dice.chance(32) else summed(made, 6, pseudo(source, destination, UDP, len(made)))
        if protocol in (ICMP, ICMPV6):
            kinds = ((8, 0) if version == 4 else (128, 129))[reply], *((13, 17, 40) if version == 4 else (130, 139, 200))
            kind = kinds[0] if dice.chance(224) else dice.choice(kinds)
            made = struct.pack(">BBHHH", kind, 0, 0, sport, 1) + data
            return summed(made, 2, b"" if version == 4 else pseudo(source, destination, ICMPV6, len(made)))
        return data

    def _packet(
        self, nic: int, version: int, protocol: int, source: bytes, destination: bytes, payload: bytes, word: int = 0x4000, name: int = 0
    ) -> bytes:
        dice = self._dice
        ttl = dice.choice((64, 64, 64, 255, 2, 1, 0))
        if version == 6:
            header = struct.pack(">IHBB", 0x60000000, len(payload), protocol, ttl) + source + destination
            return self._ethernet(nic, 0x86DD, header + payload)
        options = dice.choice((b"\x94\x04\0\0", b"\x01" * 4, b"\x07\x08\x04" + bytes(5))) if dice.chance(8) else b""
        size = 20 + len(options)
        header = struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, size + len(payload), name, word, ttl, protocol, 0)
        return self._ethernet(nic, 0x0800, summed(header + source + destination + options, 10, b"") + payload)

    def _ethernet(self, nic: int, kind: int, packet: bytes) -> bytes:
        place, dice = self._places[nic], self._dice
        to = place.mac if dice.chance(248) else dice.choice((b"\xff" * 6, b"\x01\0\x5e\0\0\1", place.neighbour))
        return (to + place.neighbour + kind.to_bytes(2, "big") + packet).ljust(60, b"\0")

    def _damaged(self, frame: bytes) -> bytes:
        dice = self._dice
        made = bytearray(frame)
        for _ in range(1 + dice.below(4)):
            made[dice.word(2) % len(made)] = dice.byte()
        cut = dice.word(2) % len(made) if dice.chance(64) else 0
        return bytes(made[: max(14, cut)] if cut else made)

    # -- pieces, chains, errors ----------------------------------------------------------------------------------------

    def _piece(self, nic: int) -> bytes:
        """A fragment of one of a few packets, which its identification tells apart; any other offset or size now and then."""
        dice = self._dice
        version, name = dice.choice((4, 6)), dice.below(4)
        source, destination = self._ends(nic)[version]
        protocol = (UDP, TCP, ICMP if version == 4 else ICMPV6, 47)[name]
        whole = self._whole(protocol, version, source, destination, name)
        start, size = dice.choice((0, 0, 64, 128, 192)), dice.choice((64, 64, 128, 512))
        if dice.chance(24):
            start, size = dice.number(2) & 0xFFF8, dice.number(2) & 0x3FF
        piece, more = whole[start : start + size], start + size < len(whole)
        if version == 4:
            return self._packet(nic, 4, protocol, source, destination, piece, (0x2000 if more else 0) | start // 8 & 0x1FFF, name)
        head = struct.pack(">BBHI", protocol, 0, start & 0xFFF8 | more, name)
        return self._packet(nic, 6, 44, source, destination, head + piece)

    def _whole(self, protocol: int, version: int, source: bytes, destination: bytes, name: int) -> bytes:
        data = DATA[:248]
        if protocol == TCP:
            made = struct.pack(">HHIIBBHHH", 5000 + name, 80, 100, 0, 80, 2, 65535, 0, 0) + data
            return summed(made, 16, pseudo(source, destination, TCP, len(made)))
        if protocol == UDP:
            made = struct.pack(">HHHH", 5000 + name, 53, 8 + len(data), 0) + data
            return summed(made, 6, pseudo(source, destination, UDP, len(made)))
        made = struct.pack(">BBHHH", 8 if version == 4 else 128, 0, 0, 5000 + name, 1) + data
        return summed(made, 2, b"" if version == 4 else pseudo(source, destination, ICMPV6, len(made)))

    def _chain(self, nic: int) -> bytes:
        """IPv6 extension headers: mostly such as end, and end in UDP."""
        dice = self._dice
        source, destination = self._ends(nic)[6]
        kinds = [dice.choice(EXTENSIONS) for _ in range(dice.below(10))]
        data = self._transport(UDP, 6, source, destination, dice.choice(PORTS), dice.choice(PORTS), 0, (0, 0))
        for kind, following in reversed(list(pairwise([*kinds, UDP]))):
            units = 0 if kind == 44 else dice.below(3) if dice.chance(240) else dice.byte()
            data = bytes((following, units)) + bytes(6 + 8 * min(units, 3)) + data
        return self._packet(nic, 6, kinds[0] if kinds else UDP, source, destination, data)

    def _error(self, nic: int) -> bytes:
        """An ICMP error about something that left here, from whom it went to or from another; the quote is cut anywhere."""
        dice, heard = self._dice, self.heard[nic]
        if not heard:
            return self._first(nic)
        left = heard[dice.below(len(heard))]
        version = left.version
        kind, code = dice.choice(ERRORS[version])
        here = self._places[nic].addresses[version]
        source = left.destination if dice.chance(128) else here[dice.below(len(here))]
        quote = left.packet[: 28 + dice.byte()] if dice.chance(224) else left.packet[: dice.below(60)]
        made = struct.pack(">BBHI", kind, code, 0, dice.choice((0, 68, 576, 1280, 1400, 65535))) + quote
        head = b"" if version == 4 else pseudo(source, left.source, ICMPV6, len(made))
        return self._packet(nic, version, ICMP if version == 4 else ICMPV6, source, left.source, summed(made, 2, head))

    # -- the link ------------------------------------------------------------------------------------------------------

    def _arp(self, nic: int) -> bytes:
        dice, place = self._dice, self._places[nic]
        addresses = place.addresses[4]
        sender, target = addresses[dice.below(len(addresses))], addresses[dice.below(len(addresses))]
        mac = place.neighbour if dice.chance(224) else dice.take(6)
        body = struct.pack(">HHBBH", 1, 0x0800, 6, 4, dice.choice((1, 2, 2, 3))) + mac + sender + place.mac + target
        to = dice.choice((place.mac, b"\xff" * 6))
        return (to + place.neighbour + b"\x08\x06" + body).ljust(60, b"\0")

    def _neighbour(self, nic: int) -> bytes:
        dice, place = self._dice, self._places[nic]
        addresses = place.addresses[6]
        one, other = addresses[dice.below(len(addresses))], addresses[dice.below(len(addresses))]
        kind = dice.choice((135, 136, 136, 133, 134, 137))
        option = bytes((2 if kind == 136 else 1, 1 if dice.chance(240) else dice.below(4))) + place.neighbour
        made = struct.pack(">BBHI", kind, 0, 0, dice.choice((0x60000000, 0x20000000, 0))) + other + option * dice.below(3)
        made = summed(made, 2, pseudo(one, addresses[0], ICMPV6, len(made)))
        header = struct.pack(">IHBB", 0x60000000, len(made), ICMPV6, dice.choice((255, 255, 255, 64))) + one + addresses[0]
        return self._ethernet(nic, 0x86DD, header + made)


def pseudo(source: bytes, destination: bytes, protocol: int, size: int) -> bytes:
    """The pseudo header; of both versions the sum is the same with this one."""
    return source + destination + struct.pack(">IHH", size, 0, protocol)


def summed(data: bytes, at: int, head: bytes) -> bytes:
    """`data` with its checksum at `at`, over `head` too. Source: RFC 1071; RFC 768 (no zero)."""
    value = 0xFFFF - total(head + data) or 0xFFFF
    return data[:at] + value.to_bytes(2, "big") + data[at + 2 :]
