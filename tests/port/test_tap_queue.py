from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import integers, lists, one_of
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from ena_dev.abi.admin import Direction
from ena_dev.abi.eth_io import TxMetaDescriptor
from tests.support.frames import CARD, PEER, payload, segments, tcp, udp, unfinished
from tests.support.io_bench import MAC
from tests.support.private_network import ip, private_network
from tests.support.tapped import NAME, Tapped

PEER_MAC = bytes.fromhex(PEER.replace(":", ""))


@pytest.fixture(autouse=True, params=[True, False], ids=["in bursts", "one by one"])
def network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Tapped, "io_uring", request.param)
    with private_network():
        yield


def large_packet(version: int, length: int = 30000) -> tuple[bytes, tuple[int, int]]:
    frame, start, offset = unfinished(tcp(length, version=version))
    return frame, (start, offset)


def test_frames_cross_both_ways() -> None:
    card = Tapped(vnet=False)
    card.linux.send(udp(100))
    assert [packet.data for packet in card.received()] == [udp(100)]
    card.tx.send(udp(77, to=PEER))
    assert card.seen() == [udp(77, to=PEER)]


def test_short_frames_are_not_padded() -> None:
    card = Tapped()
    card.tx.send(udp(1, to=PEER))
    assert card.seen() == [udp(1, to=PEER)]


@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_leaves_large_packets_whole_for_a_driver_that_takes_them(version: int) -> None:
    card = Tapped(large=True)
    frame, partial = large_packet(version)
    card.linux.send(frame, partial=partial, segment=1400, gso=1 if version == 4 else 4, header=partial[0] + 32)
    [packet] = card.received()
    assert packet.data == frame
    assert packet.last.segment_size == 1400  # type: ignore[attr-defined]
    assert packet.last.l4_checksum_partial


@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_cuts_them_for_all_others_as_the_card_would(version: int) -> None:
    card = Tapped()
    frame, partial = large_packet(version)
    card.linux.send(frame, partial=partial, segment=1400, gso=1 if version == 4 else 4, header=partial[0] + 32)
    packets = card.received()
    assert [packet.data for packet in packets] == segments(30000, 1400, version=version)
    assert all(packet.last.l4_checksum_checked and not packet.last.l4_checksum_error for packet in packets)
    assert not any(packet.last.l4_checksum_partial for packet in packets)


def test_a_large_packet_that_came_before_the_driver_changed_its_mind_is_cut_by_the_card() -> None:
    card = Tapped(large=True)
    frame, partial = large_packet(4)
    card.linux.send(frame, partial=partial, segment=1400, header=66)
    card.bench.engine.set_large_receive(False)
    assert [packet.data for packet in card.received()] == segments(30000, 1400)


@pytest.mark.parametrize("version", [4, 6])
def test_linux_takes_large_packets_from_the_card(version: int) -> None:
    card = Tapped()
    frame = tcp(30000, version=version, to=PEER)
    size = 20 if version == 4 else 40
    meta = TxMetaDescriptor(l3_header_offset=14, l3_header_length=size, l4_header_words=8, mss_low=1400 & 0x3FF, mss_high=1400 >> 10)
    card.tx.send(frame, cuts=(4096,) * 7, meta=meta, l3_protocol=8 if version == 4 else 11, l4_protocol=12, tso=1, l4_checksum=1)
    [seen] = card.seen()
    assert seen == unfinished(frame)[0]


