"""Packets that come in fragments; scapy cuts the originals, and what leaves is put together again by definition."""

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.packet import Packet, Raw
from scapy.utils import checksum

from tests.appliance.flow.bench import Bench, tuple5

V4 = {"src": "192.168.10.5", "dst": "198.51.100.9"}
V6 = {"src": "2001:db8:a::5", "dst": "2001:db8:b::9"}
OWN = {4: "203.0.113.7", 6: "2001:db8:1::2"}
DATA = bytes(range(256)) * 16
VERSIONS = pytest.mark.parametrize("version", [4, 6])


def head(version: int, **more: int) -> Packet:
    return IP(**V4, id=0x77, **more) if version == 4 else IPv6(**V6, **more)


def cut(packet: Packet, size: int = 1000, identity: int = 0x77) -> list[Packet]:
    """Fragments with `size` bytes of the packet each, a multiple of eight."""
    if isinstance(packet, IP):
        return list(fragment(IP(bytes(packet)), fragsize=size))  # type: ignore[no-untyped-call]
    data = bytes(packet)[40:]
    return [
        IPv6(src=packet.src, dst=packet.dst, hlim=packet.hlim)
        / IPv6ExtHdrFragment(nh=packet.nh if packet.nh != 59 else IPv6(bytes(packet)).nh, offset=at // 8, m=at + size < len(data), id=identity)
        / Raw(data[at : at + size])
        for at in range(0, len(data), size)
    ]


def whole(pieces: Sequence[Packet]) -> Packet:
    """The packet that a receiver makes of fragments, which must be all of one packet, without overlap."""
    first, four = pieces[0], isinstance(pieces[0], IP)
    parts: dict[int, bytes] = {}
    names, last = set(), 0
    for piece in pieces:
        if four:
            at, more, data, name = piece.frag * 8, int(piece.flags.MF), bytes(piece)[20 : piece.len], piece.id
        else:
            header = piece[IPv6ExtHdrFragment]
            at, more, data, name = header.offset * 8, header.m, bytes(header)[8:], header.id
        parts[at], names, last = data, names | {name}, last if more else at + len(data)
    assert len(names) == 1 and len(parts) == len(pieces)
    data = b"".join(parts[at] for at in sorted(parts))
    assert len(data) == last and [sum(len(parts[b]) for b in parts if b < at) for at in sorted(parts)] == sorted(parts)
    if four:
        return IP(bytes(IP(src=first.src, dst=first.dst, ttl=first.ttl, proto=first.proto, id=first.id) / data))
    return IPv6(bytes(IPv6(src=first.src, dst=first.dst, hlim=first.hlim, nh=first[IPv6ExtHdrFragment].nh) / data))


def sent(bench: Bench, nic: int = 1) -> list[Packet]:
    return [frame.packet.payload for frame in bench.sent(nic)]


TRANSPORTS = {
    "udp": lambda version: UDP(sport=4000, dport=53) / DATA,
    "echo": lambda version: (ICMP(type=8, id=77, seq=3) if version == 4 else ICMPv6EchoRequest(id=77, seq=3)) / Raw(DATA),
    "tcp": lambda version: TCP(sport=4000, dport=443, flags="A", seq=9, ack=1) / DATA,
    "gre": lambda version: Raw(DATA),
}


def original(version: int, kind: str) -> Packet:
    more = {} if kind != "gre" else {"proto": 47} if version == 4 else {"nh": 47}
    return head(version, **more).__class__(bytes(head(version, **more) / TRANSPORTS[kind](version)))


def reply_of(version: int, kind: str) -> tuple[int, int, int, int]:
    """What replies are expected: by another address and port."""
    ports = {"udp": (53, 50001), "echo": (999, 999), "tcp": (443, 50001), "gre": (0, 0)}[kind]
    return tuple5((V4 if version == 4 else V6)["dst"], OWN[version], *ports)


def expected(version: int, kind: str, name: int) -> Packet:
    """The original as one packet, translated by scapy."""
    packet = original(version, kind)
    packet.src = OWN[version]
    if version == 4:
        packet.id, packet.ttl = name, packet.ttl - 1
        del packet.chksum, packet.len
    else:
        packet.hlim -= 1
    for layer, field in ((UDP, "chksum"), (TCP, "chksum"), (ICMP, "chksum"), (ICMPv6EchoRequest, "cksum")):
        if packet.haslayer(layer):
            delattr(packet[layer], field)
            if kind == "echo":
                packet[layer].id = 999
            else:
                packet[layer].sport = 50001
    return packet.__class__(bytes(packet))


@pytest.mark.parametrize("kind", TRANSPORTS)
@VERSIONS
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)), pause=st.integers(0, 6), size=st.sampled_from([688, 800, 824]))
def test_a_packet_in_fragments_is_translated_as_if_it_were_whole(
    version: int, kind: str, order: list[int], pause: int, size: int
) -> None:
    bench = Bench()
    pieces = cut(original(version, kind), size)
    chosen = [pieces[n] for n in order if n < len(pieces)]
    assert len(chosen) == len(pieces)
    bench.receive(0, *chosen[:pause])
    for miss in bench.misses():
        bench.allow(miss, reply_of(version, kind))
    bench.receive(0, *chosen[pause:])
    for miss in bench.misses():
        bench.allow(miss, reply_of(version, kind))
    left = sent(bench)
    assert len(left) == len(pieces) and bench.drops() == {}
    for piece in left:
        assert version == 6 or checksum(bytes(piece)[:20]) == 0
    packet = whole(left)
    assert bytes(packet) == bytes(expected(version, kind, packet.id if version == 4 else 0))
    bench.close()
