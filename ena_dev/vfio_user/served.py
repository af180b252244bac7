"""One card for one guest: plugged into the guest's memory, and served at a socket.

    port <-- PluggedCard --> GuestMemory
                 ^
    QEMU --> CardServer --> CardFunction
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from ena_dev.bus.executor import Executor
from ena_dev.bus.guest_memory import GuestMemory
from ena_dev.device.io_engine import IoEngine
from ena_dev.device.model import Device
from ena_dev.device.personality import Personality
from ena_dev.device.plugged import PluggedCard
from ena_dev.port.port import Port
from ena_dev.vfio_user.function import CardFunction
from ena_dev.vfio_user.server import CardServer


class ServedCard:
    """A card whose driver runs in a guest, from `start` to `stop`, or inside `async with`. The port stays its opener's."""

    def __init__(self, path: Path, personality: Personality, port: Port, executor: Executor, mode: int = 0o600) -> None:
        """`mode`: of the socket, which lets in who may write it."""
        memory = GuestMemory(executor)
        self._plugged = PluggedCard(personality, port, memory, executor)
        self._server = CardServer(path, CardFunction(self._plugged, memory), mode)

    @property
    def path(self) -> Path:
        return self._server.path

    @property
    def connected(self) -> bool:
        return self._server.connected

    @property
    def clients(self) -> int:
        """How many there were so far."""
        return self._server.clients

    @property
    def device(self) -> Device:
        return self._plugged.device

    @property
    def engine(self) -> IoEngine:
        return self._plugged.engine

    async def start(self) -> None:
        """Be there for a guest. Raises PortError when the path can't be used."""
        self._plugged.start()
        try:
            await self._server.start()
        except BaseException:
            self._plugged.stop()
            raise

    async def stop(self) -> None:
        """Drop the guest, and pull the card out. Idempotent."""
        await self._server.stop()
        self._plugged.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
