"""Frames made by scapy: what engines are given, and what they are compared with."""

from __future__ import annotations

import random
from ipaddress import ip_address

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

CARD = "02:5e:00:00:00:01"
PEER = "02:5e:00:00:00:fe"
ADDRESSES = {4: ("192.0.2.1", "198.51.100.2"), 6: ("2001:db8::1", "2001:db8:1::2")}


def payload(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


def network(version: int, **fields: object) -> Packet:
    source, destination = ADDRESSES[version]
    return IP(src=source, dst=destination, **fields) if version == 4 else IPv6(src=source, dst=destination, **fields)


def udp(length: int = 26, *, version: int = 4, sport: int = 1000, dport: int = 2000, to: str = CARD) -> bytes:
    return bytes(Ether(src=PEER, dst=to) / network(version) / UDP(sport=sport, dport=dport) / Raw(payload(length)))


def tcp(
    length: int, *, version: int = 4, flags: str = "PA", seq: int = 1000, to: str = CARD, ident: int = 7, data: bytes | None = None
) -> bytes:
    fields = {"id": ident} if version == 4 else {}
    options = [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))]
    segment = TCP(sport=1000, dport=80, seq=seq, ack=5, flags=flags, options=options)
    return bytes(Ether(src=PEER, dst=to) / network(version, **fields) / segment / Raw(payload(length) if data is None else data))


def unfinished(frame: bytes) -> tuple[bytes, int, int]:
    """The frame with only the pseudo header's sum in its TCP or UDP checksum, where L4 begins, and the checksum's offset in it."""
    packet = Ether(frame)
    version = 4 if IP in packet else 6
    layer, offset = (TCP, 16) if TCP in packet else (UDP, 6)
    start = 14 + (packet[IP].ihl * 4 if version == 4 else 40)
    number = 6 if layer is TCP else 17
    length = len(bytes(packet[layer]))
    header = packet[IP] if version == 4 else packet[IPv6]
    pseudo = ip_address(header.src).packed + ip_address(header.dst).packed
    total = sum(int.from_bytes((pseudo + length.to_bytes(4) + number.to_bytes(4))[i : i + 2]) for i in range(0, len(pseudo) + 8, 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    at = start + offset
    return frame[:at] + total.to_bytes(2) + frame[at + 2 :], start, offset


def segments(length: int, mss: int, *, version: int = 4, flags: str = "PA", seq: int = 1000, ident: int = 7) -> list[bytes]:
    """What a wire shows of `tcp(length, ...)` cut into `mss`: built by scapy, one by one."""
    whole = payload(length)
    starts = range(0, length, mss)
    made = []
    for n, start in enumerate(starts):
        last = n == len(starts) - 1
        kept = "".join(flag for flag in flags if (flag not in "FP" or last) and (flag != "C" or n == 0))
        made.append(tcp(0, version=version, flags=kept, seq=seq + start, ident=ident + n, data=whole[start : start + mss]))
    return made