def test_the_sockets_of_linux_accept_what_the_card_sends_and_the_card_what_they_send() -> None:
    """The kernel's own stack is the judge of the checksums, finished or not."""
    card = Tapped(mtu=9000)
    ip(f"addr add 192.0.2.1/24 dev {NAME}")
    ip(f"link set {NAME} address {PEER}")
    ip(f"neigh add 192.0.2.2 lladdr {CARD} dev {NAME}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
        program.bind(("192.0.2.1", 5000))
        program.setblocking(False)
        program.sendto(payload(5000), ("192.0.2.2", 7))
        datagrams = [packet for packet in card.received() if packet.last.l4_protocol == 13]
        assert Ether(datagrams[0].data)[UDP].payload.load == payload(5000)
        assert datagrams[0].last.l4_checksum_checked and not datagrams[0].last.l4_checksum_error
        answer = bytes(Ether(src=CARD, dst=PEER) / IP(src="192.0.2.2", dst="192.0.2.1") / UDP(sport=7, dport=5000) / Raw(payload(3000)))
        for n, partial in enumerate((None, 1, 0)):
            offloads = {} if partial is None else {"l3_protocol": 8, "l4_protocol": 13, "l4_checksum": 1, "l4_checksum_partial": partial}
            frame = unfinished(answer)[0] if partial else answer
            card.tx.send(frame, req_id=n, meta=TxMetaDescriptor(l3_header_offset=14, l3_header_length=20), **offloads)
            card.bench.run()
            assert program.recv(1 << 16) == payload(3000)


def test_nothing_is_cut_off_when_the_posted_buffers_are_too_small() -> None:
    card = Tapped(vnet=False, mtu=9000, depth=16)
    for n in range(4):
        card.linux.send(udp(8000 + n))
    assert [packet.data for packet in card.received()] == [udp(8000 + n) for n in range(4)]


def test_frames_stay_in_the_interface_while_no_buffers_are_posted() -> None:
    card = Tapped(vnet=False, depth=16)
    frames = [udp(40 + n) for n in range(40)]
    for frame in frames:
        card.linux.send(frame)
    got = []
    for _ in range(5):
        got += [packet.data for packet in card.received()]
        card.rx.post(len(got) + 15 - card.rx.tail, 4096)
    assert got == frames
    assert card.bench.engine.statistics().rx_overruns == 0


def test_an_interface_that_is_down_costs_frames_and_nothing_else() -> None:
    card = Tapped()
    ip(f"link set {NAME} down")
    card.tx.send(udp(60), req_id=1)
    card.bench.run()
    assert len(card.tx.completions()) == 1
    assert card.bench.engine.counters(Direction.TX)["drop_port_error"] == 1
    assert card.tap.counters()["refused"] == 1
    ip(f"link set {NAME} up")
    card.tx.send(udp(60, to=PEER), req_id=2)
    assert udp(60, to=PEER) in card.seen()
    card.linux.send(udp(61))
    assert [packet.data for packet in card.received()] == [udp(61)]
    assert not card.bench.engine.port_gone


def test_an_interface_that_is_removed_is_noticed() -> None:
    card = Tapped()
    ip(f"link del {NAME}")
    card.bench.run()
    assert card.bench.engine.port_gone
    card.tx.send(udp(60))
    card.bench.run()
    assert len(card.tx.completions()) == 1


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [4096, 10])
def test_a_tun_has_an_ethernet_header_on_the_card_side_only(version: int, size: int) -> None:
    card = Tapped(tun=True, size=size)  # in buffers of 10 bytes the made-up header is split too
    packet = udp(50, version=version)[14:]
    card.linux.send(packet)
    [got] = card.received()
    kind = b"\x08\x00" if version == 4 else b"\x86\xdd"
    assert got.data == MAC + bytes.fromhex("0200000000fe") + kind + packet
    assert got.last.l4_checksum_checked and not got.last.l4_checksum_error
    card.tx.send(bytes(12) + kind + packet)
    assert card.seen() == [packet]


def test_a_tun_carries_large_packets_and_partial_checksums_too() -> None:
    card = Tapped(tun=True, large=True)
    frame, (start, offset) = large_packet(4)
    card.linux.send(frame[14:], partial=(start - 14, offset), segment=1400, header=52)
    [got] = card.received()
    assert got.data[14:] == frame[14:]
    assert got.last.segment_size == 1400  # type: ignore[attr-defined]
    whole = tcp(20000, to=PEER)
    meta = TxMetaDescriptor(l3_header_offset=14, l3_header_length=20, l4_header_words=8, mss_low=1400 & 0x3FF, mss_high=1400 >> 10)
    card.tx.send(whole, meta=meta, l3_protocol=8, l4_protocol=12, tso=1, l4_checksum=1)
    assert card.seen() == [unfinished(whole)[0][14:]]


# -- bursts --------------------------------------------------------------------------------------------------------------


