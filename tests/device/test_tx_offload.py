from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from ena_dev.abi.admin import Direction
from ena_dev.abi.eth_io import L3Protocol, L4Protocol, TxMetaDescriptor
from ena_dev.port.meta import FrameMeta
from ena_dev.port.wire import WirePort
from tests.support.frames import CARD, PEER, network, payload, segments, tcp, udp, unfinished
from tests.support.io_bench import IoBench

L4 = {6: 40, 4: 20}
OFFLOADING = {"checksum": True, "segmentation": True}


def meta(version: int = 4, *, mss: int = 0, l3_offset: int = 14, l4_words: int = 0) -> TxMetaDescriptor:
    return TxMetaDescriptor(
        l3_header_offset=l3_offset, l3_header_length=L4[version], l4_header_words=l4_words, mss_low=mss & 0x3FF, mss_high=mss >> 10
    )


def offloads(version: int, protocol: L4Protocol, **more: int) -> dict[str, int]:
    return {"l3_protocol": L3Protocol.IPV4 if version == 4 else L3Protocol.IPV6, "l4_protocol": protocol, "dont_fragment": 1, **more}


def without_checksum(frame: bytes, junk: bytes = b"\xab\xcd") -> bytes:
    _, start, offset = unfinished(frame)
    return frame[: start + offset] + junk + frame[start + offset + 2 :]


def sent(bench: IoBench) -> list[tuple[bytes, FrameMeta]]:
    bench.run()
    return bench.wire.take_with_meta()


FRAMES = [
    pytest.param(version, protocol, length, id=f"v{version}-{protocol.name}-{length}")
    for version in (4, 6)
    for protocol in (L4Protocol.TCP, L4Protocol.UDP)
    for length in (0, 1, 37, 1400)
]


def make(version: int, protocol: L4Protocol, length: int) -> bytes:
    return tcp(length, version=version) if protocol is L4Protocol.TCP else udp(length, version=version)


@pytest.mark.parametrize(("version", "protocol", "length"), FRAMES)
def test_partial_checksums_are_finished(version: int, protocol: L4Protocol, length: int) -> None:
    bench = IoBench()
    frame = make(version, protocol, length)
    given_frame, _, _ = unfinished(frame)
    bench.tx(depth=64).send(
        given_frame, cuts=(17, 40), meta=meta(version), **offloads(version, protocol, l4_checksum=1, l4_checksum_partial=1)
    )
    [(seen, _)] = sent(bench)
    assert seen[: len(frame)] == frame


@pytest.mark.parametrize(("version", "protocol", "length"), FRAMES)
def test_full_checksums_are_computed_whatever_the_field_held(version: int, protocol: L4Protocol, length: int) -> None:
    bench = IoBench()
    frame = make(version, protocol, length)
    bench.tx(depth=64).send(without_checksum(frame), cuts=(60,), meta=meta(version), **offloads(version, protocol, l4_checksum=1))
    [(seen, _)] = sent(bench)
    assert seen[: len(frame)] == frame


@pytest.mark.parametrize(("version", "protocol", "length"), FRAMES)
@pytest.mark.parametrize("partial", [0, 1])
def test_a_port_that_finishes_checksums_gets_them_unfinished(version: int, protocol: L4Protocol, length: int, partial: int) -> None:
    bench = IoBench(WirePort(**OFFLOADING))
    frame = make(version, protocol, length)
    expected, start, offset = unfinished(frame)
    given_frame = expected if partial else without_checksum(frame)
    bench.tx(depth=64).send(given_frame, meta=meta(version), **offloads(version, protocol, l4_checksum=1, l4_checksum_partial=partial))
    [(seen, told)] = sent(bench)
    assert seen[: len(expected)] == expected
    assert told == FrameMeta(partial=True, csum_start=start, csum_offset=offset)


def test_a_padded_packet_is_finished_by_the_card() -> None:
    """A port would count the padding."""
    bench = IoBench(WirePort(**OFFLOADING))
    bench.tx().send(without_checksum(udp(20)) + b"padding", meta=meta(), **offloads(4, L4Protocol.UDP, l4_checksum=1))
    assert sent(bench) == [(udp(20) + b"padding", FrameMeta())]


