"""The admin queue: laps, batches, order of stores, and rings that are not there."""

from __future__ import annotations

import pytest

from ena_dev.abi.admin import RawCompletion
from ena_dev.device.admin_queue import AdminQueue
from tests.device.conftest import Bench
from tests.support.fake_card import FakeMemory
from tests.support.scripted_driver import ACQ, AQ, AQ_DB, DEV_STS, INTR_MASK

FATAL_ERROR = 1 << 5


@pytest.mark.parametrize("depth", [2, 32, 64])
def test_commands_go_round_the_rings_for_many_laps(cold: Bench, depth: int) -> None:
    cold.driver.reset()
    cold.driver.set_up_admin(depth=depth)
    for count in range(1, 200):
        answer = cold.driver.get(11)
        assert (answer.status, answer.sq_head) == (0, count)


def test_the_doorbell_count_wraps_at_16_bits() -> None:
    memory, executed = FakeMemory(), []

    def execute(entry: bytes) -> RawCompletion:
        executed.append(entry)
        return RawCompletion()

    queue = AdminQueue(memory, execute, lambda: None)
    for ring in (queue.submissions, queue.completions):
        address = memory.allocate(32 * 64)
        ring.low, ring.high = address & 0xFFFFFFFF, address >> 32
        ring.set_caps(64 << 16 | 32)
        ring.index = 0xFFF0
    for count in range(0xFFF0, 0x10020):
        queue.ring_doorbell(count)  # unmasked
        queue.process()
    assert len(executed) == 0x10020 - 0xFFF0 - 1
    assert queue.submissions.index == 0x1F


def test_a_full_ring_of_commands_is_answered_in_order(bench: Bench) -> None:
    ids = [bench.driver.submit(8, bytes(12) + b"\0\1") for _ in range(32)]
    bench.device.poll(1.0)
    completions = [bench.driver.collect() for _ in range(32)]
    assert [completion[0] for completion in completions if completion] == ids
    assert bench.driver.collect() is None


def test_a_turn_is_bounded_and_asks_for_another(cold: Bench) -> None:
    cold.driver.reset()
    cold.driver.set_up_admin(depth=64)
    for _ in range(64):
        cold.driver.submit(8, bytes(12) + b"\0\1")
    cold.calls.clear()
    cold.device.poll(1.0)
    assert cold.calls == ["work"]
    cold.device.poll(1.0)
    assert cold.calls == ["work"]
    assert all(cold.driver.collect() for _ in range(64))


def test_a_completion_has_its_phase_written_last(bench: Bench) -> None:
    bench.memory.writes.clear()
    bench.driver.get(11)
    assert [(address - bench.driver.acq, len(data)) for address, data in bench.memory.writes] == [(4, 60), (0, 4)]


def test_a_command_is_copied_out_of_memory_once(bench: Bench) -> None:
    bench.memory.reads.clear()
    bench.driver.get(11)
    assert bench.memory.reads == [(bench.driver.aq, 64)]


def test_vector_0_fires_once_a_turn_unless_masked(bench: Bench) -> None:
    bench.driver.get(11)
    assert bench.vectors[0].fired == 1
    bench.driver.submit(8, bytes(12) + b"\0\1")
    bench.driver.submit(8, bytes(12) + b"\0\1")
    bench.device.poll(1.0)
    assert bench.vectors[0].fired == 2
    bench.device.write(INTR_MASK, 1)
    bench.device.poll(2.0)
    bench.driver.submit(8, bytes(12) + b"\0\1")
    bench.device.poll(3.0)
    bench.device.write(INTR_MASK, 0)
    assert bench.vectors[0].fired == 2, "completions were polled for while masked"


def test_a_duplicate_doorbell_is_harmless(bench: Bench) -> None:
    bench.driver.get(11)
    bench.device.write(AQ_DB, 1)
    bench.device.poll(1.0)
    assert bench.driver.collect() is None
    assert bench.device.read(DEV_STS) == 1


@pytest.mark.parametrize("registers", [AQ, ACQ])
def test_caps_of_zero_stop_a_queue(bench: Bench, registers: tuple[int, int, int]) -> None:
    bench.device.write(registers[2], 0)
    bench.memory.writes.clear()
    bench.memory.reads.clear()
    bench.driver.submit(8, bytes(12) + b"\0\1")
    bench.device.poll(1.0)
    assert (bench.memory.writes, bench.memory.reads) == ([], [])
    assert bench.device.read(DEV_STS) == 1


@pytest.mark.parametrize("caps", [64 << 16 | 24, 32 << 16 | 32, 0xFFFFFFFF])
def test_a_ring_of_an_odd_shape_stays_stopped(bench: Bench, caps: int) -> None:
    bench.device.write(AQ[2], caps)
    bench.driver.submit(8, bytes(12) + b"\0\1")
    bench.device.poll(1.0)
    assert bench.driver.collect() is None
    assert bench.device.read(DEV_STS) == 1


@pytest.mark.parametrize("ring", ["aq", "acq"])
def test_a_ring_in_unmapped_memory_stops_the_card(bench: Bench, ring: str) -> None:
    bench.memory.unmap(getattr(bench.driver, ring))
    bench.device.write(AQ_DB, 1)
    stops = bench.engine.stops
    bench.device.poll(1.0)
    assert bench.device.read(DEV_STS) & FATAL_ERROR
    assert bench.engine.stops == stops + 1


def test_a_doorbell_beyond_the_ring_stops_the_card(bench: Bench) -> None:
    bench.device.write(AQ_DB, 33)
    bench.device.poll(1.0)
    assert bench.device.read(DEV_STS) & FATAL_ERROR


def test_a_ring_may_be_programmed_in_any_order(cold: Bench) -> None:
    cold.driver.reset()
    cold.driver.set_up_admin()
    aq, acq = cold.driver.aq, cold.driver.acq
    for (low, high, caps), address in ((ACQ, acq), (AQ, aq)):
        cold.device.write(caps, 64 << 16 | 32)
        cold.device.write(high, address >> 32)
        cold.device.write(low, address & 0xFFFFFFFF)
    assert cold.driver.get(11).status == 0
