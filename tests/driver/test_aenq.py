import struct

import pytest

from ena_dev.abi.events import RawEvent
from ena_dev.driver.aenq import DEPTH, EventQueue
from ena_dev.driver.registers import Registers
from tests.support.host import Host


@pytest.fixture
def taken() -> list[tuple[int, int]]:
    return []


@pytest.fixture
def events(host: Host, taken: list[tuple[int, int]]) -> EventQueue:
    def note(event: RawEvent) -> None:
        taken.append((event.group, struct.unpack_from("<I", bytes(event), 16)[0]))

    queue = EventQueue(host.memory, Registers(host.bar, host.memory), {0: note, 4: note})
    queue.start()
    return queue


async def test_the_head_starts_at_the_depth(host: Host, events: EventQueue) -> None:
    assert [offset for offset, _ in host.card.writes] == [0x38, 0x3C, 0x34]
    assert host.card.registers[0x34] == 64 << 16 | 16
    events.open()
    assert host.card.aenq_head == 16


async def test_events_over_many_laps_arrive_once_each_in_order(host: Host, events: EventQueue, taken: list[tuple[int, int]]) -> None:
    events.open()
    for number in range(5 * DEPTH + 3):
        host.card.post(4, struct.pack("<I", number))
        if number % 3 == 0:
            events.poll()
    events.poll()
    assert taken == [(4, number) for number in range(5 * DEPTH + 3)]
    assert host.card.aenq_head == 16 + 5 * DEPTH + 3


async def test_a_full_ring_is_taken_whole_and_given_back_at_once(host: Host, events: EventQueue, taken: list[tuple[int, int]]) -> None:
    events.open()
    for number in range(DEPTH):
        host.card.post(0, struct.pack("<I", number))
    assert events.pending()
    written = len(host.card.writes)
    assert events.poll() == DEPTH
    assert host.card.writes[written:] == [(0x40, 32)]
    assert not events.pending()
    assert events.poll() == 0


async def test_groups_without_a_handler_are_counted_and_harmless(host: Host, events: EventQueue, taken: list[tuple[int, int]]) -> None:
    events.open()
    host.card.post(1)
    host.card.post(9)
    host.card.post(0, struct.pack("<I", 1))
    assert events.poll() == 3
    assert (events.unhandled, taken) == (2, [(0, 1)])
