"""A whole appliance on wires: cards, drivers, fast path and decisions are real, the networks at their far ends are scripted stations.

    async with ApplianceBench(TEXT) as bench:          in virtual time, without root
        client, server = bench.station("lan", "192.168.1.9"), bench.station("wan", "203.0.113.9")
        client.send(IP(...) / UDP(...))
        await bench.settle()
        assert server.only(UDP).ttl == 63

At its end every frame must have been accounted for, and every buffer be in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any, Self

from scapy.packet import Packet

from appliance.config.loader import loads
from appliance.config.models import Config, Health, Nic
from appliance.runtime.appliance import Appliance
from appliance.runtime.cards import HOST_MAC, Card
from ena_dev.port.port import Port
from ena_dev.port.wire import WirePort
from tests.support.station import Segment, Station

SHORT, LONG = 0.001, 0.25
"""Seconds between looks at the wires: while something happens, and at most."""
SEED = 1
"""Of all that an appliance chooses by chance: keys of its hashes, targets, ports."""

Probe = Callable[[str, int, str | None, float], Awaitable[str]]


class AtOnce(ThreadPoolExecutor):
    """Runs what is meant for another thread in this one: virtual time would run away meanwhile."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


async def unreachable(address: str, port: int, source: str | None, patience: float) -> str:
    """A probe of a host that has no network."""
    return "no network"


class WireWorld:
    """Every port is a wire; nothing of Linux is touched. `capable`: the far ends take partial checksums and large packets, as TAPs do."""

    def __init__(self, capable: bool) -> None:
        self.wires: dict[str, WirePort] = {}
        self.probing: Probe = unreachable
        self._capable = capable

    def nic_port(self, nic: Nic) -> Port:
        return self._wire(nic.name)

    def host_port(self, config: Config, mac: bytes) -> Port:
        return self._wire("self")

    def _wire(self, name: str) -> WirePort:
        return self.wires.setdefault(name, WirePort(checksum=self._capable, segmentation=self._capable))

    async def adopt(self, config: Config) -> Config:
        return config

    def adopted(self, config: Config) -> Config:
        return config

    async def connect(self, config: Config, own: Sequence[str]) -> None:
        self.own = list(own)

    async def probe(self, health: Health, address: str, port: int, source: str | None) -> str:
        return await self.probing(address, port, source, health.timeout)

    async def restore(self) -> None:
        pass


class ApplianceBench:
    """One appliance from the text of its file."""

    def __init__(self, text: str, *, threaded: bool = False, capable: bool = False, path: Path = Path("bench.yaml")) -> None:
        self.config = loads(text, "bench.yaml")
        self.world = WireWorld(capable)
        self.segments: dict[str, Segment] = {}
        self._threaded, self._path = threaded, path

    async def __aenter__(self) -> Self:
        if not self._threaded:
            asyncio.get_running_loop().set_default_executor(AtOnce())
        self.appliance = Appliance(self.config, self._path, self.world, threaded=self._threaded, random=Random(SEED))
        await self.appliance.start()
        for name, wire in self.world.wires.items():
            nic = self.config.nics.get(name)
            mtu = nic.mtu if nic else min(n.mtu for n in self.config.nics.values())
            self.segments[name] = Segment(wire, nic.mac if nic else HOST_MAC, mtu)
        self._running = asyncio.create_task(self.appliance.run())
        await self.settle()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        try:
            if kind is None:
                await self.settle()
                self.check()
        finally:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            await self.appliance.stop()
        if kind is None:
            pool = self.appliance.pool
            assert pool.free == pool.count and pool.mistakes == 0, pool.census()

    def check(self) -> None:
        """Nothing failed, and each frame that was received was sent, handed over, dropped for one reason, or waits; and each that was
        handed over was heard or sent on, or dropped for one reason."""
        assert not self._running.done(), "the appliance ended"
        assert self.appliance.decider.failures == 0
        count = self.counters
        assert count["received"] + count["made"] == count["sent"] + count["punted"] + count["parked"] + sum(self.drops.values())
        punts = self.appliance.decider.punts
        assert self._threaded or count["punted"] == punts.handled + sum(punts.drops.values())

    async def elapse(self, seconds: float) -> None:
        """Let time pass while nobody looks at the wires."""
        await asyncio.sleep(seconds)

    async def settle(self, seconds: float = 0.05) -> None:
        """Let time pass with all stations awake."""
        loop, step = asyncio.get_running_loop(), SHORT
        end = loop.time() + seconds
        while (left := end - loop.time()) > 1e-9:
            await asyncio.sleep(min(step, left))
            busy = [segment.poll() for segment in self.segments.values()]
            step = SHORT if any(busy) else min(2 * step, LONG)

    def station(self, nic: str, *addresses: str, mac: str | None = None, silent: bool = False) -> Station:
        """A host on a nic's wire; on the wire `self` it plays the appliance's own stack."""
        return Station(self.segments[nic], *addresses, mac=HOST_MAC.hex(":") if nic == "self" else mac, silent=silent)

    def card(self, nic: str) -> Card:
        return next(card for card in self.appliance.cards if card.name == nic)

    def mac(self, nic: str) -> bytes:
        return self.card(nic).mac

    def send(self, nic: str, *frames: Packet | bytes) -> None:
        """Frames arrive at the far end of a nic's wire."""
        self.segments[nic].inject(*frames)

    def seen(self, nic: str) -> list[Packet]:
        """All that left a nic since the last look, ARP and ND too."""
        self.segments[nic].poll()
        return self.segments[nic].seen()

    @property
    def counters(self) -> dict[str, int]:
        return self.appliance.worker.counters()

    @property
    def drops(self) -> dict[str, int]:
        return {k.removeprefix("drop:"): v for k, v in self.counters.items() if k.startswith("drop:") and v}

    @property
    def flows(self) -> list[dict[str, object]]:
        """All flows, as they are shown."""
        shown: list[dict[str, object]] = self.appliance.flows(4096, 0)["flows"]
        return shown
