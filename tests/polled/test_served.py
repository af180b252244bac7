"""A whole driver's life in files: the contract's script, through a BAR that is polled and pages that are looked for."""

from __future__ import annotations

import asyncio
import os
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ena_dev.abi.features import FeatureId
from ena_dev.bus.executor import Executor
from ena_dev.device.lifecycle import State
from ena_dev.device.personality import STRANGERS_FEATURES, Personality
from ena_dev.errors import PortError
from ena_dev.polled.served import PolledCard
from ena_dev.port.wire import WirePort
from tests.e2e.host import eventually
from tests.polled.conftest import BarFile, DriverPages
from tests.support.scripted_driver import AQ_DB, DEV_CTL, DEV_STS, MMIO_REG_READ, ScriptedDriver

MAC = bytes.fromhex("025e00000001")
ATTRIBUTES, TX = 1, 1
TAKEN = 0xFFFFFFFF
FRAME = bytes.fromhex("025e000000fe025e000000010800") + bytes(range(100))
T = TypeVar("T")


class Served:
    """A card in a thread with an event loop and a data thread of its own."""

    def __init__(self, directory: Path, **values: Any) -> None:
        self.wire, self.executor = WirePort(), Executor()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.executor.start()
        try:
            self.card = PolledCard(directory, Personality(mac=MAC, max_queues=2, **values), self.wire, self.executor)
            self.run(self.card.start())
        except BaseException:
            self._end()
            raise

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def call(self, function: Callable[[], T]) -> T:
        async def called() -> T:
            return function()

        return self.run(called())

    def stop(self) -> None:
        self.run(self.card.stop())
        self._end()

    def _end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        self.executor.stop()


