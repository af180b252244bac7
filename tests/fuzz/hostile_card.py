"""The target of the in-process driver: a card that lies in registers, completions, events and answers, and then is honest again.

The card is a real one, so that the driver gets far; between it and the driver, bytes change. Whatever it says, the driver raises nothing
but the product's own errors, loses no buffer, and is up again soon after the last lie; what it can't notice, a reset mends.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ena_dev.bus.executor import Executor
from ena_dev.bus.memory import Memory
from ena_dev.device.model import Device
from ena_dev.device.personality import Personality
from ena_dev.device.plugged import PluggedCard
from ena_dev.driver.adapter import Adapter, State
from ena_dev.driver.negotiation import Wishes
from ena_dev.driver.pool import BufferPool
from ena_dev.errors import SoftenaError
from ena_dev.port.wire import WirePort
from tests.fuzz.decode import Decisions
from tests.fuzz.good_driver import ARRIVING, HERE, LEAVING
from tests.fuzz.rig import Mistakes
from tests.support.virtual_time import VirtualTimeLoop

LONGEST = 48  # steps of one input
BUFFERS, DEPTH = 128, 32
PATIENCE = 70  # seconds of the driver's clock: its longest pause between two resets is 30


class Liar:
    """The control registers of a card; while not `honest` it changes what is read and loses what is written, as the input says."""

    def __init__(self, device: Device, dice: Decisions) -> None:
        self._device, self._dice = device, dice
        self.honest = False
        self.bases: dict[int, int] = {}  # what the driver wrote to the halves of its rings' addresses

    @property
    def _lies(self) -> bool:
        return not self.honest and self._dice.more and self._dice.chance(8)

    def read(self, offset: int) -> int:
        value = self._device.read(offset)
        return self._dice.number() if self._lies else value

    def write(self, offset: int, value: int) -> None:
        self.bases[offset] = value
        if not self._lies:
            self._device.write(offset, value)

    def ring(self, low: int, high: int) -> int:
        return self.bases.get(high, 0) << 32 | self.bases.get(low, 0)


class Bench:
    """A card, its lies, and its driver."""

    def __init__(self, dice: Decisions) -> None:
        self.dice, self.memory, self.executor, self.wire = dice, Memory(16 << 20), Executor(), WirePort()
        self.pool = BufferPool(self.memory, BUFFERS, 2048)
        large = dice.chance(128)
        self.card = PluggedCard(Personality(mac=HERE, max_queues=2, large_receive=large), self.wire, self.memory, self.executor)
        self.liar = Liar(self.card.device, dice)
        self.card.bar.control = self.liar
        wishes = Wishes(queues=1, rx_depth=DEPTH, tx_depth=DEPTH, large_receive=large)
        self.readless = dice.chance(64)
        self.wishes = wishes

    def adapter(self) -> Adapter:
        parts = self.memory, self.card.bar, self.card.vectors, self.pool, self.executor, self.wishes
        return Adapter(*parts, name="fuzzed", readless=self.readless)

    async def step(self, adapter: Adapter) -> None:
        dice, kind = self.dice, self.dice.byte()
        if kind < 96:
            self.corrupt(adapter)
        elif kind < 128:
            self.wire.inject(ARRIVING[: 60 + dice.byte()])
        elif kind < 176:
            self.traffic(adapter)
        elif kind < 200:
            self.card.vectors[dice.below(3)].trigger()
        elif kind < 216:
            with suppress(SoftenaError):
                await adapter.reset()
        await asyncio.sleep(dice.choice((0.0, 0.0, 0.0001, 0.01, 1.0, 6.0)))

    def traffic(self, adapter: Adapter) -> None:
        for pair in adapter.pairs:
            if pair.running:
                pair.receive_nowait()
                pair.replenish()
                with suppress(SoftenaError):
                    pair.send_nowait(LEAVING)
                pair.flush()
                pair.reap_nowait()

    def corrupt(self, adapter: Adapter) -> None:
        """Bytes of a ring that the card writes: admin answers, events, completions of either kind."""
        dice, size = self.dice, 64
        match dice.below(4):
            case 0:
                where, count = self.liar.ring(0x20, 0x24), 32
            case 1:
                where, count = self.liar.ring(0x38, 0x3C), 16
            case other:
                if not adapter.pairs:
                    return
                rings, size, count = adapter.pairs[0].rings, 8 if other == 2 else 16, DEPTH
                where = rings.tx_cq if other == 2 else rings.rx_cq
        at = dice.below(count) * size + dice.below(size)
        with suppress(SoftenaError):
            self.memory.write(where + at, dice.take(1 + dice.below(size - at % size)))


def driver(data: bytes) -> None:
    """A card of lies in front of the driver."""
    with Mistakes(), asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(story(Decisions(data)))


async def story(dice: Decisions) -> None:
    bench = Bench(dice)
    bench.executor.attach(asyncio.get_running_loop())
    bench.card.start()
    adapter = bench.adapter()
    try:
        with suppress(SoftenaError):
            await adapter.bring_up()
        for _ in range(LONGEST):
            if not dice.more or adapter.state is State.CLOSED:
                break
            await bench.step(adapter)
        bench.liar.honest = True
        if adapter.state is State.CLOSED:
            bench.card.device.function_reset()
            adapter = bench.adapter()
            await adapter.bring_up()
        await recovers(bench, adapter)
    finally:
        await adapter.tear_down()
        bench.card.stop()
        bench.executor.detach()
    assert bench.pool.free == bench.pool.count
    assert bench.pool.mistakes == 0


async def recovers(bench: Bench, adapter: Adapter) -> None:
    """A frame each way, in the end. Rings that a forged completion put out of step may look idle for ever: then a reset is asked for."""
    for attempt in range(2):
        for _ in range(PATIENCE):
            await asyncio.sleep(1.0)
            if adapter.state is State.UP and passes(bench, adapter):
                return
        assert adapter.state is State.UP, f"the driver does not recover: {adapter.state.name}"
        if not attempt:
            await adapter.reset()
    raise AssertionError("nothing passes, even after a reset")


def passes(bench: Bench, adapter: Adapter) -> bool:
    """Whether what was sent and what arrived in the last second came through; and the next are on their way."""
    pair = adapter.pairs[0]
    received = [frame.data for frame in pair.receive_nowait(64)]
    pair.replenish()
    pair.reap_nowait()
    sent = bench.wire.take()
    if ARRIVING in received and LEAVING in sent and not pair.fault:
        return True
    with suppress(SoftenaError):
        pair.send_nowait(LEAVING)
    pair.flush()
    bench.wire.inject(ARRIVING)
    return False
