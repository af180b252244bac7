"""A whole appliance on wires: cards, drivers, fast path and decisions are real, the networks at their far ends are lists of frames.

    async with ApplianceBench(TEXT) as bench:          in virtual time, without root
        bench.send("lan", frame)
        await bench.elapse(0.1)
        frames = bench.taken("wan")
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from appliance.config.loader import loads
from appliance.config.models import Config, Nic
from appliance.runtime.appliance import Appliance
from ena_dev.port.port import Port
from ena_dev.port.wire import WirePort


class WireWorld:
    """Every port is a wire; nothing of Linux is touched."""

    def __init__(self) -> None:
        self.wires: dict[str, WirePort] = {}

    def nic_port(self, nic: Nic) -> Port:
        return self.wires.setdefault(nic.name, WirePort())

    def host_port(self, config: Config, mac: bytes) -> Port:
        return self.wires.setdefault("self", WirePort())

    async def adopt(self, config: Config) -> Config:
        return config

    def adopted(self, config: Config) -> Config:
        return config

    async def connect(self, config: Config, own: Sequence[str]) -> None:
        self.own = list(own)

    async def restore(self) -> None:
        pass


class ApplianceBench:
    """One appliance from the text of its file."""

    def __init__(self, text: str, *, threaded: bool = False) -> None:
        self.config = loads(text, "bench.yaml")
        self.world = WireWorld()
        self._threaded = threaded

    async def __aenter__(self) -> Self:
        self.appliance = Appliance(self.config, Path("bench.yaml"), self.world, threaded=self._threaded)
        await self.appliance.start()
        self._running = asyncio.create_task(self.appliance.run())
        await self.elapse(0.01)
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self.appliance.stop()

    async def elapse(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def mac(self, nic: str) -> bytes:
        return self.config.nics[nic].mac

    def send(self, nic: str, *frames: bytes) -> None:
        """Frames arrive at the far end of a nic's wire."""
        for frame in frames:
            assert self.world.wires[nic].inject(frame), "the wire is full"

    def taken(self, nic: str) -> list[bytes]:
        """What left a nic since the last look."""
        return self.world.wires[nic].take()

    @property
    def drops(self) -> dict[str, int]:
        return {k.removeprefix("drop:"): v for k, v in self.appliance.worker.counters().items() if k.startswith("drop:") and v}
