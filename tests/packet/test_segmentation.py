"""Segmentation and transport checksums against scapy, which computes every field of every segment anew."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from ena_dev.errors import UsageError
from ena_dev.packet.segmentation import finish, segment, verify

E = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = IP(src="192.0.2.1", dst="198.51.100.2", id=65534, tos=3)
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2", fl=0x12345)
OPTIONS = [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))]
NETWORKS = [E / V4, E / V6, E / Dot1Q(vlan=5) / V4, E / V6 / IPv6ExtHdrDestOpt()]
SCATTER = st.lists(st.integers(0, 700), max_size=12)


def by_definition(network: Packet, tcp: TCP, payload: bytes, mss: int) -> list[bytes]:
    """Each segment built from keywords, lengths and checksums left to scapy."""
    segments = []
    for index, at in enumerate(range(0, len(payload) or 1, mss)):
        last = at + mss >= len(payload)
        one, header = network.copy(), tcp.copy()
        if IP in one:
            one[IP].id = (one[IP].id + index) % 65536
        header.seq = (tcp.seq + at) % 2**32
        header.flags = "".join(flag for flag in str(tcp.flags) if (last or flag not in "FP") and (not index or flag != "C"))
        segments.append(bytes(one / header / payload[at : at + mss]))
    return segments


@settings(max_examples=80)
@given(st.sampled_from(NETWORKS), st.binary(min_size=1, max_size=50), st.integers(0, 3000), st.integers(8, 2000), SCATTER, st.booleans())
def test_segments_are_what_a_sender_would_have_sent(
    network: Packet, seed: bytes, size: int, mss: int, cuts: list[int], with_options: bool
) -> None:
    payload = (seed * size)[:size]
    tcp = TCP(sport=1, dport=2, seq=2**32 - 500, ack=7, flags="FPACE", window=99, options=OPTIONS if with_options else [])
    whole = bytes(network / tcp / payload)
    assert segment(whole, mss, cuts) == by_definition(network, tcp, payload, mss)


def test_the_largest_frame_becomes_full_segments() -> None:
    payload = bytes(range(256)) * 254
    segments = segment(bytes(E / V4 / TCP(flags="A") / payload), 1460)
    assert [len(one) for one in segments] == [1514] * 44 + [54 + len(payload) - 44 * 1460]
    assert b"".join(one[54:] for one in segments) == payload


def test_a_length_field_of_zero_checksums_and_wrong_ones_do_not_matter() -> None:
    frame = E / V4 / TCP(flags="PA") / (b"x" * 100)
    spoiled = bytearray(bytes(frame))
    spoiled[24:26], spoiled[50:52] = b"\xde\xad", b"\xbe\xef"
    assert segment(bytes(spoiled), 40) == segment(bytes(frame), 40)


def test_padding_is_not_payload() -> None:
    frame = bytes(E / V4 / TCP(flags="PA") / b"abc")
    assert segment(frame + b"\xaa" * 20, 1460) == [frame]


@pytest.mark.parametrize(
    ("frame", "mss", "cuts", "why"),
    [
        (bytes(E / V4 / TCP() / b"abc"), 0, (), "MSS"),
        (bytes(E / V4 / TCP() / b"abc"), 7, (), "MSS"),
        (bytes(E / V4 / UDP() / b"abc"), 1460, (), "whole TCP"),
        (bytes(E / V4 / ICMP() / b"abc"), 1460, (), "whole TCP"),
        (bytes(E / IP(flags="MF") / TCP() / b"abc"), 1460, (), "whole TCP"),
        (bytes(E / IP(frag=3, proto=6) / b"abc"), 1460, (), "whole TCP"),
        (bytes(E / V6 / IPv6ExtHdrFragment(m=1) / TCP() / b"abc"), 1460, (), "whole TCP"),
        (bytes(E / IP(len=1000) / TCP() / b"abc"), 1460, (), "parsed"),
        (bytes(E / V4 / TCP(dataofs=15)), 1460, (), "parsed"),
        (bytes(E / IPv6(nh=60) / Raw(b"\x06\x4f" + bytes(638)) / TCP() / b"abc"), 1460, (), "too long"),
        (bytes(E / V4 / TCP() / b"abc") + bytes(66000), 1460, (), "too long"),
        (bytes(E / V4 / TCP() / b"abc"), 1460, [0] * 64, "pieces"),
        (bytes(E / ARP()), 1460, (), "parsed"),
        (b"", 1460, (), "parsed"),
    ],
)
def test_what_can_not_be_cut_is_refused_with_a_reason(frame: bytes, mss: int, cuts: list[int], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        segment(frame, mss, cuts)

def with_checksum(frame: bytes, value: int) -> bytes:
    return frame[:40] + value.to_bytes(2) + frame[42:]


L4 = [(V4, TCP(sport=9)), (V4, UDP(sport=9)), (V6, TCP(sport=9)), (V6, UDP(sport=9)), (V6 / IPv6ExtHdrDestOpt(), UDP(sport=9))]


@settings(max_examples=100)
@given(st.sampled_from(L4), st.binary(max_size=200), SCATTER, st.integers(0, 65535), st.binary(max_size=9))
def test_a_finished_checksum_is_scapys(layers: tuple[Packet, Packet], payload: bytes, cuts: list[int], junk: int, padding: bytes) -> None:
    network, transport = layers
    right = bytes(E / network / transport / payload)
    spoiled = E / network / transport / payload
    spoiled.lastlayer().underlayer.chksum = junk if payload else None
    assert finish(bytes(spoiled) + padding, cuts) == right + padding
    assert verify(right + padding, cuts) is True


def test_a_partial_checksum_is_completed_over_the_packet_without_its_padding() -> None:
    right = bytes(E / V4 / UDP(sport=1, dport=2) / b"odd")
    pseudo = sum(int.from_bytes(right[at : at + 2]) for at in range(26, 34, 2)) + 17 + 11
    partial = with_checksum(right, pseudo % 65535)
    for cuts in ((), (1,), (0, 2)):
        assert finish(partial + b"\xff\xff\xff", cuts, partial=True) == right + b"\xff\xff\xff"


def test_a_datagram_ends_where_its_own_length_says() -> None:
    datagram = bytes(V4 / UDP(sport=1, dport=2) / b"odd")[20:]
    frame = bytes(E / IP(src=V4.src, dst=V4.dst, proto=17) / Raw(datagram + b"surplus"))
    assert verify(frame) is verify(frame, [1, 1]) is True
    assert finish(with_checksum(frame, 0xDEAD), [2]) == frame


def test_a_computed_zero_of_udp_is_sent_as_ones() -> None:
    frame = bytes(E / V4 / UDP(sport=1, dport=2) / b"\0\0")
    checksum = int.from_bytes(frame[40:42])
    balanced = finish(with_checksum(frame, 0)[:42] + checksum.to_bytes(2))
    assert balanced[40:42] == b"\xff\xff"
    assert verify(balanced) is True


@given(st.integers(0, 2**11 - 1))
def test_any_flipped_bit_is_noticed(bit: int) -> None:
    frame = bytearray(bytes(E / V6 / TCP(sport=9) / bytes(range(200))))
    bit %= 8 * (len(frame) - 74)
    frame[74 + bit // 8] ^= 1 << bit % 8
    assert verify(bytes(frame), [13, 40]) is False


def test_udp_without_checksum_is_right_over_ipv4_only() -> None:
    assert verify(bytes(E / V4 / UDP(chksum=0) / b"abc")) is True
    assert verify(bytes(E / V6 / UDP(chksum=0) / b"abc")) is False


def test_what_has_no_transport_checksum_is_not_judged() -> None:
    assert verify(bytes(E / V4 / ICMP())) is None
    assert verify(bytes(E / IP(flags="MF") / UDP(len=99) / b"abc")) is None
    with pytest.raises(UsageError):
        finish(bytes(E / V4 / ICMP()))
