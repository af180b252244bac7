"""Misbehaviour on request, spent once each."""

from __future__ import annotations

import struct

import pytest

from ena_dev.abi.admin import Direction
from ena_dev.device.interfaces import DataFaults
from ena_dev.errors import UsageError
from tests.device.conftest import Bench

NAN = float("nan")


@pytest.fixture
def live(bench: Bench) -> Bench:
    bench.driver.enable_groups(0x11)
    bench.driver.open_events()
    bench.device.poll(bench.driver.now)
    bench.driver.events()
    return bench


def test_missed_keep_alives_are_missed_and_then_they_go_on(live: Bench) -> None:
    live.device.faults.miss_keep_alives(4)
    live.driver.elapse(4.5)
    assert live.driver.events() == []
    live.driver.elapse(1)
    assert len(live.driver.events()) == 1


def test_a_reset_ends_missed_keep_alives(live: Bench) -> None:
    live.device.faults.miss_keep_alives(100)
    live.driver.reset(reason=1)
    live.driver.set_up_admin()
    live.driver.enable_groups(0x10)
    live.driver.open_events()
    live.driver.elapse(2.5)
    assert len(live.driver.events()) == 2


def test_a_link_flap_is_seen_by_driver_and_engine_and_ends(live: Bench) -> None:
    live.calls.clear()
    live.device.faults.link_flap(down_for=0.5)
    assert live.calls == ["work"]
    start = live.driver.now
    live.device.poll(start)
    assert live.device.deadline() == start + 0.5
    assert (live.engine.link, live.device.link_up) == (False, False)
    live.device.poll(start + 0.4)
    assert live.engine.link is False
    live.device.poll(start + 0.5)
    assert (live.engine.link, live.device.link_up) == (True, True)
    assert [payload[:4] for _, _, payload in live.driver.events()] == [struct.pack("<I", 0), struct.pack("<I", 1)]


def test_a_pulled_cable_stays_pulled_after_a_flap_and_a_reset(live: Bench) -> None:
    live.device.set_link(False)
    live.device.faults.link_flap(down_for=0.5)
    live.driver.elapse(2)
    assert live.device.link_up is False
    live.driver.reset()
    live.driver.set_up_admin()
    live.driver.enable_groups(0x01)
    live.driver.open_events()
    live.device.poll(live.driver.now)
    assert [payload[:4] for _, _, payload in live.driver.events()] == [struct.pack("<I", 0)]


def test_faults_of_queues_reach_the_engine(live: Bench) -> None:
    live.device.faults.withhold_tx_completions(3)
    live.device.faults.lose_interrupts(2)
    live.device.faults.lose_interrupts(1, vector=3)
    live.device.faults.spoil_tx_completions(4)
    live.device.faults.malform_rx_completions(5)
    data = DataFaults(seed=7, loss=0.001, delay=0.002, jitter=0.001)
    live.device.faults.set_data(data)
    assert (live.engine.withheld, live.engine.lost) == (3, {None: 2, 3: 1})
    assert live.engine.spoiled == [(Direction.TX, 4, 0), (Direction.RX, 0, 5)]
    assert (live.engine.faults, live.device.faults.data) == (data, data)


def test_a_lost_admin_interrupt_leaves_its_completion(live: Bench) -> None:
    fired = live.vectors[0].fired
    live.device.faults.lose_admin_interrupts(1)
    assert live.driver.get(1).status == 0
    assert live.vectors[0].fired == fired
    live.driver.get(1)
    assert live.vectors[0].fired == fired + 1


def test_an_ignored_command_is_neither_executed_nor_answered_and_the_next_one_is(live: Bench) -> None:
    live.device.faults.ignore_admin(1)
    live.driver.submit(9, bytes(12) + bytes((0, 14, 0, 0)) + struct.pack("<I", 4000))
    live.device.poll(live.driver.now)
    assert live.device.mtu == 1500 and live.driver.collect() is None
    assert live.driver.set(14, struct.pack("<I", 5000)).status == 0
    assert live.device.mtu == 5000


def test_a_reset_forgets_commands_to_be_ignored(live: Bench) -> None:
    live.device.faults.ignore_admin(1)
    live.driver.reset()
    live.driver.set_up_admin()
    assert live.driver.get(1).status == 0


@pytest.mark.parametrize(
    "data",
    [{"loss": 1.5}, {"loss": -0.1}, {"duplication": 2}, {"reorder": -1}, {"delay": -1}, {"jitter": -1}, {"loss": NAN}, {"delay": NAN}],
    ids=str,
)
def test_impossible_data_faults_are_refused(bench: Bench, data: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="probabilities"):
        bench.device.faults.set_data(DataFaults(**data))


def test_impossible_counts_and_times_are_refused(bench: Bench) -> None:
    for fault in (bench.device.faults.miss_keep_alives, bench.device.faults.withhold_tx_completions, bench.device.faults.lose_interrupts):
        with pytest.raises(UsageError, match="no number of times"):
            fault(-1)
    for down_for in (0, -1, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="can't be down"):
            bench.device.faults.link_flap(down_for)
