from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from ena_dev.abi.admin import Direction
from ena_dev.abi.eth_io import RxCompletionExtended
from ena_dev.port.meta import FrameMeta
from ena_dev.port.wire import WirePort
from tests.support.frames import payload, tcp, udp
from tests.support.io_bench import MAC, IoBench, RxRing


def delivered(bench: IoBench, rx: RxRing) -> list[bytes]:
    bench.run()
    return [packet.data for packet in rx.receive()]


def count(bench: IoBench, name: str) -> int:
    return bench.engine.counters(Direction.RX)[name]


def test_the_worked_example_of_a_good_tcp_packet() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(1)
    bench.wire.inject(tcp(100))
    bench.run()
    status, length, req_id, _, queue, offset, flags = struct.unpack("<IHHIHBB", bench.memory.read(rx.cq, 16))
    assert status == 0x4D010C08
    assert (length, req_id, queue, offset, flags) == (len(tcp(100)), 0, 1, 0, 0)


def test_the_worked_example_of_three_buffers() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(3, 100)
    bench.wire.inject(tcp(200))
    bench.run()
    statuses = [struct.unpack("<I", bench.memory.read(rx.cq + 16 * n, 4))[0] for n in range(3)]
    assert statuses == [0x45000000, 0x41000000, 0x49010C08]
    [packet] = rx.receive()
    assert packet.data == tcp(200)
    assert [part.length for part in packet.completions] == [100, 100, len(tcp(200)) - 200]


def test_a_posted_length_of_zero_is_64_kib() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(1, 0x10000)
    bench.wire.inject(udp(9000))
    assert delivered(bench, rx) == [udp(9000)]


def test_phases_hold_over_many_laps() -> None:
    bench = IoBench()
    rx = bench.rx(depth=4)
    for n in range(30):
        rx.post(2, 64)
        bench.wire.inject(udp(n % 20 + 60))
        assert delivered(bench, rx) == [udp(n % 20 + 60)]


def test_a_ring_posted_to_its_depth_is_used_to_its_depth() -> None:
    bench = IoBench()
    rx = bench.rx(depth=32)
    rx.post(32, 9238)
    for n in range(33):
        bench.wire.inject(udp(40 + n))
    assert delivered(bench, rx) == [udp(40 + n) for n in range(32)]
    assert bench.wire.waiting() == 1
    rx.post(1)
    assert delivered(bench, rx) == [udp(72)]


def test_frames_wait_in_the_port_until_buffers_are_posted() -> None:
    bench = IoBench()
    rx = bench.rx()
    bench.wire.inject(udp(40))
    assert delivered(bench, rx) == []
    assert bench.wire.waiting() == 1
    rx.post(1)
    assert delivered(bench, rx) == [udp(40)]
    assert bench.engine.statistics().rx_overruns == 0


def test_a_frame_that_needs_more_buffers_than_are_posted_waits_for_them() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(2, 100)
    bench.wire.inject(udp(400))
    bench.wire.inject(udp(20))
    assert delivered(bench, rx) == []
    rx.post(2, 100)
    assert delivered(bench, rx) == []
    rx.post(2, 100)
    assert delivered(bench, rx) == [udp(400), udp(20)]
    assert bench.engine.statistics().rx_overruns == 0


@given(st.lists(st.sampled_from([40, 1400, 4000, 20000, 60000]), min_size=1, max_size=90), st.integers(0, 60))
@settings(max_examples=60)
def test_large_packets_come_whole_and_in_order_whatever_came_before(lengths: list[int], posted: int) -> None:
    bench = IoBench()
    rx = bench.rx(depth=512, entry=32)
    bench.engine.set_mtu(1500)
    bench.engine.set_large_receive(True)
    frames = [tcp(length, seq=number) for number, length in enumerate(lengths)]
    for frame in frames:
        large = len(frame) > 1514
        assert bench.wire.inject(frame, meta=FrameMeta(partial=large, csum_start=34, csum_offset=16, segment=1400 if large else 0))
    received: list[bytes] = []
    rx.post(posted, 4096)
    while len(received) < len(frames):
        received += delivered(bench, rx)
        rx.post(min(32, 511 - len(rx.posted)), 4096)
    assert received == frames


