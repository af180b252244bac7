"""The header walk against scapy and dpkt, and against memory that ends."""

from __future__ import annotations

from collections.abc import Callable

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from ena_dev.errors import UsageError
from ena_dev.packet.parse import Flag, Reason, parse, parse_quote

E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = IP(src="192.0.2.1", dst="198.51.100.2", ttl=9)
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2", hlim=9)
FOUR, SIX = 0x0800, 0x86DD
ANY_FRAGMENT = Flag.FRAGMENT | Flag.FIRST_FRAGMENT

#   frame, and (ethertype, l3, l4, payload, source port, destination port, protocol, flags)
WELL_FORMED: list[tuple[Packet, tuple[int, ...]]] = [
    (E / V4 / UDP(sport=53, dport=4000) / b"abc", (FOUR, 14, 34, 42, 53, 4000, 17, 0)),
    (E / V4 / TCP(sport=1, dport=65535) / b"abc", (FOUR, 14, 34, 54, 1, 65535, 6, 0)),
    (E / V4 / TCP(sport=1, dport=2, options=[("MSS", 1460), ("WScale", 7)]), (FOUR, 14, 34, 62, 1, 2, 6, 0)),
    (E / V4 / ICMP(type=8, id=77) / b"abc", (FOUR, 14, 34, 42, 77, 77, 1, 0)),
    (E / V4 / ICMP(type=0, id=78), (FOUR, 14, 34, 42, 78, 78, 1, 0)),
    (E / V4 / ICMP(type=3, code=1) / V4 / UDP(), (FOUR, 14, 34, 42, 0, 0, 1, 0)),
    (E / V4.copy().__class__(options=[IPOption_Router_Alert()]) / UDP(sport=1, dport=2), (FOUR, 14, 38, 46, 1, 2, 17, Flag.OPTIONS)),
    (E / Dot1Q(vlan=7) / V4 / UDP(sport=1, dport=2), (FOUR, 18, 38, 46, 1, 2, 17, 0)),
    (E / Dot1AD(vlan=7) / V6 / UDP(sport=1, dport=2), (SIX, 18, 58, 66, 1, 2, 17, 0)),
    (Ether(dst="ff:ff:ff:ff:ff:ff") / V4 / UDP(sport=1, dport=2), (FOUR, 14, 34, 42, 1, 2, 17, Flag.BROADCAST)),
    (E / IP(proto=47) / b"gre", (FOUR, 14, 34, 34, 0, 0, 47, 0)),
    (E / IP(proto=58) / b"abc", (FOUR, 14, 34, 34, 0, 0, 58, 0)),
    (E / IP(flags="MF") / UDP(sport=1, dport=2, len=2000) / b"abc", (FOUR, 14, 34, 42, 1, 2, 17, ANY_FRAGMENT)),
    (E / IP(frag=5, proto=17) / b"abc", (FOUR, 14, 0, 34, 0, 0, 17, Flag.FRAGMENT)),
    (E / IP(frag=5, flags="MF", proto=6) / b"abc", (FOUR, 14, 0, 34, 0, 0, 6, Flag.FRAGMENT)),
    (E / V6 / UDP(sport=53, dport=4000) / b"abc", (SIX, 14, 54, 62, 53, 4000, 17, 0)),
    (E / V6 / TCP(sport=5, dport=6) / b"abc", (SIX, 14, 54, 74, 5, 6, 6, 0)),
    (E / V6 / ICMPv6EchoRequest(id=77), (SIX, 14, 54, 62, 77, 77, 58, 0)),
    (E / V6 / ICMPv6EchoReply(id=77), (SIX, 14, 54, 62, 77, 77, 58, 0)),
    (E / V6 / ICMPv6ND_NS(tgt="2001:db8::9"), (SIX, 14, 54, 62, 0, 0, 58, 0)),
    (E / V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=2), (SIX, 14, 70, 78, 1, 2, 17, Flag.OPTIONS)),
    (E / V6 / IPv6ExtHdrRouting(addresses=["2001:db8::3"]) / TCP(sport=1, dport=2), (SIX, 14, 78, 98, 1, 2, 6, Flag.OPTIONS)),
    (E / V6 / IPv6ExtHdrFragment(m=1) / UDP(sport=1, dport=2, len=3000) / b"a", (SIX, 14, 62, 70, 1, 2, 17, Flag.OPTIONS | ANY_FRAGMENT)),
    (E / V6 / IPv6ExtHdrFragment(offset=9, nh=17) / b"abc", (SIX, 14, 0, 62, 0, 0, 17, Flag.OPTIONS | Flag.FRAGMENT)),
    (E / V6 / IPv6ExtHdrFragment() / UDP(sport=1, dport=2), (SIX, 14, 62, 70, 1, 2, 17, Flag.OPTIONS)),
    (E / IPv6(nh=59), (SIX, 14, 54, 54, 0, 0, 59, 0)),
]
FRAMES = [bytes(frame) for frame, _ in WELL_FORMED]


