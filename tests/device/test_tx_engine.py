from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ena_dev.abi.admin import Direction
from ena_dev.abi.eth_io import TxDescriptor, TxMetaDescriptor
from ena_dev.port.wire import WirePort
from tests.support.frames import payload, udp
from tests.support.io_bench import IoBench, TxRing


def sent(bench: IoBench) -> list[bytes]:
    bench.run()
    return bench.wire.take()


def test_a_frame_is_gathered_from_odd_pieces_of_memory() -> None:
    bench = IoBench()
    tx = bench.tx()
    tx.send(udp(1400), req_id=9, cuts=(1, 13, 21, 333, 7))
    assert sent(bench) == [udp(1400)]
    assert [done.req_id for done in tx.completions()] == [9]


def test_empty_buffers_add_nothing() -> None:
    bench = IoBench()
    tx = bench.tx()
    tx.send(udp(100), cuts=(0, 40, 0))
    assert sent(bench) == [udp(100)]


def test_the_worked_example_of_a_checksummed_packet_is_understood() -> None:
    """Meta 05B04000 and data 190005EA 01424C18, but for buffer length and address."""
    bench = IoBench()
    tx = bench.tx()
    frame = udp(200)
    address = bench.place(frame)
    tx.write(struct.pack("<4I", 0x05B04000, 0, 0x00000E14, 0))
    tx.write(struct.pack("<4I", 0x19000000 | len(frame), 0x01424C18 & ~0x6000 & ~0x20000, address & 0xFFFFFFFF, 0x60000000 | address >> 32))
    tx.ring()
    assert sent(bench) == [frame]
    assert [done.req_id for done in tx.completions()] == [5]


def test_short_frames_are_padded_as_on_a_wire() -> None:
    bench = IoBench()
    bench.tx().send(udp(1))
    assert sent(bench) == [udp(1) + bytes(60 - len(udp(1)))]


def test_phases_hold_over_many_laps() -> None:
    bench = IoBench()
    tx = bench.tx(depth=4)
    for n in range(50):
        tx.send(udp(n % 40 + 20), req_id=n % 4)
        assert sent(bench) == [udp(n % 40 + 20)]
        assert [done.req_id for done in tx.completions()] == [n % 4]


def test_indices_wrap_at_16_bits() -> None:
    bench = IoBench()
    tx = bench.tx(depth=4096)
    address = bench.place(udp())
    descriptor = TxDescriptor(length=len(udp()), first=1, last=1, address_low=address & 0xFFFFFFFF, address_high=address >> 32)
    for _ in range(17):
        descriptor.phase = tx.phase
        bench.memory.write(tx.sq, bytes(descriptor) * 4096)
        tx.tail += 4096
        tx.ring()
        bench.run()
        assert len(bench.wire.take()) == len(tx.completions()) == 4096


def test_a_ring_full_to_its_depth_is_full_and_not_empty() -> None:
    bench = IoBench()
    tx = bench.tx(depth=8)
    for n in range(8):
        tx.send(udp(30 + n), req_id=4 * n, ring=False)
    tx.ring()
    assert len(sent(bench)) == 8
    assert [done.req_id for done in tx.completions()] == [4 * n for n in range(8)]  # beyond the depth: an opaque cookie


def test_a_tail_beyond_the_ring_sends_what_the_ring_holds() -> None:
    bench = IoBench()
    tx = bench.tx(depth=4)
    for n in range(4):
        tx.send(udp(30 + n), ring=False)
    tx.ring(4 + 8)  # the same phase two laps on
    assert sent(bench) == [udp(30 + n) for n in range(4)]
    assert len(tx.completions()) == 4


def test_a_ring_full_of_one_packet_without_end_is_given_back() -> None:
    bench = IoBench()
    tx = bench.tx(depth=8)
    address = bench.place(udp())
    for n in range(8):
        descriptor = TxDescriptor(length=10, first=n == 0, phase=1, address_low=address & 0xFFFFFFFF, address_high=address >> 32)
        descriptor.req_id_low = 6
        tx.write(bytes(descriptor))
    tx.ring()
    assert sent(bench) == []
    assert [done.req_id for done in tx.completions()] == [6]
    tx.send(udp(50))
    assert sent(bench) == [udp(50)]


@pytest.mark.parametrize("req_id", [1023, 1024, 0xABCD, 0xFFFF])
def test_all_16_bits_of_a_request_come_back(req_id: int) -> None:
    bench = IoBench()
    tx = bench.tx()
    tx.send(udp(50), req_id=req_id)
    bench.run()
    assert [done.req_id for done in tx.completions()] == [req_id]


