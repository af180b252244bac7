from __future__ import annotations

import pytest

from ena_dev.abi.admin import Direction
from ena_dev.abi.eth_io import TxDescriptor
from ena_dev.bus.executor import Executor
from ena_dev.device.interfaces import RssSpec
from ena_dev.errors import BusError, UsageError
from ena_dev.packet.toeplitz import SYMMETRIC_KEY
from ena_dev.port.wire import WirePort
from tests.support.frames import udp
from tests.support.io_bench import MAC, UNMASK, UNMASK_KEEPING_DELAYS, IoBench


def test_a_pair_carries_frames_both_ways() -> None:
    bench = IoBench()
    rx, tx = bench.rx(), bench.tx()
    rx.post(4)
    for n in range(3):
        bench.wire.inject(udp(40 + n))
        tx.send(udp(60 + n), req_id=n)
    bench.run()
    assert [packet.data for packet in rx.receive()] == [udp(40 + n) for n in range(3)]
    assert bench.wire.take() == [udp(60 + n) for n in range(3)]
    assert len(tx.completions()) == 3


def test_the_engine_runs_in_a_thread_of_its_own() -> None:
    bench = IoBench()
    rx, tx = bench.rx(), bench.tx()
    rx.post(15)
    fd = bench.vectors[1].eventfd_sink()
    rx.unmask(UNMASK)
    bench.executor.start()
    try:
        bench.wire.inject(udp(40))
        tx.send(udp(60))
        got: list[bytes] = []
        for _ in range(2000):
            got += [packet.data for packet in rx.receive()] + bench.wire.take()
            if len(got) == 2:
                break
            with bench.executor.held():
                pass
        assert sorted(got) == sorted([udp(40), udp(60)])
        rx.destroy()
        tx.destroy()
    finally:
        bench.executor.stop()
    assert fd >= 0
    assert bench.vectors[1].drain()


# -- interrupts ----------------------------------------------------------------------------------------------------------


def test_completions_interrupt_once_and_the_vector_masks_itself() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(10)
    rx.unmask()
    bench.run()
    for _ in range(5):
        bench.wire.inject(udp(40))
    bench.run()
    assert bench.vectors[1].sent == 1
    assert bench.vectors[1].masked
    bench.wire.inject(udp(40))
    bench.run()
    assert bench.vectors[1].sent == 1
    rx.unmask()  # a completion came meanwhile
    bench.run()
    assert bench.vectors[1].sent == 2


def test_only_the_queue_that_received_interrupts() -> None:
    bench = IoBench()
    first, second = bench.rx(1, vector=1), bench.rx(2, vector=2)
    for table, ring in ((1, first), (2, second)):
        ring.post(10)
        bench.engine.set_rss(RssSpec(SYMMETRIC_KEY, 0, (table,)))
        first.unmask()
        second.unmask()
        bench.run()
        bench.wire.inject(udp(40))
        bench.run()
    assert [vector.sent for vector in bench.vectors[1:3]] == [1, 1]


def test_a_polled_queue_never_interrupts() -> None:
    bench = IoBench()
    rx = bench.rx(vector=None)
    rx.post(2)
    bench.bar.write(bench.engine.unmask_offset(None), UNMASK)
    bench.wire.inject(udp(40))
    bench.run()
    assert len(rx.receive()) == 1
    assert all(vector.sent == 0 for vector in bench.vectors)


def test_each_kind_of_completion_has_its_delay() -> None:
    bench = IoBench()
    rx, tx = bench.rx(), bench.tx()
    rx.post(10)
    rx.unmask(UNMASK | 20 | 64 << 15)
    bench.run()
    tx.send(udp(40))
    bench.run(63e-6)
    assert bench.vectors[1].sent == 0
    bench.run(1e-6)
    assert bench.vectors[1].sent == 1
    rx.unmask(UNMASK_KEEPING_DELAYS)
    bench.run()
    bench.wire.inject(udp(40))
    bench.run(19e-6)
    assert bench.vectors[1].sent == 1
    bench.run(1e-6)
    assert bench.vectors[1].sent == 2


