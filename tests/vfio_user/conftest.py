"""A card served from a thread with an event loop of its own: on the plain loop, or on uvloop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from ena_dev.abi.features import FeatureId
from ena_dev.bus.executor import Executor
from ena_dev.bus.guest_memory import GuestMemory
from ena_dev.device.personality import STANDARD_FEATURES, Personality
from ena_dev.device.plugged import PluggedCard
from ena_dev.port.wire import WirePort
from ena_dev.vfio_user.function import CardFunction
from ena_dev.vfio_user.server import CardServer
from tests.support.vfio_client import PATIENCE, GuestRam, VfioClient

MAC = bytes.fromhex("025e00000001")
T = TypeVar("T")


class Served:
    """The card, its far side and its server."""

    def __init__(self, path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop], personality: Personality) -> None:
        self.path, self.wire, self.executor = path, WirePort(), Executor()
        self.memory = GuestMemory(self.executor)
        self.card = PluggedCard(personality, self.wire, self.memory, self.executor)
        self.function = CardFunction(self.card, self.memory)
        self.server = CardServer(path, self.function)
        self.loop = new_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._clients: list[VfioClient] = []

    def start(self) -> None:
        self._thread.start()
        self.executor.start()
        self.run(self._start())

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        self.run(self.server.stop())
        self.run(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        self.executor.stop()

    async def _start(self) -> None:
        self.card.start()
        await self.server.start()

    async def _stop(self) -> None:
        self.card.stop()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    def call(self, function: Callable[[], T]) -> T:
        """Call it in the server's thread."""

        async def called() -> T:
            return function()

        return self.run(called())

    def client(self) -> VfioClient:
        client = VfioClient(self.path)
        self._clients.append(client)
        return client


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path / "card.sock", request.param, Personality(mac=MAC, max_queues=4))
    served.start()
    yield served
    served.stop()


@pytest.fixture
def served_with_memory(tmp_path: Path) -> Iterator[Served]:
    """A card that offers LLQ: 512 KiB of memory of its own."""
    personality = Personality(mac=MAC, max_queues=4, features=STANDARD_FEATURES | {FeatureId.LLQ})
    served = Served(tmp_path / "card.sock", asyncio.new_event_loop, personality)
    served.start()
    yield served
    served.stop()


@pytest.fixture
def ram() -> Iterator[GuestRam]:
    ram = GuestRam()
    yield ram
    ram.close()


def open_descriptors() -> int:
    """Of this process."""
    return len(os.listdir("/proc/self/fd"))