def test_a_doorbell_rung_twice_sends_once() -> None:
    bench = IoBench()
    tx = bench.tx()
    tx.send(udp(50))
    tx.ring()
    bench.run()
    tx.ring()
    assert len(sent(bench)) == 1


def test_a_doorbell_of_32_bits_counts_by_its_low_half() -> None:
    bench = IoBench()
    tx = bench.tx()
    tx.send(udp(50), ring=False)
    bench.bar.write(bench.engine.doorbell_offset(Direction.TX, 0), 0x7FFF0001)
    assert len(sent(bench)) == 1


def test_a_packet_without_its_last_descriptor_waits_for_it() -> None:
    bench = IoBench()
    tx = bench.tx()
    tx.send(udp(100), cuts=(50, 20), ring=False)
    tx.ring(2)
    assert sent(bench) == []
    tx.ring(3)
    assert sent(bench) == [udp(100)]


def test_descriptors_of_an_older_lap_are_not_believed() -> None:
    bench = IoBench()
    tx = bench.tx()
    tx.send(udp(50), ring=False)
    tx.ring(5)
    assert len(sent(bench)) == 1
    assert bench.engine.counters(Direction.TX)["bad_doorbells"] == 1
    tx.send(udp(60))
    assert len(sent(bench)) == 1


@pytest.mark.parametrize("pieces", [21, 22])
def test_more_buffers_than_offered_are_taken_up_to_two(pieces: int) -> None:
    bench = IoBench()
    tx = bench.tx(depth=32)
    tx.send(udp(1000), cuts=(10,) * (pieces - 1), req_id=3)
    assert sent(bench) == ([udp(1000)] if pieces <= 21 else [])
    assert [done.req_id for done in tx.completions()] == [3]
    assert bench.engine.counters(Direction.TX)["drop_malformed"] == (pieces > 21)


def test_a_broken_chain_is_completed_and_the_next_packet_goes() -> None:
    bench = IoBench()
    tx = bench.tx()
    address = bench.place(udp())
    tx.write(bytes(TxDescriptor(length=60, first=1, phase=1, address_low=address & 0xFFFFFFFF, address_high=address >> 32, req_id_low=1)))
    tx.write(bytes(TxDescriptor(length=60, last=1, first=0, phase=1, address_low=address & 0xFFFFFFFF, address_high=address >> 32, meta=1)))
    tx.write(bytes(TxDescriptor(length=60, first=1, phase=1, address_low=address & 0xFFFFFFFF, address_high=address >> 32, req_id_low=2)))
    tx.send(udp(70), req_id=3)  # begins while 2 has no end
    assert sent(bench) == [udp(70)]
    assert [done.req_id for done in tx.completions()] == [1, 2, 3]
    assert bench.engine.statistics().tx_drops == 2


def test_runts_and_frames_beyond_the_largest_mtu_are_dropped_and_completed() -> None:
    bench = IoBench()
    tx = bench.tx()
    tx.send(b"short", req_id=1)
    tx.send(payload(9300), req_id=2)
    assert sent(bench) == []
    assert [done.req_id for done in tx.completions()] == [1, 2]
    counters = bench.engine.counters(Direction.TX)
    assert (counters["drop_malformed"], counters["drop_too_long"]) == (1, 1)


def test_an_address_that_nobody_owns_stops_the_queue_until_a_reset() -> None:
    bench = IoBench()
    tx = bench.tx()
    tx.send(udp(30), req_id=1)
    tx.write(bytes(TxDescriptor(length=60, first=1, last=1, phase=1, address_low=0xDEAD0000)))
    tx.send(udp(40), req_id=2)
    assert sent(bench) == [udp(30)]
    assert bench.engine.fatal
    assert bench.engine.fatal_address == 0xDEAD0000
    bench.engine.stop()
    assert not bench.engine.fatal
    again = bench.tx()
    again.send(udp(50))
    assert sent(bench) == [udp(50)]


def test_extended_completions_carry_the_time() -> None:
    bench = IoBench()
    tx = bench.tx(entry=16)
    bench.now = 7.5
    tx.send(udp(30), req_id=2)
    bench.run()
    raw = bench.memory.read(tx.cq, 16)
    assert struct.unpack("<HBBHHQ", raw) == (2, 0, 1, 0, 1, 7_500_000_000)


def test_a_dead_link_completes_and_discards() -> None:
    bench = IoBench()
    tx = bench.tx()
    bench.engine.set_link(False)
    tx.send(udp(30), req_id=2)
    assert sent(bench) == []
    assert len(tx.completions()) == 1
    assert bench.engine.counters(Direction.TX)["drop_link_down"] == 1


