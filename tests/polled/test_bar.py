"""A BAR that is a file: every write is taken once, in whatever order writer and poller meet, and an idle one is looked at less and less."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ena_dev.bus.executor import Executor
from ena_dev.device.interfaces import UNMASK_BASE
from ena_dev.device.personality import Personality
from ena_dev.device.plugged import PluggedCard
from ena_dev.errors import BusError, PortError, UsageError
from ena_dev.polled.bar import PolledBar
from ena_dev.polled.huge_pages import HugePages
from ena_dev.port.wire import WirePort
from tests.polled.conftest import BarFile

TRIGGERS, STATES, TAKEN = (0x2C, 0x54), (0x10, 0x14), 0xFFFFFFFF


class Bench:
    def __init__(self, path: Path) -> None:
        self.executor, self.now = Executor(), 1.0
        self.bar = PolledBar(self.executor, TRIGGERS, STATES)
        path.write_bytes(bytes(0x4000))
        with path.open("r+b") as file:
            self.bar.attach(file.fileno())
        self.file = BarFile(path)

    def round(self, after: float = 0.002) -> None:
        """A round, by default so late that the BAR is looked at in any case."""
        self.now += after
        self.executor.round(self.now)

    def rung(self) -> bool:
        self.round()
        return bool(select.select([self.bar.fileno()], [], [], 0)[0])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "bar0")
    yield bench
    bench.bar.detach()


def test_a_value_is_taken_once_and_the_same_value_again_after_that(bench: Bench) -> None:
    assert not bench.rung()
    for _ in range(2):
        bench.file[0x54] = 7
        assert bench.rung()
        assert bench.bar.take(0x54) == 7
        assert bench.bar.take(0x54) is None
        bench.bar.listen()
        assert not bench.rung()


def test_a_state_is_told_when_it_is_another(bench: Bench) -> None:
    bench.file[0x10] = 0x1000
    assert bench.rung()
    assert (bench.bar.changed(0x10), bench.bar.changed(0x14), bench.bar.changed(0x10)) == (0x1000, None, None)
    bench.bar.listen()
    bench.file[0x10] = 0x1000
    assert not bench.rung()
    bench.file[0x10] = 0
    assert bench.rung()
    assert bench.bar.changed(0x10) == 0


def test_after_clearing_what_was_kept_is_told_again_and_the_rest_is_as_at_first(bench: Bench) -> None:
    bench.file[0x10], bench.file[0x14], bench.file[0x2C], bench.file[0x54], bench.file[0x1000] = 5, 6, 7, 8, 9
    assert [bench.bar.changed(offset) for offset in STATES] == [5, 6]
    bench.bar.clear([0x14, 0x54])
    assert [bench.file[offset] for offset in (0x10, 0x14, 0x2C, 0x54, 0x1000)] == [0, 6, TAKEN, 8, TAKEN]
    assert [bench.bar.changed(offset) for offset in STATES] == [None, 6]
    assert [bench.bar.take(offset) for offset in TRIGGERS] == [None, 8]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(TRIGGERS), st.integers(0, TAKEN - 1), st.booleans()), max_size=30))
def test_no_write_to_a_trigger_is_lost_that_was_answered_before_the_next(bench: Bench, writes: list[tuple[int, int, bool]]) -> None:
    bench.bar.clear()
    bench.bar.listen()
    waiting: dict[int, int] = {}
    for offset, value, looked in writes:
        bench.file[offset] = waiting[offset] = value
        if looked:
            assert bench.rung()
            assert {at: taken for at in TRIGGERS if (taken := bench.bar.take(at)) is not None} == waiting
            waiting.clear()
            bench.bar.listen()


def test_doorbells_ring_without_anybody_called_and_what_nobody_owned_is_forgotten(tmp_path: Path) -> None:
    executor = Executor()
    bar = PolledBar(executor, TRIGGERS, STATES)
    (tmp_path / "bar0").write_bytes(bytes(0x4000))
    with (tmp_path / "bar0").open("r+b") as file:
        bar.attach(file.fileno())
    mapped = BarFile(tmp_path / "bar0")
    mapped[UNMASK_BASE + 4] = 0x40000000
    card = PluggedCard(Personality(mac=bytes.fromhex("025e00000001"), max_queues=2), WirePort(), HugePages(executor), executor, bar)
    executor.round(1.0)
    assert card.vectors[1].masked  # written before there was a vector
    mapped[UNMASK_BASE + 4] = 0x40000000 | 20
    mapped[UNMASK_BASE + 0x100] = 1
    executor.round(1.01)
    assert not card.vectors[1].masked
    assert card.vectors[1].delays == (20e-6, 0)
    assert (mapped[UNMASK_BASE + 4], mapped[UNMASK_BASE + 0x100]) == (TAKEN, 1)
    card.stop()
    bar.detach()


def test_a_busy_bar_is_looked_at_without_rest_and_an_idle_one_a_thousand_times_a_second(bench: Bench) -> None:
    bench.file[0x54] = 1
    bench.round()
    for later, rest in ((50e-6, 0), (350e-6, 100e-6), (1.6e-3, 500e-6), (1, 1e-3)):
        bench.round(later)
        assert bench.executor.deadline == pytest.approx(bench.now + rest, abs=1e-6)


def test_a_file_cut_short_is_lost_and_nothing_else(bench: Bench, tmp_path: Path) -> None:
    os.truncate(tmp_path / "bar0", 0)
    bench.round()
    assert select.select([bench.bar.lost], [], [], 0)[0]
    bench.bar.detach()
    assert not select.select([bench.bar.lost], [], [], 0)[0]


def test_what_it_can_not_be_is_refused(bench: Bench, tmp_path: Path) -> None:
    for wrong in ((0x1000,), (2,), (-4,)):
        with pytest.raises(BusError):
            PolledBar(Executor(), wrong, ())
    with pytest.raises(UsageError):
        PolledBar(Executor(), range(0, 0x100, 4), ())
    with (tmp_path / "bar0").open("r+b") as file, pytest.raises(UsageError):
        bench.bar.attach(file.fileno())
    (tmp_path / "short").write_bytes(b"1")
    with (tmp_path / "short").open("r+b") as file, pytest.raises(PortError):
        PolledBar(Executor(), TRIGGERS, STATES).attach(file.fileno())
    for offset in (0x1000, 3):
        with pytest.raises(BusError):
            bench.bar.take(offset)
