from __future__ import annotations

import pytest

from ena_dev.device.interfaces import DataFaults
from tests.support.frames import udp
from tests.support.io_bench import IoBench

FRAMES = [udp(1 + n % 50, sport=n) for n in range(400)]
PADDED = [frame.ljust(60, b"\0") for frame in FRAMES]


def received(faults: DataFaults, seconds: float = 0.0) -> list[bytes]:
    bench = IoBench()
    rx = bench.rx(depth=2048)
    rx.post(2000)
    bench.engine.set_faults(faults)
    for frame in FRAMES:
        bench.wire.inject(frame)
    bench.run(seconds)
    return [packet.data for packet in rx.receive()]


def sent(faults: DataFaults, seconds: float = 0.0) -> list[bytes]:
    bench = IoBench()
    tx = bench.tx(depth=512)
    bench.engine.set_faults(faults)
    for frame in FRAMES:
        tx.send(frame, ring=False)
    tx.ring()
    bench.run(seconds)
    assert len(tx.completions()) == len(FRAMES)
    return bench.wire.take()


@pytest.mark.parametrize("way", [received, sent])
def test_loss_takes_its_share_and_repeats_with_its_seed(way: object) -> None:
    assert callable(way)
    first, again, other = way(DataFaults(seed=1, loss=0.3)), way(DataFaults(seed=1, loss=0.3)), way(DataFaults(seed=2, loss=0.3))
    assert first == again != other
    assert 200 < len(first) < 340


@pytest.mark.parametrize("way", [received, sent])
def test_duplicates_are_exact_copies(way: object) -> None:
    assert callable(way)
    seen = way(DataFaults(duplication=1.0))
    assert sorted(seen) == sorted([frame for frame in (PADDED if way is sent else FRAMES) for _ in range(2)])


def test_a_delayed_frame_comes_when_its_time_has_come() -> None:
    assert received(DataFaults(delay=0.010), 0.009) == []
    assert received(DataFaults(delay=0.010), 0.010) == FRAMES
    assert sent(DataFaults(delay=0.010), 0.009) == []
    assert sent(DataFaults(delay=0.010), 0.010) == PADDED


def test_jitter_spreads_arrivals_and_loses_nothing() -> None:
    early = received(DataFaults(delay=0.010, jitter=0.010), 0.015)
    assert 130 < len(early) < 270
    assert sorted(received(DataFaults(delay=0.010, jitter=0.010), 0.020)) == sorted(FRAMES)


def test_reordered_frames_are_overtaken() -> None:
    seen = received(DataFaults(reorder=0.1), 1.0)
    assert seen != FRAMES
    assert sorted(seen) == sorted(FRAMES)


def test_without_faults_nothing_is_touched() -> None:
    assert received(DataFaults(seed=9)) == FRAMES


def test_the_delay_line_is_bounded_and_says_what_it_dropped() -> None:
    bench = IoBench()
    rx = bench.rx(depth=4096)
    rx.post(4000)
    bench.engine.set_faults(DataFaults(delay=1.0))
    frame = udp(30)
    for _ in range(2100):
        bench.wire.inject(frame)
    bench.run(2.0)
    assert len(rx.receive()) == 2048
    assert bench.engine.fault_counters()["refused"] == 52
    assert bench.engine.statistics().rx_drops == 52


def test_ending_the_faults_keeps_what_is_under_way() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(4)
    bench.engine.set_faults(DataFaults(delay=1.0))
    bench.wire.inject(udp(30))
    bench.run()
    bench.engine.set_faults(DataFaults())
    bench.wire.inject(udp(31))
    bench.run(2.0)
    assert [packet.data for packet in rx.receive()] == [udp(31), udp(30)]


def test_frames_held_for_a_card_that_was_reset_are_overruns() -> None:
    bench = IoBench()
    bench.rx().post(4)
    bench.engine.set_faults(DataFaults(delay=1.0))
    bench.wire.inject(udp(30))
    bench.run()
    bench.engine.stop()
    bench.run(2.0)
    assert bench.engine.statistics().rx_overruns == 1