def test_spoiled_completions_name_no_request_or_are_malformed_and_then_all_is_well() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(3)
    bench.engine.spoil_completions(Direction.RX, wrong_id=1)
    bench.wire.inject(udp(40))
    bench.run()
    bench.engine.spoil_completions(Direction.RX, malformed=1)
    for _ in range(2):
        bench.wire.inject(udp(40))
    bench.run()
    done = [struct.unpack_from("<IHH", bench.memory.read(rx.cq + 16 * n, 16)) for n in range(3)]
    assert [(status & 0x20080, req_id >= 0x8000) for status, _, req_id in done] == [(0, True), (0x20080, False), (0, False)]


def test_more_buffers_than_a_packet_may_use_drop_it() -> None:
    bench = IoBench()
    rx = bench.rx(depth=64)
    rx.post(40, 64)
    bench.wire.inject(udp(64 * 17))
    bench.wire.inject(udp(64 * 16))
    assert delivered(bench, rx) == [udp(64 * 16)]
    assert count(bench, "drop_too_long") == 1


def test_frames_beyond_the_mtu_are_dropped() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(10)
    bench.engine.set_mtu(1500)
    bench.wire.inject(udp(1500 - 28))
    bench.wire.inject(udp(1600))
    assert delivered(bench, rx) == [udp(1500 - 28)]
    assert count(bench, "drop_too_long") == 1


def test_only_frames_for_this_card_are_received() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(10)
    mine, broadcast, multicast = udp(40), udp(41, to="ff:ff:ff:ff:ff:ff"), udp(42, to="01:00:5e:00:00:01")
    other = udp(43, to="02:5e:00:00:00:77")
    for frame in (mine, broadcast, multicast, other):
        bench.wire.inject(frame)
    assert delivered(bench, rx) == [mine, broadcast, multicast]
    assert bench.engine.statistics().rx_drops == count(bench, "drop_not_mine") == 1
    bench.engine.set_promiscuous(True)
    bench.wire.inject(other)
    assert delivered(bench, rx) == [other]


def test_runts_are_dropped() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(2)
    bench.wire.inject(MAC + b"short")
    assert delivered(bench, rx) == []
    assert count(bench, "drop_malformed") == 1


def test_a_dead_link_discards_what_comes() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(2)
    bench.engine.set_link(False)
    bench.wire.inject(udp(40))
    assert delivered(bench, rx) == []
    bench.engine.set_link(True)
    assert delivered(bench, rx) == []
    assert count(bench, "drop_link_down") == 1


def test_a_buffer_outside_of_memory_stops_the_queue_until_a_reset() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(1, ring=False)
    rx.post_at(0xDEAD0000, 2048)
    rx.post(2)
    bench.wire.inject(udp(40))
    bench.run()
    assert bench.engine.fatal
    assert bench.engine.fatal_address == 0xDEAD0000
    bench.engine.stop()
    rx = bench.rx()
    rx.post(2)
    bench.wire.inject(udp(41))
    assert delivered(bench, rx)[-1] == udp(41)


def test_a_buffer_that_reaches_beyond_memory_is_outside_of_it() -> None:
    bench = IoBench()
    end = 0x1_0000_0000 + (256 << 20)
    rx = bench.rx()
    rx.post_at(end - 2047, 2048)
    rx.ring()
    bench.run()
    assert bench.engine.fatal_address == end - 2047


def test_descriptors_of_an_older_lap_are_not_believed() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(1, 9300, ring=False)
    rx.ring(3)
    for length in (40, 41):
        bench.wire.inject(udp(length))
    assert delivered(bench, rx) == [udp(40)]
    assert not bench.engine.fatal


def test_no_more_buffers_are_taken_than_the_ring_holds() -> None:
    bench = IoBench()
    rx = bench.rx(depth=4)
    rx.post(4, 9238)
    bench.run()
    rx.post(2, 9238, ring=False)  # over descriptors that the card has read, but not used
    rx.posted |= {0: rx.posted[0], 1: rx.posted[1]}
    rx.ring()
    bench.run()
    for n in range(6):
        bench.wire.inject(udp(40 + n))
    bench.run()
    assert bench.engine.statistics().rx_packets == 6
    assert bench.engine.counters(Direction.RX)["bad_doorbells"] > 0