@given(sizes=lists(one_of(integers(1, 200), integers(1900, 2200), integers(1, 8900)), min_size=1, max_size=80), posted=integers(1, 7))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_frames_cross_both_ways_unchanged_and_in_order(sizes: list[int], posted: int) -> None:
    """Small ones in bursts, large ones alone, and few buffers to begin with."""
    card = Tapped(mtu=9000, depth=128, vnet=True)
    try:
        frames = [udp(size, sport=n) for n, size in enumerate(sizes)]
        for frame in frames:
            card.linux.send(frame)
        assert [packet.data for packet in card.received()] == frames
        for begin in range(0, len(frames), 16):
            for n, frame in enumerate(frames[begin : begin + 16]):
                card.tx.send(PEER_MAC + frame[6:], req_id=n, cuts=(20,) * (posted % 3) if len(frame) > 60 else ())
            assert card.seen() == [PEER_MAC + frame[6:] for frame in frames[begin : begin + 16]]
            assert [done.req_id for done in card.tx.completions()] == list(range(len(frames[begin : begin + 16])))
        assert card.bench.engine.counters(Direction.TX)["packets"] == len(frames)
    finally:
        card.tap.close()


def test_frames_read_ahead_wait_for_buffers_in_order() -> None:
    card = Tapped(depth=64)
    frames = [udp(40 + n) for n in range(300)]
    for frame in frames:
        card.linux.send(frame)
    got = []
    while batch := [packet.data for packet in card.received()]:
        got += batch
        card.rx.post(1 + len(got) % 7, 2048)
    assert got == frames


def test_a_large_packet_amid_small_ones_arrives_whole_and_in_its_place() -> None:
    card = Tapped(large=True)
    large, partial = large_packet(4)
    expected = []
    for n in range(90):
        if n % 30 == 7:
            card.linux.send(large, partial=partial, segment=1400, header=66)
            expected.append(large)
        card.linux.send(udp(n))
        expected.append(udp(n))
    got = []
    while batch := [packet.data for packet in card.received()]:
        got += batch
        card.rx.post(20, 4096)
    assert got == expected


def test_what_a_burst_loses_is_counted_as_lost_and_no_longer_as_sent() -> None:
    card = Tapped()
    ip(f"link set {NAME} down")
    for n in range(40):
        card.tx.send(udp(60), req_id=n)
    card.bench.run()
    counters = card.bench.engine.counters(Direction.TX)
    assert len(card.tx.completions()) == 40
    assert (counters["drop_port_error"], counters["packets"], counters["bytes"]) == (40, 0, 0)
    assert card.tap.counters()["refused"] == 40
    ip(f"link set {NAME} up")
    card.tx.send(udp(60, to=PEER))
    assert udp(60, to=PEER) in card.seen()
    assert card.bench.engine.counters(Direction.TX)["packets"] == 1


def test_a_large_packet_cut_by_the_card_is_lost_as_one() -> None:
    card = Tapped(vnet=False)
    card.tx.send(udp(60, to=PEER))
    ip(f"link set {NAME} down")
    meta = TxMetaDescriptor(l3_header_offset=14, l3_header_length=20, l4_header_words=8, mss_low=1000)
    card.tx.send(tcp(30000, to=PEER), cuts=(4096,) * 7, meta=meta, l3_protocol=8, l4_protocol=12, tso=1, l4_checksum=1)
    card.bench.run()
    counters = card.bench.engine.counters(Direction.TX)
    assert (counters["packets"], counters["drop_port_error"]) == (0, 2)


def test_an_interface_that_is_removed_amid_traffic_is_noticed_and_costs_frames_only() -> None:
    card = Tapped(depth=64)
    for n in range(200):
        card.linux.send(udp(n))
    before = card.received()
    for n in range(30):
        card.tx.send(udp(60), req_id=n, ring=n == 29)
    ip(f"link del {NAME}")
    card.rx.post(60, 4096)
    after = card.received()
    got = [packet.data for packet in [*before, *after]]
    assert got == [udp(n) for n in range(len(got))]
    assert card.bench.engine.port_gone
    assert len(card.tx.completions()) == 30
    assert card.bench.engine.counters(Direction.TX)["drop_port_error"] == 30


def test_a_data_thread_takes_over_what_another_thread_opened() -> None:
    card = Tapped()
    card.linux.send(udp(50))
    assert [packet.data for packet in card.received()] == [udp(50)]
    card.bench.executor.start()
    try:
        for n in range(50):
            card.linux.send(udp(51 + n))
        got: list[bytes] = []
        end = time.monotonic() + 10
        while len(got) < 50 and time.monotonic() < end:
            got += [packet.data for packet in card.rx.receive()]
    finally:
        card.bench.executor.stop()
    assert got == [udp(51 + n) for n in range(50)]