def test_the_ipv4_header_checksum_alone() -> None:
    bench = IoBench()
    frame = udp(64)
    bench.tx().send(frame[:24] + b"\x12\x34" + frame[26:], l3_protocol=L3Protocol.IPV4, l3_checksum=1)
    assert [seen for seen, _ in sent(bench)] == [frame]


def test_a_udp_checksum_of_zero_is_sent_as_all_ones() -> None:
    bench = IoBench()
    zeros = Ether(src=PEER, dst=CARD) / network(4) / UDP(sport=1000, dport=2000) / Raw(bytes(2))
    frame = bytes(zeros)
    frame = frame[:42] + frame[40:42]  # with its own checksum for payload, the sum of the datagram is all ones
    bench.tx().send(frame, meta=meta(), **offloads(4, L4Protocol.UDP, l4_checksum=1))
    [(seen, _)] = sent(bench)
    assert seen[40:42] == b"\xff\xff"


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("length", "mss"), [(5000, 1448), (1448, 1448), (1449, 1448), (3000, 100), (100, 1448)])
def test_a_large_packet_leaves_a_plain_port_as_scapy_would_cut_it(version: int, length: int, mss: int) -> None:
    bench = IoBench()
    tx = bench.tx(depth=64)
    tx.send(
        without_checksum(tcp(length, version=version, flags="FPA")),
        req_id=1,
        cuts=(70, 1000) if length > 2000 else (),
        meta=meta(version, mss=mss, l4_words=8),
        **offloads(version, L4Protocol.TCP, tso=1, l4_checksum=1, l3_checksum=int(version == 4)),
    )
    seen = [frame for frame, _ in sent(bench)]
    assert seen == segments(length, mss, version=version, flags="FPA")
    assert [done.req_id for done in tx.completions()] == [1]


def test_cwr_stays_on_the_first_segment() -> None:
    bench = IoBench()
    large = offloads(4, L4Protocol.TCP, tso=1, l4_checksum=1)
    bench.tx().send(tcp(3000, flags="PAC"), cuts=(1500,), meta=meta(mss=1000, l4_words=8), **large)
    assert [frame for frame, _ in sent(bench)] == segments(3000, 1000, flags="PAC")


@pytest.mark.parametrize("version", [4, 6])
def test_a_large_packet_goes_whole_to_a_port_that_segments(version: int) -> None:
    bench = IoBench(WirePort(**OFFLOADING))
    frame = tcp(60000, version=version, flags="PAC")
    bench.tx(depth=64).send(
        without_checksum(frame), cuts=(4096,) * 14, meta=meta(version, mss=1400, l4_words=8), **offloads(version, L4Protocol.TCP, tso=1)
    )
    [(seen, told)] = sent(bench)
    expected, start, offset = unfinished(frame)
    assert seen == expected
    assert told == FrameMeta(
        partial=True, csum_start=start, csum_offset=offset, segment=1400, version=version, ecn=True, header_length=start + 32
    )


@pytest.mark.parametrize("capable", [False, True])
def test_an_absurd_segment_size_reaches_no_port(capable: bool) -> None:
    bench = IoBench(WirePort(checksum=capable, segmentation=capable))
    bench.tx().send(tcp(3000), meta=meta(mss=1), **offloads(4, L4Protocol.TCP, tso=1, l4_checksum=1))
    assert sent(bench) == []
    assert bench.engine.counters(Direction.TX)["drop_offload"] == 1


def test_the_length_in_the_ip_header_of_a_large_packet_does_not_matter() -> None:
    bench = IoBench()
    frame = tcp(3000)
    bench.tx().send(
        frame[:16] + b"\0\0" + frame[18:], meta=meta(mss=1000), **offloads(4, L4Protocol.TCP, tso=1, l4_checksum=1, l3_checksum=1)
    )
    assert [seen for seen, _ in sent(bench)] == segments(3000, 1000)


def test_the_stored_meta_applies_to_packets_that_bring_none() -> None:
    bench = IoBench()
    tx = bench.tx()
    tx.send(tcp(3000), meta=meta(mss=1000), **offloads(4, L4Protocol.TCP, tso=1))
    tx.send(udp(80))  # without offloads: does not disturb it
    tx.send(tcp(2000), **offloads(4, L4Protocol.TCP, tso=1))
    assert [frame for frame, _ in sent(bench)] == [*segments(3000, 1000), udp(80), *segments(2000, 1000)]


