"""One host with one card on a wire, driven: everything wired together for tests, stories and demos.

    wire --port--> PluggedCard --bar, vectors, memory--> Adapter --> queue pairs --> whoever opened the bench

    async with Testbed(queues=2) as bench:
        bench.wire.inject(frame)
        await bench.elapse(1.0)
        frames = bench.adapter.pairs[0].receive_nowait()

The executor runs in the event loop, on its clock, so a loop in virtual time makes the whole bench run in virtual time.
"""

from __future__ import annotations

import asyncio
from typing import Self

from ena_dev.bus.executor import Executor
from ena_dev.bus.memory import Memory
from ena_dev.device.model import Device
from ena_dev.device.personality import Personality
from ena_dev.device.plugged import PluggedCard
from ena_dev.driver.adapter import Adapter
from ena_dev.driver.negotiation import Wishes
from ena_dev.driver.pool import BufferPool
from ena_dev.port.port import Port
from ena_dev.port.wire import WirePort

MAC = bytes.fromhex("025e00000001")
DEPTH = 256  # entries of each ring: small, so that rings wrap soon
BUFFER_SIZE = 4096


class Testbed:
    """A bench, up between `async with` and its end.

    `wishes` default to `queues` pairs of small rings, `personality` to a card of at least as many queues with everything it can
    offer, `port` to a wire. `threaded` runs the executor in its data thread, in real time. `buffers`: of the pool.
    """

    __test__ = False  # not a test class, whatever its name begins with

    def __init__(
        self,
        queues: int = 1,
        *,
        wishes: Wishes | None = None,
        personality: Personality | None = None,
        port: Port | None = None,
        readless: bool = False,
        threaded: bool = False,
        buffers: int = 4096,
    ) -> None:
        self.memory, self.executor = Memory(), Executor()
        self.pool = BufferPool(self.memory, buffers, BUFFER_SIZE)
        self.wire = WirePort()
        personality = personality or Personality(mac=MAC, max_queues=max(queues, 4), large_receive=True)
        self.card = PluggedCard(personality, port or self.wire, self.memory, self.executor)
        wishes = wishes or Wishes(queues=queues, rx_depth=DEPTH, tx_depth=DEPTH)
        self.adapter = Adapter(
            self.memory, self.card.bar, self.card.vectors, self.pool, self.executor, wishes, name="bench", readless=readless
        )
        self._threaded = threaded

    @property
    def device(self) -> Device:
        """The card's control plane: its faults, its link, the resets it saw."""
        return self.card.device

    async def elapse(self, seconds: float) -> None:
        """Let time pass for all."""
        await asyncio.sleep(seconds)

    async def __aenter__(self) -> Self:
        if self._threaded:
            self.executor.start()
        else:
            self.executor.attach(asyncio.get_running_loop())
        try:
            self.card.start()
            await self.adapter.bring_up()
        except BaseException:
            self._pull_out()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        try:
            await self.adapter.tear_down()
        finally:
            self._pull_out()

    def _pull_out(self) -> None:
        self.card.stop()
        self.executor.stop()
        self.executor.detach()