def test_extended_completions_name_buffer_and_time() -> None:
    bench = IoBench()
    rx = bench.rx(entry=32)
    rx.post(1)
    address = rx.posted[0]
    bench.now = 3.0
    bench.wire.inject(udp(40))
    bench.run()
    [packet] = rx.receive()
    last = packet.last
    assert isinstance(last, RxCompletionExtended)
    assert (last.buffer_low | last.buffer_high << 32, last.timestamp_low | last.timestamp_high << 32) == (address, 3_000_000_000)


def test_buffers_may_come_back_in_any_order() -> None:
    bench = IoBench()
    rx = bench.rx(depth=8)
    addresses = [bench.memory.allocate(2048) for _ in range(8)]
    for req_id in (5, 2, 7, 0):
        rx.next_id = req_id
        rx.post_at(addresses[req_id], 2048)
    rx.ring()
    for n in range(3):
        bench.wire.inject(udp(40 + n))
    bench.run()
    packets = rx.receive()
    assert [packet.last.req_id for packet in packets] == [5, 2, 7]
    assert [packet.data for packet in packets] == [udp(40 + n) for n in range(3)]


def test_all_queues_of_the_port_are_read_even_with_fewer_queues_of_the_card() -> None:
    bench = IoBench(WirePort(3))
    rx = bench.rx()
    rx.post(8)
    for queue in range(3):
        bench.wire.inject(udp(40 + queue), queue=queue)
    assert sorted(delivered(bench, rx), key=len) == [udp(40), udp(41), udp(42)]


def test_destroyed_queues_leave_their_memory_alone() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(4)
    bench.run()
    before = [bench.memory.read(address, 64) for address in rx.posted.values()]
    rx.destroy()
    bench.wire.inject(udp(40))
    bench.run()
    assert [bench.memory.read(address, 64) for address in rx.posted.values()] == before
    rx.ring()  # nobody's doorbell now
    assert bench.bar.ignored == 1


@settings(max_examples=150)
@given(
    descriptors=st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=16),
    phased=st.booleans(),
    inside=st.booleans(),
    tails=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=4),
    lengths=st.lists(st.integers(0, 9000), max_size=4),
)
def test_no_descriptor_can_hurt_the_card(
    descriptors: list[bytes], phased: bool, inside: bool, tails: list[int], lengths: list[int]
) -> None:
    bench = IoBench()
    rx = bench.rx()
    room = bench.memory.allocate(1 << 17)
    for raw in descriptors:
        if phased:
            raw = raw[:3] + bytes([raw[3] | 1]) + raw[4:]
        if inside:
            raw = raw[:8] + (room + raw[8]).to_bytes(6, "little") + raw[14:]
        rx.write(raw)
    for tail in tails:
        rx.ring(tail)
        for length in lengths:
            bench.wire.inject(MAC + payload(length))
        bench.run()
    bench.engine.stop()
    rx = bench.rx(depth=64)
    rx.post(63)
    bench.run()
    rx.receive()
    bench.wire.inject(udp(50))
    assert delivered(bench, rx)[-1] == udp(50)


def test_a_frame_for_which_the_ring_is_too_small_does_not_block_it() -> None:
    for posted in (3, 4):
        bench = IoBench()
        rx = bench.rx(depth=4)
        rx.post(posted, 64)
        bench.wire.inject(udp(400))
        bench.wire.inject(udp(20))
        assert delivered(bench, rx) == [udp(20)]
        assert count(bench, "drop_too_long") == 1


def test_a_dead_link_discards_what_has_waited_for_buffers_or_a_queue() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(1, 64)
    for n in range(3):  # the first is read, and waits for more buffers
        bench.wire.inject(udp(100 + n))
    bench.run()
    bench.engine.set_link(False)
    bench.run()
    assert count(bench, "drop_link_down") == 3
    bench.engine.stop()
    bench.wire.inject(udp(200))
    bench.run()
    bench.engine.set_link(True)
    rx = bench.rx()
    rx.post(4)
    bench.wire.inject(udp(300))
    assert delivered(bench, rx) == [udp(300)]
