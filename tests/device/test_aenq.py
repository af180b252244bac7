"""Events: when the first may come, how often, and what a full ring keeps."""

from __future__ import annotations

import struct

import pytest

from ena_dev.device.interfaces import BasicStats
from ena_dev.device.personality import Hints
from ena_dev.errors import UsageError
from tests.device.conftest import Bench
from tests.support.scripted_driver import AENQ, AENQ_HEAD_DB, DEV_STS, INTR_MASK

LINK, KEEP_ALIVE = 0, 4
UP, DOWN = struct.pack("<I", 1), struct.pack("<I", 0)


def links(events: list[tuple[int, int, bytes]]) -> list[bytes]:
    return [payload[:4] for group, _, payload in events if group == LINK]


def beats(events: list[tuple[int, int, bytes]]) -> int:
    return sum(group == KEEP_ALIVE for group, _, _ in events)


@pytest.fixture
def open_bench(bench: Bench) -> Bench:
    """Groups enabled, then the ring opened: the order of the kernel's driver."""
    bench.driver.enable_groups(0x11)
    bench.driver.open_events()
    bench.device.poll(bench.driver.now)
    return bench


def test_nothing_is_posted_before_the_head_is_told(bench: Bench) -> None:
    bench.driver.enable_groups(0x11)
    bench.device.set_link(False)
    bench.memory.writes.clear()
    bench.driver.elapse(10)
    assert bench.memory.writes == []
    assert bench.device.deadline() is None


def test_the_link_is_told_as_soon_as_the_ring_is_open(open_bench: Bench) -> None:
    assert links(open_bench.driver.events()) == [UP]


def test_a_group_enabled_after_the_ring_was_opened_learns_the_link_too(bench: Bench) -> None:
    bench.driver.open_events()
    bench.driver.elapse(3)
    assert bench.driver.events() == []
    bench.driver.enable_groups(0x11)
    bench.device.poll(bench.driver.now)
    assert links(bench.driver.events()) == [UP]
    bench.driver.enable_groups(0x11)
    bench.device.poll(bench.driver.now)
    assert links(bench.driver.events()) == [], "it was enabled already"
    bench.driver.enable_groups(0x10)
    bench.driver.enable_groups(0x11)
    bench.device.poll(bench.driver.now)
    assert links(bench.driver.events()) == [UP], "newly enabled"


def test_a_group_that_is_not_enabled_stays_silent(bench: Bench) -> None:
    bench.driver.enable_groups(0)
    bench.driver.open_events()
    bench.device.set_link(False)
    bench.driver.elapse(10)
    assert bench.driver.events() == []


def test_a_keep_alive_comes_each_second_for_an_hour(open_bench: Bench) -> None:
    count = 0
    for _ in range(3600):
        open_bench.driver.elapse(1.0, step=0.5)
        count += beats(open_bench.driver.events())
    assert count in (3599, 3600)


def test_the_deadline_is_the_next_keep_alive(open_bench: Bench) -> None:
    due = open_bench.device.deadline()
    assert due == open_bench.driver.now + 1.0
    open_bench.device.poll(due - 0.001)
    assert beats(open_bench.driver.events()) == 0
    open_bench.device.poll(due)
    assert beats(open_bench.driver.events()) == 1
    assert open_bench.device.deadline() == due + 1.0


def test_a_late_poll_sends_one_keep_alive_not_many(open_bench: Bench) -> None:
    open_bench.device.poll(1000.0)
    assert beats(open_bench.driver.events()) == 1
    assert open_bench.device.deadline() == 1001.0


def test_keep_alives_carry_the_drops_since_the_reset(bench: Bench) -> None:
    bench.engine.stats = BasicStats(rx_drops=100, tx_drops=200, rx_overruns=300)
    bench.driver.reset()
    bench.driver.set_up_admin()
    bench.driver.enable_groups(0x10)
    bench.driver.open_events()
    bench.engine.stats = BasicStats(rx_drops=101, tx_drops=202, rx_overruns=303 + (1 << 33))
    bench.driver.elapse(1.5)
    (_, syndrome, payload) = bench.driver.events()[0]
    assert (syndrome, struct.unpack_from("<QQQ", payload)) == (0, (1, 2, 3 + (1 << 33)))


def test_a_full_ring_drops_keep_alives_but_keeps_the_latest_link(open_bench: Bench) -> None:
    driver = open_bench.driver
    driver.elapse(40)  # one link event and 15 keep-alives fill 16 slots
    open_bench.device.set_link(False)
    open_bench.device.poll(driver.now)
    open_bench.device.set_link(True)
    open_bench.device.poll(driver.now)
    open_bench.device.set_link(False)
    driver.elapse(5)
    held = driver.events()
    assert (len(held), links(held)) == (16, [UP])
    open_bench.device.poll(driver.now)
    assert links(driver.events()) == [DOWN], "once, and the latest"


def hints(bench: Bench, keep_alive: int) -> None:
    bench.device.set_hints(Hints(driver_watchdog_timeout=keep_alive))
    bench.device.poll(bench.driver.now)