def test_withheld_completions_never_come() -> None:
    bench = IoBench()
    tx = bench.tx()
    bench.engine.withhold_tx_completions(2)
    for n in range(4):
        tx.send(udp(30 + n), req_id=n)
    assert len(sent(bench)) == 4
    assert [done.req_id for done in tx.completions()] == [2, 3]


def test_spoiled_completions_name_no_request_or_are_malformed_and_then_all_is_well() -> None:
    bench = IoBench()
    tx = bench.tx()
    bench.engine.spoil_completions(Direction.TX, wrong_id=1)
    tx.send(udp(30), req_id=7)
    bench.run()
    bench.engine.spoil_completions(Direction.TX, malformed=1)
    for n in (8, 9):
        tx.send(udp(30), req_id=n)
    bench.run()
    raw = bench.memory.read(tx.cq, 24)
    assert [(int.from_bytes(raw[at : at + 2], "little"), raw[at + 3]) for at in (0, 8, 16)] == [(0xFFFF - 7, 1), (8, 0xC1), (9, 1)]


def test_large_completions_are_stamped_by_the_cards_own_clock() -> None:
    bench = IoBench()
    tx, rx = bench.tx(entry=16), bench.rx(entry=32)
    rx.post(2)
    noon = 1_700_000_000_000_000_000
    bench.now = 5.0
    for offset in (noon, -2_000_000_000):
        bench.engine.set_clock_offset(offset)
        tx.send(udp(30))
        bench.wire.inject(udp(30))
        bench.run()
    sent = [int.from_bytes(bench.memory.read(tx.cq + at + 8, 8), "little") for at in (0, 16)]
    received = [done.timestamp_low | done.timestamp_high << 32 for packet in rx.receive() for done in packet.completions]
    assert sent == received == [noon + 5_000_000_000, 3_000_000_000]


def test_a_full_port_costs_the_frame_and_not_the_completion() -> None:
    bench = IoBench()
    tx = bench.tx(depth=8192)
    frame = udp()
    for _ in range(4100):
        tx.send(frame, ring=False)
    tx.ring()
    bench.run()
    assert len(tx.completions()) == 4100
    assert bench.engine.counters(Direction.TX)["drop_port_full"] == 4
    assert bench.engine.statistics().tx_packets == 4096


def test_queues_find_their_port_queues_in_the_order_of_their_indices() -> None:
    bench = IoBench(WirePort(2))
    rings: list[TxRing] = [bench.tx(index) for index in (3, 9)]
    for n, ring in enumerate(rings):
        ring.send(udp(30 + n))
    bench.run()
    assert (bench.wire.take(queue=0), bench.wire.take(queue=1)) == ([udp(30)], [udp(31)])


def test_a_step_returns_its_budget_so_that_others_get_their_turn() -> None:
    bench = IoBench(budget=4)
    tx = bench.tx(depth=64)
    frame = udp()
    for _ in range(40):
        tx.send(frame, ring=False)
    tx.ring()
    bench.executor.round(0)
    assert 0 < len(bench.wire.take()) <= 4 * 4  # a few passes of one round
    bench.run()
    assert len(tx.completions()) == 40


def test_offloads_without_a_meta_descriptor_use_the_stored_one() -> None:
    bench = IoBench()
    tx = bench.tx()
    tx.send(udp(30), meta=TxMetaDescriptor(l3_header_offset=14, l3_header_length=20))
    tx.send(udp(31))
    assert sent(bench) == [udp(30), udp(31)]


@settings(max_examples=150)
@given(
    words=st.lists(st.tuples(*[st.integers(0, 0xFFFFFFFF)] * 4), min_size=1, max_size=16),
    phased=st.booleans(),
    tails=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=4),
    inside=st.booleans(),
)
def test_no_descriptor_can_hurt_the_card(words: list[tuple[int, ...]], phased: bool, tails: list[int], inside: bool) -> None:
    bench = IoBench()
    tx = bench.tx()
    somewhere = bench.place(udp(3000))
    for word in words:
        first = word[0] | 1 << 24 if phased else word[0]
        place = (somewhere + (word[2] & 0xFFF), somewhere >> 32) if inside else (word[2], word[3])
        tx.write(struct.pack("<4I", first, word[1], place[0] & 0xFFFFFFFF, place[1]))
    for tail in tails:
        tx.ring(tail)
        bench.run()
    bench.engine.stop()
    bench.wire.take()
    again = bench.tx()
    again.send(udp(50), req_id=1)
    assert sent(bench) == [udp(50)]
    assert [done.req_id for done in again.completions()] == [1]
