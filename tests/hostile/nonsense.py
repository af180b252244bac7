"""Nonsense by the seed: frames that began as good ones, what a port may say about them, and numbers that like to break things."""

from __future__ import annotations

import random
from collections.abc import Sequence

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Dot1Q
from scapy.packet import Packet

from ena_dev.port.meta import FrameMeta

EDGES = (0, 1, 2, 3, 7, 8, 13, 14, 15, 16, 17, 19, 20, 21, 33, 34, 53, 54, 59, 60, 61, 63, 64, 65, 127, 128, 255, 256, 257,
         1499, 1500, 4095, 4096, 4097, 9216, 9238, 16383, 16384, 32767, 32768, 65534, 65535)  # fmt: skip
LONGEST = 66000


def good(source: Packet, hosts: Sequence[tuple[str, str]]) -> list[bytes]:
    """Well-formed frames from and to each pair of addresses, both versions; `source` is an Ethernet header."""
    made: list[bytes] = []
    for a, b in hosts:
        ip = (IP if ":" not in a else IPv6)(src=a, dst=b)
        ping = ICMP(id=7) if ":" not in a else ICMPv6EchoRequest(id=7)
        packets: list[Packet] = [ip / UDP(sport=4000, dport=53) / bytes(n) for n in (0, 18, 1400, 8000)]
        packets += [ip / TCP(sport=4000, dport=80, flags=flags) / bytes(n) for flags, n in (("S", 0), ("A", 0), ("PA", 1400), ("FA", 3))]
        packets += [ip / TCP(sport=4000, dport=80, flags="A") / bytes(n) for n in (20000, 65400)]
        packets += [ip / ping / b"ping"]
        if ":" in a:
            packets += [
                ip / header / UDP(sport=1, dport=2) for header in (IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), IPv6ExtHdrFragment(m=1))
            ]
            packets += [ip / ICMPv6PacketTooBig(mtu=1280) / bytes(IPv6(src=b, dst=a) / UDP(sport=53, dport=4000) / b"x")]
        else:
            packets += [ip / ICMP(type=3, code=4) / bytes(IP(src=b, dst=a) / UDP(sport=53, dport=4000) / b"x"), ARP(psrc=a, pdst=b)]
        made += [bytes(source / packet) for packet in packets]
        made += [bytes(source / Dot1Q(vlan=5) / packets[1])]
    return made


class Nonsense:
    """One seed's worth."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def number(self, limit: int = 0xFFFFFFFF) -> int:
        """Small, at an edge, or anything up to `limit`."""
        kind = self.random.random()
        value = self.random.randrange(17) if kind < 0.3 else self.random.choice(EDGES) if kind < 0.7 else self.random.randrange(limit + 1)
        return min(value, limit)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def frame(self, frames: Sequence[bytes]) -> bytes:
        """One of these, as it is or with bytes and words changed, cut, or grown; now and then bytes that never were a frame."""
        if self.chance(0.05):
            return self.random.randbytes(self.number(2000))
        frame = bytearray(self.random.choice(frames))
        if self.chance(0.4):
            return bytes(frame)
        for _ in range(self.random.randrange(4)):
            at = self.random.randrange(12, min(len(frame), 100))
            if self.chance(0.5):
                frame[at] = self.random.choice((0, 1, 0x0F, 0x40, 0x45, 0x4F, 0x60, 0x7F, 0x80, 0xFF, self.random.randrange(256)))
            else:
                frame[at : at + 2] = self.number(0xFFFF).to_bytes(2)
        if self.chance(0.2):
            del frame[self.random.randrange(len(frame) + 1) :]
        if self.chance(0.2):
            frame += bytes(self.number(200 if self.chance(0.9) else LONGEST))
        return bytes(frame[:LONGEST])

    def meta(self, frame: bytes) -> FrameMeta | None:
        """What a far end might say: the truth about an IPv4 or IPv6 frame, or anything."""
        if self.chance(0.4):
            return None
        version = 6 if frame[12:14] == b"\x86\xdd" else 4
        start = 54 if version == 6 else 34
        segment = self.random.choice((0, 8, 536, 1400, 1448)) if self.chance(0.7) else self.number(0xFFFF)
        if self.chance(0.3):
            start, offset = self.number(0xFFFF), self.number(0xFFFF)
        else:
            offset = self.random.choice((6, 16))
        return FrameMeta(self.chance(0.6), self.chance(0.3), start, offset, segment, version, self.chance(0.1), self.number(0xFFFF))