@pytest.mark.parametrize(("frame", "expected"), WELL_FORMED, ids=lambda value: value.summary() if isinstance(value, Packet) else "")
def test_a_well_formed_frame_is_read_as_scapy_wrote_it(frame: Packet, expected: tuple[int, ...]) -> None:
    raw = bytes(frame)
    reason, parsed = parse(raw)
    names = ("ethertype", "l3_offset", "l4_offset", "payload_offset", "source_port", "destination_port", "protocol", "flags")
    assert reason is Reason.OK
    assert tuple(parsed[name] for name in names) == expected
    again = Ether(raw)
    network = again[IP] if IP in again else again[IPv6]
    assert (parsed["version"], parsed["ttl"]) == (network.version, network.ttl if IP in again else network.hlim)
    assert parsed["l3_length"] == (network.len if IP in again else 40 + network.plen)
    if TCP in again:
        assert parsed["tcp_flags"] == int(again[TCP].flags)
    if ICMP in again and parsed["l4_offset"]:
        assert (parsed["icmp_type"], parsed["icmp_code"]) == (again[ICMP].type, again[ICMP].code)
    if parsed["protocol"] == 58 and parsed["version"] == 6:
        assert parsed["icmp_type"] == raw[parsed["l4_offset"]]


@pytest.mark.parametrize("raw", FRAMES, ids=range(len(FRAMES)))
def test_padding_changes_nothing(raw: bytes) -> None:
    assert parse(raw + b"\xaa" * 50) == parse(raw)


@pytest.mark.parametrize("raw", FRAMES, ids=range(len(FRAMES)))
def test_a_cut_frame_is_never_right_and_a_split_one_only_if_the_headers_are_whole(raw: bytes, guarded: Callable[..., memoryview]) -> None:
    whole = parse(raw)
    for size in range(len(raw)):
        assert parse(guarded(raw[:size], size))[0] in (Reason.TRUNCATED, Reason.MALFORMED)
        split = parse(guarded(raw, size), size)
        if size < whole[1]["payload_offset"]:
            assert split[0] is Reason.HEADERS_SPLIT
        else:
            assert split == whole


def v4(**fields: int) -> bytes:
    return bytes(E / IP(**fields) / UDP() / b"abcd")


def patched(frame: Packet, offset: int, *values: int) -> bytes:
    raw = bytearray(bytes(frame))
    raw[offset : offset + len(values)] = values
    return bytes(raw)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", Reason.TRUNCATED),
        (bytes(E)[:13], Reason.TRUNCATED),
        (bytes(E / Dot1Q())[:16], Reason.TRUNCATED),
        (bytes(E / ARP()), Reason.UNKNOWN_L3),
        (bytes(E / Dot1Q() / Dot1Q() / V4), Reason.UNKNOWN_L3),
        (bytes(E)[:12] + b"\x00\x26" + b"\xaa\xaa\x03" * 20, Reason.UNKNOWN_L3),
        (v4(version=5), Reason.MALFORMED),
        (v4(ihl=4), Reason.MALFORMED),
        (v4(ihl=9), Reason.MALFORMED),
        (v4(len=19), Reason.MALFORMED),
        (v4(len=33), Reason.MALFORMED),
        (v4(len=0), Reason.MALFORMED),
        (v4(len=27), Reason.TRUNCATED),
        (v4(len=29), Reason.MALFORMED),
        (bytes(E / V4 / UDP(len=7)), Reason.MALFORMED),
        (bytes(E / V4 / UDP(len=9)), Reason.MALFORMED),
        (bytes(E / V4 / TCP(dataofs=4)), Reason.MALFORMED),
        (bytes(E / V4 / TCP(dataofs=6)), Reason.MALFORMED),
        (bytes(E / IP(len=39) / TCP()), Reason.TRUNCATED),
        (bytes(E / IP(flags="MF", proto=6) / b"12345678"), Reason.TRUNCATED),
        (bytes(E / IP(proto=1) / b"1234567"), Reason.TRUNCATED),
        (bytes(E / IPv6(version=4) / UDP()), Reason.MALFORMED),
        (bytes(E / IPv6(plen=9) / UDP()), Reason.MALFORMED),
        (bytes(E / IPv6(plen=7) / UDP()), Reason.TRUNCATED),
        (bytes(E / V6 / IPv6ExtHdrDestOpt(len=9) / UDP()), Reason.TRUNCATED),
        (bytes(E / V6 / IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / UDP()), Reason.MALFORMED),
        (bytes(E / V6 / IPv6ExtHdrFragment(m=1) / IPv6ExtHdrFragment(m=1) / UDP()), Reason.MALFORMED),
        (bytes(E / IPv6(nh=60) / Raw(b"\x3c\0\0\0\0\0\0\0" * 7 + b"\x11\0\0\0\0\0\0\0") / UDP()), Reason.OK),
        (bytes(E / IPv6(nh=60) / Raw(b"\x3c\0\0\0\0\0\0\0" * 8 + b"\x11\0\0\0\0\0\0\0") / UDP()), Reason.MALFORMED),
    ],
)
def test_a_bad_frame_gets_its_reason(frame: bytes, reason: Reason, guarded: Callable[..., memoryview]) -> None:
    assert parse(guarded(frame, len(frame)))[0] is reason