def test_a_new_queue_has_stored_nothing() -> None:
    bench = IoBench()
    tx = bench.tx()
    tx.send(tcp(3000), meta=meta(mss=1000), **offloads(4, L4Protocol.TCP, tso=1))
    bench.run()
    tx.destroy()
    bench.wire.take()
    tx = bench.tx()
    tx.send(tcp(2000), **offloads(4, L4Protocol.TCP, tso=1))
    assert sent(bench) == []
    assert len(tx.completions()) == 1
    assert bench.engine.counters(Direction.TX)["drop_offload"] == 1


def test_headers_under_two_tags_are_found_where_the_meta_descriptor_says() -> None:
    bench = IoBench()
    packet = Ether(src=PEER, dst=CARD) / Dot1Q(vlan=5) / Dot1Q(vlan=6) / network(4) / TCP(sport=1, dport=2) / Raw(payload(500))
    frame = bytes(packet)
    at = 14 + 8 + 20 + 16
    bench.tx().send(frame[:at] + b"\x55\x55" + frame[at + 2 :], meta=meta(l3_offset=22), **offloads(4, L4Protocol.TCP, l4_checksum=1))
    assert [seen for seen, _ in sent(bench)] == [frame]


def test_driver_memory_is_only_read() -> None:
    bench = IoBench()
    tx = bench.tx()
    frame = without_checksum(tcp(3000))
    tx.send(frame, meta=meta(mss=1000), **offloads(4, L4Protocol.TCP, tso=1, l3_checksum=1, l4_checksum=1))
    word = struct.unpack("<4I", bench.memory.read(tx.sq + 16, 16))
    address = word[2] | (word[3] & 0xFFFF) << 32
    bench.run()
    assert bench.memory.read(address, len(frame)) == frame


@settings(max_examples=200)
@given(
    frame=st.one_of(
        st.binary(min_size=14, max_size=400),
        st.builds(
            lambda base, at, junk: base[:at] + junk + base[at + len(junk) :],
            st.sampled_from([tcp(300), tcp(300, version=6), udp(100), udp(100, version=6)]),
            st.integers(12, 70),
            st.binary(min_size=1, max_size=4),
        ),
    ),
    word=st.fixed_dictionaries(
        {name: st.integers(0, 1) for name in ("tso", "l3_checksum", "l4_checksum", "l4_checksum_partial")}
        | {"l4_protocol": st.sampled_from([0, 12, 13, 31]), "l3_protocol": st.sampled_from([0, 8, 11])}
    ),
    told=st.builds(
        TxMetaDescriptor,
        l3_header_offset=st.integers(0, 255),
        l3_header_length=st.integers(0, 255),
        l4_header_words=st.integers(0, 63),
        mss_low=st.integers(0, 1023),
        mss_high=st.integers(0, 15),
    ),
    offloading=st.booleans(),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_no_offload_request_can_hurt_the_card(
    frame: bytes, word: dict[str, int], told: TxMetaDescriptor, offloading: bool, cuts: list[int]
) -> None:
    bench = IoBench(WirePort(checksum=offloading, segmentation=offloading))
    tx = bench.tx()
    tx.send(frame + bytes(300), req_id=1, cuts=cuts, meta=told, **word)
    tx.send(udp(80), req_id=2)
    seen = [frame for frame, _ in sent(bench)]
    assert seen[-1] == udp(80)
    assert [done.req_id for done in tx.completions()] == [1, 2]
    for length in map(len, seen):
        assert 60 <= length <= 1000


def test_scapy_agrees_that_segments_are_whole() -> None:
    """The comparison frames come from scapy too: here its parser judges what left the card."""
    bench = IoBench()
    bench.tx().send(tcp(2500), meta=meta(mss=1000), **offloads(4, L4Protocol.TCP, tso=1))
    whole = b""
    for frame, _ in sent(bench):
        packet = Ether(frame)
        checksum = packet[TCP].chksum
        del packet[TCP].chksum, packet[IP].chksum
        assert Ether(bytes(packet))[TCP].chksum == checksum
        whole += bytes(packet[TCP].payload)
    assert whole == payload(2500)
