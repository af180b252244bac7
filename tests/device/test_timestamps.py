"""Time stamps as a driver chooses them, and the clock that they follow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ena_dev.abi.features import FeatureId
from ena_dev.device.host_clock import ClockReading
from ena_dev.device.model import Device
from ena_dev.device.personality import STANDARD_FEATURES, Personality
from tests.device.conftest import MAC, Bench
from tests.support.fake_card import FakeEngine, FakeMemory, FakeVector
from tests.support.scripted_driver import ScriptedDriver

UNSUPPORTED, ILLEGAL = 3, 5
READING = ClockReading(utc=1_000_000, error_bound=None, monotonic=400)


class Stamped:
    """A card with a clock to move, and a driver."""

    def __init__(self) -> None:
        self.reading = READING
        memory = FakeMemory()
        self.engine = FakeEngine(memory)
        personality = Personality(mac=MAC, max_queues=1, features=STANDARD_FEATURES | {FeatureId.HW_TIMESTAMP})
        device = Device(personality, memory, self.engine, [FakeVector(), FakeVector()], clock=lambda: self.reading)
        self.driver = ScriptedDriver(device, memory)
        self.driver.reset()
        self.driver.set_up_admin()


@pytest.fixture
def stamped() -> Stamped:
    return Stamped()


def test_all_packets_can_be_stamped_both_ways(stamped: Stamped) -> None:
    assert stamped.driver.get(31, version=1).payload[:3] == bytes((1, 1, 1))
    assert stamped.driver.get(31, version=0).status == UNSUPPORTED


@pytest.mark.parametrize("choice", [(1, 1, 1), (1, 1, 0), (1, 0, 1), (0, 0, 1)])
def test_the_engine_follows_the_clock_while_stamps_are_wanted(stamped: Stamped, choice: tuple[int, int, int]) -> None:
    assert stamped.driver.set(31, bytes(choice)).status == 0
    assert stamped.engine.clock_offset == 999_600
    stamped.reading = replace(READING, utc=5)
    stamped.driver.elapse(1.0)
    assert stamped.engine.clock_offset == -395
    assert stamped.driver.set(31, bytes((1, 0, 0))).status == 0
    stamped.reading = READING
    stamped.driver.elapse(1.0)
    assert stamped.engine.clock_offset == -395


def test_nobody_asks_the_clock_for_a_driver_that_wants_no_stamps(stamped: Stamped) -> None:
    stamped.driver.elapse(5.0)
    assert stamped.engine.clock_offset is None
    stamped.driver.set(31, bytes((1, 1, 1)))
    stamped.engine.clock_offset = None
    stamped.driver.reset()
    stamped.driver.elapse(5.0)
    assert stamped.engine.clock_offset is None


def test_what_makes_no_sense_is_refused(stamped: Stamped, bench: Bench) -> None:
    assert [stamped.driver.set(31, bytes(choice)).status for choice in ((1, 2, 0), (1, 0, 2), (2, 1, 1))] == [ILLEGAL, ILLEGAL, UNSUPPORTED]
    assert stamped.engine.clock_offset is None
    assert bench.driver.get(31, version=1).status == UNSUPPORTED