def test_one_interrupt_tells_of_a_whole_burst_of_sends() -> None:
    bench = IoBench()
    tx = bench.tx(depth=64)
    tx.unmask(UNMASK)
    bench.run()
    for n in range(40):
        tx.send(udp(40), req_id=n, ring=False)
    tx.ring()
    bench.run()
    assert bench.vectors[1].sent == 1
    assert len(tx.completions()) == 40


def test_lost_interrupts_are_counted_and_the_vector_is_masked_all_the_same() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(10)
    bench.engine.lose_interrupts(1)
    rx.unmask(UNMASK)
    bench.run()
    bench.wire.inject(udp(40))
    bench.run()
    assert (bench.vectors[1].sent, bench.vectors[1].lost, bench.vectors[1].masked) == (0, 1, True)


def test_a_lost_interrupt_is_one_of_whichever_vector_sends_first_or_of_the_one_named() -> None:
    bench = IoBench()
    tx = [bench.tx(0, vector=1), bench.tx(1, vector=2)]

    def sent_after_sending(on: int) -> list[int]:
        for ring in tx:
            ring.unmask(UNMASK)
        bench.run()
        before = [vector.sent for vector in bench.vectors[1:3]]
        tx[on].send(udp(40))
        bench.run()
        return [vector.sent - was for vector, was in zip(bench.vectors[1:3], before, strict=True)]

    bench.engine.lose_interrupts(1)
    assert (sent_after_sending(1), sent_after_sending(1), sent_after_sending(0)) == ([0, 0], [0, 1], [1, 0])
    bench.engine.lose_interrupts(1, vector=2)
    assert (sent_after_sending(0), sent_after_sending(1), sent_after_sending(1)) == ([1, 0], [0, 0], [0, 1])
    bench.engine.lose_interrupts(5)
    bench.engine.stop()
    assert bench.vectors[1].lost == 0 and bench.vectors[2].lost == 2
    for vector in (0, 99):
        with pytest.raises(UsageError, match="not for queues"):
            bench.engine.lose_interrupts(1, vector=vector)


def test_a_vector_is_masked_again_when_its_queues_are_gone() -> None:
    bench = IoBench()
    rx, tx = bench.rx(), bench.tx()
    rx.post(4)
    rx.unmask(UNMASK)
    bench.run()
    rx.destroy()
    assert not bench.vectors[1].masked
    tx.destroy()
    assert bench.vectors[1].masked


# -- queues --------------------------------------------------------------------------------------------------------------


def test_offsets_follow_the_layout_of_the_bar() -> None:
    engine = IoBench().engine
    assert engine.doorbell_offset(Direction.TX, 3) == 0x1018
    assert engine.doorbell_offset(Direction.RX, 3) == 0x101C
    assert engine.unmask_offset(2) == 0x2008
    assert engine.unmask_offset(None) == 0x3FFC


def test_rings_outside_of_memory_are_refused() -> None:
    bench = IoBench()
    end = 0x1_0000_0000 + (256 << 20)
    with pytest.raises(BusError, match="not mapped"):
        bench.engine.create_cq(0, 1, 4, 256, end - 256 * 16 + 8)
    with pytest.raises(BusError, match="multiple"):
        bench.engine.create_cq(0, 1, 4, 256, end - 8191)
    bench.engine.create_cq(0, 1, 4, 256, bench.memory.allocate(4096))
    with pytest.raises(BusError, match="not mapped"):
        bench.engine.create_sq(0, Direction.RX, 0, 256, 0xFFFF_FFFF_0000)


def test_what_is_not_there_can_not_be_named() -> None:
    bench = IoBench()
    with pytest.raises(UsageError):
        bench.engine.destroy_sq(0, Direction.RX)
    with pytest.raises(UsageError):
        bench.engine.destroy_cq(300)
    with pytest.raises(UsageError):
        bench.engine.create_sq(0, Direction.TX, 5, 16, 0x1_0000_0000)
    with pytest.raises(UsageError):
        bench.engine.create_cq(0, 5, 4, 16, 0x1_0000_0000)
    rx = bench.rx()
    with pytest.raises(UsageError):
        bench.engine.destroy_cq(rx.index)