def test_an_unknown_protocol_still_has_its_ethertype() -> None:
    assert parse(bytes(E / Dot1Q() / ARP()))[1]["ethertype"] == 0x0806


@settings(max_examples=200)
@given(data=st.data())
def test_no_bytes_lead_the_walk_out_of_its_buffer(data: st.DataObject, guarded: Callable[..., memoryview]) -> None:
    raw = bytearray(data.draw(st.sampled_from(FRAMES)))
    for offset, value in data.draw(st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=6)):
        raw[offset] = value
    raw = raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw + data.draw(st.binary(max_size=80))
    available = data.draw(st.integers(0, len(raw)))
    reason, parsed = parse(guarded(bytes(raw), available), available)
    parse_quote(guarded(bytes(raw), available), available)
    if reason is Reason.OK:
        end = parsed["l3_offset"] + parsed["l3_length"]
        assert 14 <= parsed["l3_offset"] < parsed["payload_offset"] <= min(end, available) and end <= len(raw)
        assert parsed["l4_offset"] == 0 or parsed["l3_offset"] + 20 <= parsed["l4_offset"] <= parsed["payload_offset"]
        assert (parsed["l4_offset"] == 0) == (parsed["flags"] & ANY_FRAGMENT == Flag.FRAGMENT)


@settings(max_examples=100)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x08\x00\x45", b"\x86\xdd\x60", b"\x81\x00\x00\x01\x08\x00\x45"]))
def test_random_bytes_stay_inside(guarded: Callable[..., memoryview], tail: bytes, start: bytes) -> None:
    raw = bytes(12) + start + tail
    parse(guarded(raw, len(raw)))
    parse_quote(guarded(raw, len(raw)))


@settings(max_examples=100)
@given(
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.binary(max_size=60),
    st.booleans(),
    st.booleans(),
    st.binary(max_size=10).map(lambda word: word * 4),
)
def test_dpkt_reads_the_same(source: int, destination: int, payload: bytes, six: bool, stream: bool, options: bytes) -> None:
    if stream:
        transport = dpkt.tcp.TCP(sport=source, dport=destination, opts=options, data=payload)
        transport.off = 5 + len(options) // 4
    else:
        transport = dpkt.udp.UDP(sport=source, dport=destination, ulen=8 + len(payload), data=payload)
    if six:
        network = dpkt.ip6.IP6(src=bytes(16), dst=bytes(16), nxt=6 if stream else 17, plen=len(transport), data=transport)
    else:
        network = dpkt.ip.IP(src=bytes(4), dst=bytes(4), p=6 if stream else 17, data=transport)
    raw = bytes(dpkt.ethernet.Ethernet(type=0x86DD if six else 0x0800, data=network))
    reason, parsed = parse(raw)
    assert reason is Reason.OK
    assert (parsed["source_port"], parsed["destination_port"]) == (source, destination)
    assert raw[parsed["payload_offset"] : parsed["l3_offset"] + parsed["l3_length"]] == payload


@pytest.mark.parametrize(
    "error",
    [
        V4 / ICMP(type=11) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=7, dport=8, len=1400) / (b"x" * 100),
        V4 / ICMP(type=3, code=4) / IP(src="10.0.0.1", dst="10.0.0.2", len=1500) / TCP(sport=7, dport=8) / b"x",
        V6 / ICMPv6PacketTooBig(mtu=1280) / IPv6(plen=5000) / TCP(sport=7, dport=8) / b"x",
        V6 / ICMPv6PacketTooBig(mtu=1280) / IPv6() / IPv6ExtHdrDestOpt() / UDP(sport=7, dport=8),
    ],
)
def test_a_quote_is_read_even_when_only_eight_bytes_of_transport_are_left(error: Packet) -> None:
    raw = bytes(E / error)
    reason, parsed = parse_quote(raw)
    assert reason is Reason.OK
    assert (parsed["source_port"], parsed["destination_port"]) == (7, 8)
    cut = parsed["l4_offset"] + 8
    for size, expected in ((cut, Reason.OK), (cut - 1, Reason.TRUNCATED)):
        short = bytearray(raw[:size])
        short[16:18], short[18:20] = ((size - 14).to_bytes(2), short[18:20]) if IP in error else (short[16:18], (size - 54).to_bytes(2))
        assert parse_quote(bytes(short))[0] is expected


def test_only_icmp_has_a_quote() -> None:
    assert parse_quote(FRAMES[0])[0] is Reason.MALFORMED


def test_more_than_the_frame_can_not_be_available() -> None:
    with pytest.raises(UsageError):
        parse(FRAMES[0], available=len(FRAMES[0]) + 1)