class Registers:
    """What a scripted driver takes for a device: stores, and a look once the card has had its turn."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.file = BarFile(served.card.path / "bar0")

    def write(self, offset: int, value: int) -> None:
        self.file[offset] = value
        if offset in (DEV_CTL, MMIO_REG_READ, AQ_DB):
            eventually(lambda: self.file[offset] == TAKEN, f"register {offset:#x} is taken")
        self.poll(0)

    def read(self, offset: int) -> int:
        return self.file[offset]

    def poll(self, _: float) -> None:
        for _ in range(3):  # a look, what it leads to, and the work noted by that
            self._served.call(lambda: None)


class Driver(ScriptedDriver):
    """One driver, from its first page to its end."""

    def __init__(self, served: Served, pages: DriverPages, *, readless: bool = True) -> None:
        self.registers = Registers(served)
        super().__init__(self.registers, pages, readless=readless)  # type: ignore[arg-type]

    def up(self) -> None:
        """Reset, admin queue, one Tx queue."""
        self.reset()
        self.set_up_admin()
        assert self.get(ATTRIBUTES).status == 0
        completions, self._ring = self.memory.allocate(4096), self.memory.allocate(4096)
        cq = self.create_cq(completions, words=2)
        sq = self.create_sq(TX, cq.u16(8), self._ring)
        assert (cq.status, sq.status) == (0, 0)
        self._doorbell, self._sent = sq.u32(12), 0

    def send(self, frame: bytes) -> None:
        """By one descriptor; its doorbell is rung with the compiled poller alone."""
        at = self.memory.allocate(len(frame))
        self.memory.poke(at, frame)
        flags = 1 << 24 | 1 << 26 | 1 << 27 | 1 << 28  # phase, first, last, completion wanted
        self.memory.poke(self._ring + 16 * self._sent, struct.pack("<IIII", flags | len(frame), 0, at & 0xFFFFFFFF, at >> 32))
        self.get(ATTRIBUTES)  # a command: the card looks for the new page
        self._sent += 1
        self.registers.file[self._doorbell] = self._sent


@pytest.fixture
def served(pages: DriverPages, tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "huge").symlink_to(pages.directory)
    served = Served(tmp_path / "card")
    yield served
    served.stop()


def came(served: Served, frames: list[bytes]) -> None:
    """Just these come out of the port."""
    found: list[bytes] = []

    def all_there() -> bool:
        found.extend(served.wire.take())
        return len(found) >= len(frames)

    eventually(all_there, f"{len(frames)} frames")
    assert found == frames


@pytest.mark.parametrize("readless", [True, False], ids=["mailbox", "direct"])
def test_a_driver_comes_up_and_sends(served: Served, pages: DriverPages, readless: bool) -> None:
    driver = Driver(served, pages, readless=readless)
    for _ in range(2):
        driver.up()
        for length in (60, 90, 114):
            driver.send(FRAME[:length])
        came(served, [FRAME[:length] for length in (60, 90, 114)])


def test_the_same_doorbell_value_counts_for_the_next_queue(served: Served, pages: DriverPages) -> None:
    driver = Driver(served, pages)
    driver.up()
    for _ in range(3):
        driver.send(FRAME)
        came(served, [FRAME])
        assert driver.destroy_sq(0, TX).status == 0
        ring = driver.memory.allocate(4096)
        assert driver.create_sq(TX, 0, ring).status == 0
        driver._ring, driver._sent = ring, 0


def test_a_driver_that_dies_leaves_nothing_and_the_next_one_starts_afresh(served: Served, pages: DriverPages) -> None:
    for number in range(1, 3):
        driver = Driver(served, pages)
        driver.up()
        driver.send(FRAME)
        came(served, [FRAME])
        assert served.card.clients == number
        pages.die()
        eventually(lambda: not served.call(lambda: served.card.connected), "the driver is missed")
        assert served.call(lambda: (served.card.device.state, served.card.device.host_info)) == (State.READY, None)
        assert driver.registers.file[DEV_STS] & 1
        assert driver.registers.file[driver._doorbell] == TAKEN


def test_memory_that_is_not_a_drivers_stops_the_card_until_a_reset(served: Served, pages: DriverPages) -> None:
    driver = Driver(served, pages)
    driver.up()
    driver.memory.poke(driver._ring, struct.pack("<IIII", 0x1D000040, 0, 0x1000, 0x7FFF))
    driver.registers.file[driver._doorbell] = 1
    eventually(lambda: served.card.engine.fatal, "the descriptor is read")
    driver.submit(8)
    eventually(lambda: driver.registers.read(DEV_STS) & 1 << 5, "the card says that it has stopped")
    driver.short_reset()
    driver.up()
    driver.send(FRAME)
    came(served, [FRAME])


def test_a_bar_cut_short_is_replaced(served: Served, pages: DriverPages) -> None:
    first = Driver(served, pages)
    first.up()
    os.truncate(served.card.path / "bar0", 0)
    eventually(lambda: (served.card.path / "bar0").stat().st_size == 0x4000, "a new file")
    second = Driver(served, pages)
    second.up()
    second.send(FRAME)
    came(served, [FRAME])


def test_the_cards_memory_can_be_opened_and_is_another_for_the_next_driver(pages: DriverPages, tmp_path: Path) -> None:
    served = Served(tmp_path / "card", features=STRANGERS_FEATURES | {FeatureId.LLQ})
    try:
        path = served.card.path / "bar2"
        assert path.stat().st_size == served.card.device.personality.device_memory
        before = path.stat().st_ino
        served.call(served.card._abandon)
        assert path.stat().st_ino != before
    finally:
        served.stop()


def test_a_directory_holds_one_card_and_is_left_empty(served: Served, tmp_path: Path) -> None:
    with pytest.raises(PortError, match="another process"):
        Served(tmp_path / "card")
    with pytest.raises(PortError, match="no place"):
        Served(Path("/proc/nowhere"))
    assert sorted(path.name for path in (tmp_path / "card").iterdir()) == ["bar0", "bar2", "huge"]
    served.run(served.card.stop())
    assert sorted(path.name for path in (tmp_path / "card").iterdir()) == ["huge"]
