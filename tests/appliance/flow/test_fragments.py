"""Packets that come in fragments; scapy cuts the originals, and what leaves is put together again by definition."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import checksum

from tests.appliance.flow.bench import PARTIAL, Bench, tuple5

V4: dict[str, Any] = {"src": "192.168.10.5", "dst": "198.51.100.9"}
V6: dict[str, Any] = {"src": "2001:db8:a::5", "dst": "2001:db8:b::9"}
OWN = {4: "203.0.113.7", 6: "2001:db8:1::2"}
DATA = bytes(range(256)) * 16
VERSIONS = pytest.mark.parametrize("version", [4, 6])


def head(version: int, **more: Any) -> Packet:
    return IP(**V4, id=0x77, **more) if version == 4 else IPv6(**V6, **more)


def cut(packet: Packet, size: int = 1000, identity: int = 0x77) -> list[Packet]:
    """Fragments with `size` bytes of the packet each, a multiple of eight."""
    packet = packet.__class__(bytes(packet))
    if isinstance(packet, IP):
        return list(fragment(packet, fragsize=size))  # type: ignore[no-untyped-call]
    data = bytes(packet)[40:]
    fields = {"src": packet.src, "dst": packet.dst, "hlim": packet.hlim}
    return [piece6(data[at : at + size], at, at + size < len(data), packet.nh, identity, **fields) for at in range(0, len(data), size)]


def piece4(data: bytes, at: int, more: bool, proto: int = 17, identity: int = 0x77, **fields: Any) -> Packet:
    return IP(**{**V4, **fields}, id=identity, frag=at // 8, flags="MF" if more else 0, proto=proto) / Raw(data)


def piece6(data: bytes, at: int, more: bool, nh: int = 17, identity: int = 0x77, **fields: Any) -> Packet:
    return IPv6(**{**V6, **fields}) / IPv6ExtHdrFragment(nh=nh, offset=at // 8, m=int(more), id=identity) / Raw(data)


def whole(pieces: Sequence[Packet]) -> Packet:
    """The packet that a receiver makes of fragments, which must be all of one packet, without overlap."""
    first, four = pieces[0], isinstance(pieces[0], IP)
    parts: dict[int, bytes] = {}
    names: set[int] = set()
    last = 0
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


TRANSPORTS: dict[str, Callable[[int], Packet]] = {
    "udp": lambda version: UDP(sport=4000, dport=53) / DATA,
    "echo": lambda version: (ICMP(type=8, id=77, seq=3) if version == 4 else ICMPv6EchoRequest(id=77, seq=3)) / Raw(DATA),
    "tcp": lambda version: TCP(sport=4000, dport=443, flags="A", seq=9, ack=1) / DATA,
    "gre": lambda version: Raw(DATA),
}


def original(version: int, kind: str) -> Packet:
    more: dict[str, int] = {} if kind != "gre" else {"proto": 47} if version == 4 else {"nh": 47}
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
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


# -- order, loss, repetition ---------------------------------------------------------------------------------------------------

def opened(bench: Bench, version: int) -> None:
    """A flow of the UDP datagrams below, so that nothing waits for a decision."""
    bench.open(0, head(version) / UDP(sport=4000, dport=53) / b"first")
    bench.sent(1)


def datagram(version: int, size: int = 4000) -> Packet:
    return head(version) / UDP(sport=4000, dport=53) / DATA[:size]


@VERSIONS
def test_fragments_wait_for_the_first_and_leave_behind_it_in_their_order(bench: Bench, version: int) -> None:
    opened(bench, version)
    first, *rest = cut(datagram(version))
    bench.receive(0, rest[2], rest[0], rest[1])
    assert bench.sent(1) == [] and bench.worker.counters()["parked"] == 3
    bench.receive(0, first)
    assert [bytes(piece.payload)[-100:] for piece in sent(bench)] == [bytes(each)[-100:] for each in (first, rest[2], rest[0], rest[1])]


@VERSIONS
def test_an_exact_duplicate_is_dropped_and_the_packet_passes_once(bench: Bench, version: int) -> None:
    opened(bench, version)
    pieces = cut(datagram(version))
    bench.receive(0, *pieces[:3], *pieces[:3], *pieces[3:])
    assert whole(sent(bench))[UDP].payload.load == DATA[:4000] and bench.drops() == {"fragment-duplicate": 3}


@VERSIONS
def test_an_identification_may_come_again_once_its_packet_is_over(bench: Bench, version: int) -> None:
    opened(bench, version)
    for size in (4000, 3000, 4000):
        bench.receive(0, *cut(datagram(version, size)))
        assert whole(sent(bench))[UDP].payload.load == DATA[:size]
    assert bench.drops() == {}


@VERSIONS
def test_without_its_first_a_packet_is_given_up_after_half_a_minute(bench: Bench, version: int) -> None:
    opened(bench, version)
    bench.receive(0, *cut(datagram(version))[1:])
    bench.round(29.9)
    assert bench.drops() == {}
    bench.round(0.2)
    assert bench.drops() == {"fragment-timeout": 4} and bench.worker.counters()["parked"] == 0


@VERSIONS
def test_later_fragments_of_what_is_denied_never_pass(bench: Bench, version: int) -> None:
    first, *rest = cut(datagram(version))
    bench.receive(0, rest[0], first, rest[1])
    [miss] = bench.misses()
    assert bench.worker.deny(miss.flow, 3, 1, "policy")
    bench.round()
    bench.receive(0, *rest[2:])
    assert bench.drops() == {"policy": 1, "fragment-first": 4} and bench.sent(1) == []


@VERSIONS
def test_fragments_of_what_nobody_decides_end_with_it(bench: Bench, version: int) -> None:
    bench.receive(0, *cut(datagram(version)))
    bench.round(1.5)
    assert bench.drops() == {"undecided": 1, "fragment-first": 4}


def test_a_flow_that_ends_takes_its_fragments_with_it(bench: Bench) -> None:
    first, *rest = cut(datagram(4))
    miss = bench.open(0, first)
    bench.receive(0, rest[0])
    assert bench.worker.delete(miss.flow, "deleted")
    bench.round()
    bench.receive(0, *rest[1:])
    assert len(bench.sent(1)) == 2 and bench.drops() == {"deleted": len(rest) - 1}


def test_fragments_from_elsewhere_are_of_another_packet(bench: Bench) -> None:
    opened(bench, 4)
    first, *rest = cut(datagram(4))
    bench.receive(0, first)
    bench.receive(1, *rest)
    bench.receive(0, *(piece4(bytes(each.payload), each.frag * 8, bool(each.flags.MF), identity=0x78) for each in rest))
    assert len(bench.sent(1)) == 1 and bench.worker.counters()["parked"] == 2 * len(rest)


# -- what may not be ---------------------------------------------------------------------------------------------------------

PIECES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 6), st.booleans(), st.sampled_from([0, 0, 3])), min_size=1, max_size=9
)


@VERSIONS
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=PIECES)
def test_overlap_is_found_as_a_set_of_bytes_finds_it(version: int, pieces: list[tuple[int, int, bool, int]]) -> None:
    bench = Bench()
    opened(bench, version)
    make = piece4 if version == 4 else piece6
    data = bytes(UDP(sport=4000, dport=53, len=1000, chksum=0xABCD)) + bytes(range(200))
    seen: list[tuple[int, int]] = [(0, 16)]
    total, dead, expected, passed = 0, False, dict[str, int](), 1
    bench.receive(0, make(data[:16], 0, True))
    for unit, units, open_end, odd in pieces:
        more = open_end or unit == 0  # with offset 0 and without more it is no fragment
        start, end = 8 * unit, 8 * (unit + units) - (0 if more else odd)
        touched = {at for a, b in seen for at in range(a // 8, -(-b // 8))} & set(range(start // 8, -(-end // 8)))
        if not dead and not ((total and end > total) or (not more and end < max(b for _, b in seen))):
            if touched and (start, end) in seen and (end == total) != more:
                expected["fragment-duplicate"] = expected.get("fragment-duplicate", 0) + 1
            elif touched:
                dead = True
            else:
                seen, total, passed = [*seen, (start, end)], total if more else end, passed + 1
        else:
            dead = True
        if dead:
            expected["fragment-overlap"] = expected.get("fragment-overlap", 0) + 1
        bench.receive(0, make(data[start:end], start, more))
        if total and not dead and sum(b - a for a, b in seen) == total:
            break
    assert len(bench.sent(1)) == passed and bench.drops() == expected
    bench.close()


@VERSIONS
def test_overlap_ends_also_what_waits(bench: Bench, version: int) -> None:
    opened(bench, version)
    first, second, *rest = cut(datagram(version))
    lie = (piece4 if version == 4 else piece6)(bytes(1008), 1000, True)
    bench.receive(0, second, lie, first, *rest)
    assert bench.sent(1) == [] and bench.drops() == {"fragment-overlap": len(rest) + 3}


@VERSIONS
def test_overlap_found_while_the_first_is_decided_ends_it_too(bench: Bench, version: int) -> None:
    first, second, *_ = cut(datagram(version))
    bench.receive(0, first, second, (piece4 if version == 4 else piece6)(bytes(16), 1000, True))
    [miss] = bench.misses()
    bench.allow(miss)
    assert bench.sent(1) == [] and bench.drops() == {"fragment-overlap": 3}


TCP_OPTIONS = bytes(TCP(sport=4000, dport=80, flags="S", options=[("MSS", 1460), ("NOP", None), ("WScale", 7)]))


@VERSIONS
@pytest.mark.parametrize("data", [TCP_OPTIONS[:8], TCP_OPTIONS[:16], TCP_OPTIONS[:24]])
def test_a_first_fragment_has_its_whole_transport_header(bench: Bench, version: int, data: bytes) -> None:
    bench.receive(0, (piece4 if version == 4 else piece6)(data, 0, True, 6))
    assert bench.drops() == {"fragment-tiny": 1} and bench.misses() == []


def test_a_first_fragment_has_all_extension_headers(bench: Bench) -> None:
    bench.receive(0, piece6(bytes(IPv6ExtHdrDestOpt(nh=17)), 0, True, 60))
    assert bench.drops() == {"fragment-tiny": 1}


@pytest.mark.parametrize("packet", [
    piece4(bytes(12), 8, True), piece4(b"", 8, True), piece4(b"", 8, False),
    piece4(bytes(8), 65528, False), piece4(bytes(40), 65480, False),
    piece6(bytes(12), 8, True), piece6(b"", 8, True), piece6(bytes(16), 65520, False), piece6(bytes(8), 65528, False),
])  # fmt: skip
def test_fragments_that_can_not_be_have_a_reason_of_their_own(bench: Bench, packet: Packet) -> None:
    bench.receive(0, packet)
    assert bench.drops() == {"fragment-range": 1} and bench.worker.counters()["parked"] == 0


@pytest.mark.parametrize("packet", [
    piece6(bytes(ICMPv6ND_NS(tgt="2001:db8::1")), 0, True, 58), piece6(bytes(ICMPv6PacketTooBig()) + bytes(48), 0, True, 58),
    piece4(bytes(ICMP(type=3, code=4)) + bytes(32), 0, True, 1),
])  # fmt: skip
def test_neighbour_discovery_and_errors_may_not_come_in_fragments(bench: Bench, packet: Packet) -> None:
    bench.receive(0, packet)
    assert bench.drops() == {"fragment": 1} and bench.punts() == []


def test_what_a_card_is_to_finish_is_no_fragment(bench: Bench) -> None:
    bench.receive(0, cut(datagram(4))[0], flags=PARTIAL)
    assert bench.drops() == {"malformed": 1}


def test_groups_and_options_get_no_fragments_either(bench: Bench) -> None:
    bench.receive(0, Ether(dst="ff:ff:ff:ff:ff:ff") / piece4(bytes(8), 8, True), piece6(bytes(8), 8, True, dst="ff02::1"))
    bench.receive(0, piece4(bytes(8), 8, True, options=b"\x07\x07\x04\0\0\0\0\0"))
    assert bench.drops() == {"multicast": 2, "ip-options": 1}


# -- special packets ---------------------------------------------------------------------------------------------------------

def test_extension_headers_stand_before_and_behind_the_fragment_header(bench: Bench) -> None:
    packet = IPv6(**V6) / IPv6ExtHdrDestOpt(nh=17) / UDP(sport=4000, dport=53) / DATA[:2000]
    data = bytes(packet)[40:]
    pieces = [
        IPv6(**V6) / IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment(nh=nh, offset=at // 8, m=int(at < 2000), id=5) / Raw(data[at : at + 1000])
        for at, nh in ((1000, 17), (0, 60), (2000, 43))
    ]
    bench.receive(0, *pieces)
    [miss] = bench.misses()
    bench.allow(miss, tuple5(V6["dst"], OWN[6], 53, 50001))
    left = sent(bench)
    parts = {piece[IPv6ExtHdrFragment].offset: bytes(piece[IPv6ExtHdrFragment])[8:] for piece in left}
    there = IPv6(bytes(IPv6(src=OWN[6], dst=V6["dst"], nh=60) / b"".join(parts[at] for at in sorted(parts))))
    assert there[UDP].sport == 50001 and there[UDP].payload.load == DATA[:2000]
    checked = there.copy()
    del checked[UDP].chksum
    assert IPv6(bytes(checked))[UDP].chksum == there[UDP].chksum


def test_the_largest_packet_passes_in_the_smallest_link_s_pieces_last_first(bench: Bench) -> None:
    opened(bench, 6)
    data = bytes(range(256)) * 255
    pieces = cut(IPv6(**V6) / UDP(sport=4000, dport=53) / data, 1232)
    assert len(pieces) == 53
    bench.receive(0, *reversed(pieces))
    left = sent(bench)
    assert whole(left)[UDP].payload.load == data and bench.drops() == {}


@VERSIONS
def test_hidden_hosts_with_the_same_identification_are_told_apart(bench: Bench, version: int) -> None:
    hosts = [("192.168.10.5", 50001), ("192.168.10.6", 50002)] if version == 4 else [("2001:db8:a::5", 50001), ("2001:db8:a::6", 50002)]
    trains = []
    for host, port in hosts:
        packet = datagram(version)
        packet.src = host
        trains.append(cut(packet))
        bench.receive(0, trains[-1][0])
        [miss] = bench.misses()
        bench.allow(miss, tuple5(packet.dst, OWN[version], 53, port))
    bench.receive(0, *(piece for pair in zip(trains[0][1:], trains[1][1:], strict=True) for piece in pair))
    left: dict[int, list[Packet]] = {}
    for piece in sent(bench):
        left.setdefault(piece.id if version == 4 else piece[IPv6ExtHdrFragment].id, []).append(piece)
    assert len(left) == 2 and {whole(pieces)[UDP].sport for pieces in left.values()} == {50001, 50002}


def test_without_translation_the_identification_stays(bench: Bench) -> None:
    opened(bench, 4)
    bench.receive(0, *cut(datagram(4)))
    assert {piece.id for piece in sent(bench)} == {0x77}


def test_a_segment_in_fragments_may_be_acknowledged_as_a_whole(bench: Bench) -> None:
    there: dict[str, Any]
    back: dict[str, Any]
    there, back = {"sport": 4000, "dport": 80, "window": 60000}, {"sport": 80, "dport": 4000, "window": 60000}
    reply: dict[str, Any] = {"src": V4["dst"], "dst": V4["src"]}
    bench.open(0, IP(**V4) / TCP(**there, flags="S", seq=99))
    bench.receive(1, IP(**reply) / TCP(**back, flags="SA", seq=499, ack=100))
    bench.receive(0, IP(**V4) / TCP(**there, flags="A", seq=100, ack=500))
    bench.sent(0), bench.sent(1)
    bench.receive(0, *cut(IP(**V4, id=0x77) / TCP(**there, flags="PA", seq=100, ack=500) / DATA[:4000]))
    assert whole(sent(bench))[TCP].payload.load == DATA[:4000]
    bench.receive(1, IP(**reply) / TCP(**back, flags="A", seq=500, ack=4101))
    assert bench.sent(0) == [] and bench.drops() == {"tcp-window": 1}
    bench.receive(1, IP(**reply) / TCP(**back, flags="A", seq=500, ack=4100))
    assert len(bench.sent(0)) == 1


@pytest.mark.parametrize("pieces", [1, 4, 16])
def test_what_was_sent_beyond_a_window_may_be_sent_again_however_it_came(bench: Bench, pieces: int) -> None:
    reply = {"src": V4["dst"], "dst": V4["src"]}
    there = {"sport": 4000, "dport": 80, "window": 60000}
    bench.open(0, IP(**V4) / TCP(**there, flags="S", seq=99))
    bench.receive(1, IP(**reply) / TCP(sport=80, dport=4000, window=1, flags="SA", seq=499, ack=100))
    bench.receive(0, *cut(IP(**V4, id=0x77) / TCP(**there, flags="PA", seq=100, ack=500) / DATA[:1200], 1220 // pieces + 7 & ~7))
    bench.sent(1)
    bench.receive(0, IP(**V4) / TCP(**there, flags="A", seq=100, ack=500))
    assert len(bench.sent(1)) == 1 and bench.drops() == {}


def test_a_refusal_in_fragments_arrives_whole(bench: Bench) -> None:
    back = {"sport": 80, "dport": 4000}
    bench.open(0, IP(**V4) / TCP(sport=4000, dport=80, flags="S", seq=99))
    bench.receive(1, *cut(IP(src=V4["dst"], dst=V4["src"], id=0x77) / TCP(**back, flags="RA", ack=100) / DATA[:1200], 400))
    assert whole([each.packet.payload for each in bench.sent(0)])[TCP].payload.load == DATA[:1200]
    assert list(bench.states()) != [] and set(bench.states()) == {"closed"}


@VERSIONS
def test_each_fragment_needs_a_hop(bench: Bench, version: int) -> None:
    opened(bench, version)
    pieces = cut(datagram(version))
    for piece in pieces[1:]:
        setattr(piece, "ttl" if version == 4 else "hlim", 1)
        if version == 4:
            del piece.chksum
    bench.receive(0, *pieces)
    assert len(bench.sent(1)) == 1 and [punt.reason for punt in bench.punts()] == ["ttl"] * 4
    assert bench.drops() == {"ttl": 4}


def test_what_is_too_big_but_may_be_cut_leads_the_others_all_the_same() -> None:
    bench = Bench(mtus=(1500, 600, 1500))
    bench.receive(0, *cut(datagram(4)))
    [miss] = bench.misses()
    bench.allow(miss, tuple5(V4["dst"], OWN[4], 53, 50001))
    punts = bench.punts()
    assert [punt.reason for punt in punts] == ["cut"] * 4 and {punt.flow for punt in punts} == {miss.flow}
    [last] = sent(bench)
    assert last.id == IP(punts[0].frame[14:]).id != 0x77
    bench.close()


# -- floods ------------------------------------------------------------------------------------------------------------------

def test_a_flood_of_fragments_keeps_to_its_share_and_takes_no_other_s_place(bench: Bench) -> None:
    opened(bench, 4)
    bench.receive(0, *(piece4(bytes(64), 64, True, identity=n) for n in range(3000)))
    assert bench.worker.counters()["parked"] == 64  # a quarter of what may wait of this small pool
    assert bench.drops() == {"fragment-full": 3000 - 64}
    bench.receive(0, *cut(datagram(4), identity=0x77)[:-1])
    assert len(bench.sent(1)) == 4
    for port in range(20):
        bench.receive(0, *(IP(**V4) / UDP(sport=6000 + port, dport=53) / bytes([n]) for n in range(8)))
    assert bench.worker.counters()["parked"] == 64 + 160 and "parking-full" not in bench.drops()


def test_a_packet_has_so_many_fragments_waiting_and_no_more(bench: Bench) -> None:
    big = Bench(buffers=4096)
    big.receive(0, *(piece4(bytes(8), 8 * n, True) for n in range(1, 81)))
    assert big.worker.counters()["parked"] == 64 and big.drops() == {"fragment-full": 16}
    big.close()


def test_packets_that_pass_keep_their_place_when_all_are_taken(bench: Bench) -> None:
    opened(bench, 4)
    first, *rest = cut(datagram(4))
    bench.receive(0, first)
    for n in range(40):
        bench.receive(0, *(piece4(bytes(8), 8, True, identity=1000 + 50 * n + each) for each in range(50)))
    bench.receive(0, *rest)
    assert len(bench.sent(1)) == 5
