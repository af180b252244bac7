"""The PTP clock as a driver reads it."""

from __future__ import annotations

import struct
import time
from dataclasses import replace

import pytest

from ena_dev.abi.features import FeatureId
from ena_dev.device.host_clock import ClockReading, host_clock
from ena_dev.device.model import Device
from ena_dev.device.personality import STANDARD_FEATURES, Personality
from tests.device.conftest import MAC, Bench
from tests.support.fake_card import FakeEngine, FakeMemory, FakeVector
from tests.support.scripted_driver import DEV_CTL, ScriptedDriver

UNSUPPORTED, ILLEGAL = 3, 5
NOON = 1_700_000_000_123_456_789
SECOND = 1_000_000_000


class Clocked:
    """A card with a clock that stands still unless moved, and a driver that reads it."""

    def __init__(self) -> None:
        self.reading = ClockReading(utc=NOON, error_bound=1500, monotonic=SECOND)
        self.memory = FakeMemory()
        personality = Personality(mac=MAC, max_queues=1, features=STANDARD_FEATURES | {FeatureId.PHC_CONFIG})
        vectors = [FakeVector(), FakeVector()]
        self.device = Device(personality, self.memory, FakeEngine(self.memory), vectors, clock=lambda: self.reading)
        self.driver = ScriptedDriver(self.device, self.memory)
        self.response = self.memory.allocate(64)
        self.begin()

    def begin(self) -> None:
        self.driver.reset()
        self.driver.set_up_admin()
        _, self.doorbell, self.expire, self.block = struct.unpack_from("<BxxxIII", self.driver.get(29).payload)

    def enable(self, address: int | None = None, *, version: int = 0, length: int = 64) -> int:
        where = self.response if address is None else address
        return self.driver.set(29, struct.pack("<BxxxIIIIHHI", version, 0, 0, 0, where & 0xFFFFFFFF, where >> 32, 0, length)).status

    def read(self, number: int) -> tuple[int, int, int] | None:
        """(time, bound, flags); None if no answer came."""
        self.memory.poke(self.response, struct.pack("<H", (number + 0xDEAD) & 0xFFFF))
        self.device.write(self.doorbell, number)
        answered, stamp, bound, flags = struct.unpack("<H6xQ8xII32x", self.memory.peek(self.response, 64))
        return (stamp, bound, flags) if answered == number else None


@pytest.fixture
def clocked() -> Clocked:
    clocked = Clocked()
    assert clocked.enable() == 0
    return clocked


def test_the_offer_names_a_doorbell_and_times_that_fit_each_other(clocked: Clocked) -> None:
    assert 0x68 <= clocked.doorbell < 0x1000 and clocked.doorbell % 4 == 0
    assert 0 < clocked.expire <= clocked.block


def test_a_request_is_answered_before_the_doorbells_write_returns(clocked: Clocked) -> None:
    assert clocked.read(7) == (NOON, 1500, 0)
    clocked.reading = replace(clocked.reading, utc=NOON + 5)
    assert clocked.read(0xFFFF) == (NOON + 5, 1500, 0)


def test_the_request_number_is_written_last(clocked: Clocked) -> None:
    clocked.memory.writes.clear()
    clocked.read(7)
    assert [(address - clocked.response, len(data)) for address, data in clocked.memory.writes] == [(8, 56), (0, 8)]


def test_an_unknown_error_is_the_largest_bound_and_no_lie(clocked: Clocked) -> None:
    clocked.reading = replace(clocked.reading, error_bound=None)
    assert clocked.read(1) == (NOON, 0xFFFFFFFF, 0)
    clocked.reading = replace(clocked.reading, error_bound=1 << 40)
    assert clocked.read(2) == (NOON, 0xFFFFFFFF, 0)


def test_no_more_than_125_requests_are_answered_with_a_time_in_any_second(clocked: Clocked) -> None:
    told = []
    for n in range(1000):
        clocked.reading = replace(clocked.reading, monotonic=SECOND + n * 2_000_000)  # 500 a second
        answer = clocked.read(n)
        assert answer is not None and (answer[2] == 0 or answer == (0, 0, 1))
        told += [clocked.reading.monotonic] * (answer[2] == 0)
    assert len(told) == 2 * 125
    assert all(later - first >= SECOND for first, later in zip(told, told[125:], strict=False))


def test_a_reset_forgets_where_the_answer_goes_but_not_the_rate(clocked: Clocked) -> None:
    for n in range(125):
        clocked.read(n)
    clocked.begin()
    assert clocked.read(1) is None
    clocked.enable()
    assert clocked.read(2) == (0, 0, 1)


def test_nothing_is_written_during_a_reset(clocked: Clocked) -> None:
    clocked.device.write(DEV_CTL, 1)
    clocked.memory.writes.clear()
    assert clocked.read(1) is None
    assert clocked.memory.writes == []


def test_memory_that_is_gone_ends_answers_and_nothing_else(clocked: Clocked) -> None:
    clocked.memory.unmap(clocked.response)
    clocked.device.write(clocked.doorbell, 1)
    assert clocked.driver.get(1).status == 0


def test_what_makes_no_sense_is_refused(clocked: Clocked, bench: Bench) -> None:
    assert clocked.enable(0) == ILLEGAL
    assert clocked.enable(clocked.response + 4) == ILLEGAL
    assert clocked.enable(length=63) == ILLEGAL
    assert clocked.enable(version=1) == UNSUPPORTED
    assert bench.driver.get(29).status == UNSUPPORTED
    assert bench.driver.set(29, bytes(28)).status == UNSUPPORTED


def test_the_hosts_clock_tells_the_time_and_a_bound_only_while_something_disciplines_it() -> None:
    before, reading, after = time.time_ns(), host_clock(), time.time_ns()
    assert before <= reading.utc <= after
    assert abs(reading.monotonic - time.monotonic_ns()) < SECOND
    assert reading.error_bound is None or 1000 <= reading.error_bound <= 16_001 * 1_000_000