def test_hints_are_told_when_they_change_and_asked_for_anew(bench: Bench) -> None:
    bench.driver.enable_groups(0x19)
    bench.driver.open_events()
    hints(bench, 30000)
    told = [(syndrome, struct.unpack_from("<8H", payload)) for group, syndrome, payload in bench.driver.events() if group == 3]
    assert told == [(2, (0, 30000, 0, 0, 0, 0, 0, 0))]
    bench.driver.reset()
    bench.driver.set_up_admin()
    assert struct.unpack_from("<8H", bench.driver.get(3).payload) == (0, 30000, 0, 0, 0, 0, 0, 0)


def test_hints_that_nobody_listens_to_are_only_asked_for(open_bench: Bench) -> None:
    hints(open_bench, 30000)
    open_bench.driver.enable_groups(0x19)
    open_bench.driver.elapse(0.5)
    assert [group for group, _, _ in open_bench.driver.events()] == [LINK]
    assert open_bench.driver.get(3).u16(10) == 30000


def test_a_full_ring_keeps_the_latest_event_of_each_group(bench: Bench) -> None:
    bench.driver.enable_groups(0xD9)
    bench.driver.open_events()
    bench.driver.elapse(40)
    bench.device.request_reset()
    for keep_alive in (1, 2, 3):
        hints(bench, keep_alive)
    bench.device.notify_configuration([1, 3])
    bench.driver.elapse(2)
    assert len(bench.driver.events()) == 16
    bench.device.poll(bench.driver.now)
    late = [(group, payload[:8]) for group, _, payload in bench.driver.events() if group != KEEP_ALIVE]
    assert late == [(7, bytes(8)), (3, struct.pack("<4H", 0, 3, 0, 0)), (6, struct.pack("<Q", 5))]


def test_what_waits_is_forgotten_when_its_group_is_switched_off(bench: Bench) -> None:
    bench.driver.enable_groups(0xD9)
    bench.device.request_reset()
    bench.driver.enable_groups(0x59)
    bench.driver.enable_groups(0xD9)
    bench.driver.open_events()
    bench.device.poll(bench.driver.now)
    assert [group for group, _, _ in bench.driver.events()] == [LINK]


def test_what_waits_is_forgotten_at_a_reset(bench: Bench) -> None:
    bench.driver.enable_groups(0xD9)
    bench.device.notify_configuration([64])
    bench.driver.reset()
    bench.driver.set_up_admin()
    bench.driver.enable_groups(0xD9)
    bench.driver.open_events()
    bench.device.poll(bench.driver.now)
    assert [group for group, _, _ in bench.driver.events()] == [LINK]


def test_nobody_is_asked_who_does_not_listen(open_bench: Bench) -> None:
    with pytest.raises(UsageError, match="no driver is up that can be asked"):
        open_bench.device.request_reset()
    with pytest.raises(UsageError, match="no driver is up that listens"):
        open_bench.device.notify_configuration([1])
    for codes in ([0], [65], [-1]):
        with pytest.raises(UsageError, match="64, not"):
            open_bench.device.notify_configuration(codes)


def test_the_ring_wraps_for_many_laps(open_bench: Bench) -> None:
    seen = 0
    for _ in range(100):
        open_bench.driver.elapse(1.0)
        seen += len(open_bench.driver.events())
    assert seen in (100, 101)


@pytest.mark.parametrize("head", [0, 17, 100, 0xFFFF])
def test_a_head_that_makes_no_sense_leaves_no_room(bench: Bench, head: int) -> None:
    bench.driver.enable_groups(0x11)
    bench.device.write(AENQ_HEAD_DB, head)
    bench.driver.elapse(5)
    assert bench.driver.events() == []
    assert bench.device.read(DEV_STS) == 1


def test_the_phase_of_an_event_is_written_last(open_bench: Bench) -> None:
    open_bench.driver.events()
    open_bench.memory.writes.clear()
    open_bench.driver.elapse(1.25)
    assert [(address - open_bench.driver.aenq, len(data)) for address, data in open_bench.memory.writes] == [(64 + 8, 56), (64, 8)]


def test_caps_of_zero_stop_events(open_bench: Bench) -> None:
    open_bench.device.write(AENQ[2], 0)
    open_bench.memory.writes.clear()
    open_bench.driver.elapse(5)
    assert open_bench.memory.writes == []


def test_an_event_ring_in_unmapped_memory_stops_the_card(open_bench: Bench) -> None:
    open_bench.memory.unmap(open_bench.driver.aenq)
    open_bench.driver.elapse(2)
    assert open_bench.device.read(DEV_STS) == 0x21


def test_an_event_posted_while_masked_is_announced_when_unmasked(open_bench: Bench) -> None:
    before = open_bench.vectors[0].fired
    open_bench.device.write(INTR_MASK, 1)
    open_bench.driver.elapse(3)
    assert open_bench.vectors[0].fired == before
    open_bench.device.write(INTR_MASK, 0)
    open_bench.device.write(INTR_MASK, 0)
    assert open_bench.vectors[0].fired == before + 1


def test_a_driver_that_left_without_a_reset_gets_no_more_than_the_free_slots(open_bench: Bench) -> None:
    open_bench.driver.elapse(100)
    assert len(open_bench.driver.events(consume=False)) == 16


def test_a_ring_programmed_anew_waits_for_its_own_head(open_bench: Bench) -> None:
    open_bench.driver.program(AENQ, open_bench.memory.allocate(16 * 64), 16)
    open_bench.memory.writes.clear()
    open_bench.driver.elapse(5)
    assert open_bench.memory.writes == []