def test_a_card_goes_up_and_down_many_times_under_traffic() -> None:
    bench = IoBench()
    for n in range(200):
        rx, tx = bench.rx(), bench.tx()
        rx.post(8)
        bench.wire.inject(udp(40))
        tx.send(udp(50), req_id=n)
        if n % 3:
            bench.run()
            assert rx.receive() and tx.completions()
        if n % 2:
            rx.destroy()
            tx.destroy()
        else:
            bench.engine.stop()
        for ring in (rx, tx):
            bench.memory.free(ring.sq)
            bench.memory.free(ring.cq)


def test_stop_forgets_queues_and_negotiation_but_no_counter() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(4)
    bench.wire.inject(udp(40))
    bench.run()
    bench.engine.set_large_receive(True)
    bench.engine.stop()
    rx.ring()
    bench.wire.inject(udp(41))
    bench.run()
    assert bench.engine.statistics().rx_packets == 1
    assert bench.wire.waiting() == 1  # for the next driver


def test_after_a_bad_address_no_queue_touches_memory() -> None:
    bench = IoBench()
    rx, tx = bench.rx(), bench.tx()
    other = bench.tx(2)
    rx.post(4)
    tx.write(bytes(TxDescriptor(length=60, first=1, last=1, phase=1, address_low=0xDEAD0000)))
    tx.ring()
    bench.run()
    assert bench.engine.fatal
    other.send(udp(40))
    bench.wire.inject(udp(40))
    bench.run()
    assert (rx.receive(), tx.completions(), other.completions()) == ([], [], [])
    assert bench.wire.take() == []


def test_a_closed_engine_leaves_bar_and_executor() -> None:
    bench = IoBench(vectors=2)
    bench.rx().post(4)
    bench.engine.close()
    bench.engine.close()
    bench.wire.inject(udp(40))
    bench.run()
    bench.bar.write(bench.engine.unmask_offset(1), UNMASK)
    assert bench.bar.ignored == 1


def test_the_counters_add_up_over_queues_that_are_gone() -> None:
    bench = IoBench()
    rx, tx = bench.rx(), bench.tx()
    rx.post(4)
    tx.send(udp(100))
    bench.wire.inject(udp(40))
    bench.wire.inject(udp(40, to="02:00:00:00:00:99"))
    bench.run()
    before = bench.engine.statistics()
    assert (before.tx_packets, before.tx_bytes) == (1, len(udp(100)))
    assert (before.rx_packets, before.rx_bytes, before.rx_drops, before.rx_overruns) == (1, len(udp(40)), 1, 0)
    rx.destroy()
    tx.destroy()
    assert bench.engine.statistics() == before


def test_a_port_is_told_where_each_hash_belongs() -> None:
    class Steered(WirePort):
        told: tuple[bytes, int, list[int]] | None = None

        def steer(self, key: bytes, initial: int, table: object) -> None:
            self.told = (key, initial, list(table))  # type: ignore[call-overload]

    port = Steered(2)
    bench = IoBench(port)
    bench.engine.set_rss(RssSpec(SYMMETRIC_KEY, 5, (7, 4, 7, 99)))
    bench.rx(4)
    assert port.told is None
    bench.rx(7, vector=2)
    assert port.told == (SYMMETRIC_KEY, 5, [1, 0, 1, 0])


def test_two_cards_need_no_more_than_one_executor() -> None:
    executor = Executor()
    first, second = IoBench(executor=executor), IoBench(executor=executor, mac=MAC[:5] + b"\x09")
    first.tx().send(udp(40))
    second.tx().send(udp(41))
    first.run()
    assert first.wire.take() == [udp(40)]
    assert second.wire.take() == [udp(41)]
