"""A guest that takes its memory away: unmapped while the card works in it, or cut off its file without a word.

Once DMA_UNMAP is answered, the card touches those pages no more: whoever gets them next may rely on it.
"""

from __future__ import annotations

import asyncio
import os
import select
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.fuzz.good_driver import ARRIVING, LEAVING, QueuePair
from tests.fuzz.rig import PERSONALITY
from tests.support.scripted_driver import ScriptedDriver
from tests.support.vfio_client import GuestDevice, GuestRam, VfioClient
from tests.vfio_user.conftest import Served

pytestmark = pytest.mark.usefixtures("collected")

ROUNDS = 12
BUFFERS = 128
BUFFERS_BASE, BUFFERS_SIZE = 0x40000000, 0x100000
MARK = b"\xa5"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path / "card.sock", asyncio.new_event_loop, PERSONALITY)
    served.start()
    yield served
    served.stop()


class Guest:
    """Rings in one memory, buffers in another that comes and goes."""

    def __init__(self, served: Served, ram: GuestRam, buffers: GuestRam) -> None:
        self.served, self.ram, self.buffers, self.client = served, ram, buffers, served.client()
        self.client.attach(ram)
        self.client.enable()
        self.start()

    def start(self) -> None:
        self.ram.start_over()
        self.client.map(self.buffers)
        self.driver = ScriptedDriver(GuestDevice(self.client), self.ram)  # type: ignore[arg-type]
        self.driver.reset()
        self.driver.set_up_admin()
        self.pair = QueuePair(self.driver, self.ram)
        self.buffers.poke(self.buffers.base, LEAVING)
        for n in range(BUFFERS):
            self.pair.post(n, self.buffers.base + 4096 * (1 + n))
            self.pair.put(n, self.buffers.base, len(LEAVING))

    def go(self, count: int = BUFFERS) -> None:
        """Send and receive, up to descriptor `count`."""
        self.client.post(0, self.pair.rx_bell, count.to_bytes(4, "little"))
        self.client.post(0, self.pair.tx_bell, count.to_bytes(4, "little"))


@contextmanager
def arriving(served: Served) -> Iterator[None]:
    """Frames, one after another, until the end of the block; those sent are thrown away."""
    stop = threading.Event()

    def pour() -> None:
        while not stop.is_set():
            served.wire.inject(ARRIVING)
            served.wire.take()

    thread = threading.Thread(target=pour, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def guest(served: Served) -> Iterator[Guest]:
    ram, buffers = GuestRam(size=0x100000), GuestRam(BUFFERS_BASE, BUFFERS_SIZE)
    yield Guest(served, ram, buffers)
    ram.close()
    buffers.close()


def test_unmapped_memory_is_not_touched_once_the_answer_has_come(guest: Guest) -> None:
    touched = 0
    with arriving(guest.served):
        for n in range(ROUNDS):
            guest.go()
            time.sleep(0.0005 * n)  # so that the card is at another frame each time
            guest.client.unmap(guest.buffers)
            touched += any(guest.buffers.peek(guest.buffers.base + 4096, BUFFERS_SIZE - 4096))
            guest.buffers.poke(guest.buffers.base, MARK * BUFFERS_SIZE)
            time.sleep(0.005)
            assert guest.buffers.peek(guest.buffers.base, BUFFERS_SIZE) == MARK * BUFFERS_SIZE
            guest.buffers.start_over()
            guest.start()
    assert touched, "the card was never at work in it"


def test_the_answer_waits_for_the_task_at_work(guest: Guest) -> None:
    unmap = struct.pack("<IIQQ", 24, 0, BUFFERS_BASE, BUFFERS_SIZE)
    with guest.served.executor.held():  # as a step of a task holds it
        request = guest.client.send(3, unmap)
        assert not select.select([guest.client.sock], [], [], 0.2)[0], "answered while a task may be inside"
    assert guest.client.receive(request, 3) == unmap


def test_a_guest_that_cuts_its_memory_off_is_dropped_and_the_next_is_served(served: Served) -> None:
    for _ in range(3):
        ram, buffers = GuestRam(size=0x100000), GuestRam(BUFFERS_BASE, BUFFERS_SIZE)
        guest = Guest(served, ram, buffers)
        with arriving(served):
            guest.go(BUFFERS // 2)
            os.ftruncate(buffers.fd, 4096)
            with suppress(BrokenPipeError):  # the first frames may have ended it already
                guest.go()
            wait_for_the_end(guest.client)
        assert served.call(lambda: served.memory.ranges) == []
        guest.client.close()
        served.call(served.wire.take)
        os.ftruncate(buffers.fd, BUFFERS_SIZE)
        ram.close()
        buffers.close()
    ram, buffers = GuestRam(size=0x100000), GuestRam(BUFFERS_BASE, BUFFERS_SIZE)
    guest = Guest(served, ram, buffers)
    with arriving(served):
        guest.go()
        end = time.monotonic() + 10.0
        while buffers.peek(buffers.base + 4096, len(ARRIVING)) != ARRIVING:
            assert time.monotonic() < end
            time.sleep(0.001)
    ram.close()
    buffers.close()


def wait_for_the_end(client: VfioClient) -> None:
    """Of the connection, by the server."""
    try:
        while client.sock.recv(4096):
            pass
    except ConnectionResetError:
        pass
