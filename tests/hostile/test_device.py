"""A card that writes nonsense: completions of any content, in any order, for anything, while its pairs are lent to the fast path.

Whatever it does is a frame, a drop, or a fault of the pair; no buffer is lost, none is given twice, and a restarted pair works on.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress

import pytest
from scapy.layers.l2 import Ether

from appliance.flow.program import Worker
from ena_dev.bus.executor import Executor
from ena_dev.bus.interrupts import MsixVector
from ena_dev.bus.memory import Memory
from ena_dev.bus.mmio import RegisterBar
from ena_dev.driver.pool import BufferPool
from ena_dev.driver.queue import QueuePair
from ena_dev.errors import BusError
from tests.appliance.flow.bench import TIMEOUTS
from tests.hostile.nonsense import Nonsense, good

MACS = (b"\x02\0\0\0\0\xa0", b"\x02\0\0\0\0\xa1")
HOSTS = [("10.0.0.1", "198.51.100.9"), ("2001:db8::1", "2001:db8:1::2")]
FRAMES = [  # for each card
    [frame for hosts in (HOSTS, [(b, a) for a, b in HOSTS]) for frame in good(Ether(src="02:00:00:00:00:10", dst=mac.hex(":")), hosts)]
    for mac in MACS
]
PHASE, FIRST, LAST = 1 << 24, 1 << 26, 1 << 27
STATUSES = (*4 * (0x10D08, 0x10C08, 0x10C0B, 0x10D0B, 0xD08), 0x14C08, 0x2C08, 0xFFFFFF)  # parse results and checksum verdicts
BUFFERS = 400


class Card:
    """The device's side of one pair, played badly."""

    def __init__(self, dice: Nonsense, memory: Memory, pool: BufferPool, executor: Executor, nic: int) -> None:
        self.dice, self.memory, self.nic = dice, memory, nic
        self.large, self.rx_depth, self.tx_depth = dice.chance(0.5), dice.random.choice((4, 16, 64)), dice.random.choice((4, 32, 64))
        self.vector = MsixVector(executor, 1)
        self.pair = QueuePair(
            executor, memory, pool, RegisterBar(), self.vector, 0, nic, self.rx_depth, self.tx_depth, self.large
        )  # fmt: skip
        self.entry = self.pair.rx_completion_words * 4
        self.start()

    def start(self) -> None:
        self.posted = self.received = self.fetched = self.completed = 0
        self.taken: list[int] = []
        self.pair.start(0x1000, 0x1004, 0x2004)

    def buffer(self) -> tuple[int, int] | None:
        """Request id and address of the next posted buffer."""
        raw = self.memory.read(self.pair.rings.rx_sq + self.posted % self.rx_depth * 16, 16)
        if raw[3] & 1 != (self.posted // self.rx_depth + 1) & 1:
            return None
        self.posted += 1
        return int.from_bytes(raw[4:6], "little"), int.from_bytes(raw[8:14], "little")

    def complete(self, status: int, length: int, req_id: int) -> None:
        dice, slot = self.dice, self.pair.rings.rx_cq + self.received % self.rx_depth * self.entry
        phase = PHASE if (self.received // self.rx_depth + 1) & 1 else 0
        offset = dice.number(255) if dice.chance(0.02) else 0
        raw = struct.pack("<IHHIHBB", status | phase, length, req_id, dice.random.getrandbits(32), 0, offset, dice.random.randrange(2))
        if self.entry == 32:
            raw += struct.pack("<IHHQ", 0, 0, dice.random.choice((0, 0, 1, 8, 1400, 65535)), 0)
        self.memory.write(slot, raw)
        self.received += 1

    def receive(self) -> None:
        """A frame, most often as it should be told of."""
        dice, frame = self.dice, self.dice.frame(FRAMES[self.nic])
        if len(frame) < 14:
            return
        size = 4096 if dice.chance(0.9) else dice.random.randrange(8, 4096)
        pieces = [frame[at : at + size] for at in range(0, len(frame), size)][:17]
        for n, piece in enumerate(pieces):
            posted = self.buffer()
            if posted is None:
                return
            req_id, address = posted
            with suppress(BusError):  # of a ring that was scribbled over
                self.memory.write(address, piece)
            status = (FIRST if n == 0 else 0) | (LAST | dice.random.choice(STATUSES) if n == len(pieces) - 1 else 0)
            length = len(piece)
            if dice.chance(0.01):
                status ^= dice.random.choice((FIRST, LAST, PHASE, dice.random.getrandbits(32)))
            if dice.chance(0.005):
                length = dice.number(0xFFFF)
            if dice.chance(0.005):
                req_id = dice.number(0xFFFF)
            self.complete(status, length, req_id)

    def send(self) -> None:
        """Completions for what was sent, in any order, and now and then for what was not."""
        dice = self.dice
        for _ in range(dice.random.randrange(20)):
            words = struct.unpack("<4I", self.memory.read(self.pair.rings.tx_sq + self.fetched % self.tx_depth * 16, 16))
            if words[0] >> 24 & 1 != (self.fetched // self.tx_depth + 1) & 1:
                break
            self.fetched += 1
            if not words[0] & 1 << 23 and words[0] & 1 << 28:
                self.taken.append((words[0] >> 16 & 0x3F) << 10 | words[1] >> 22)
        dice.random.shuffle(self.taken)
        while self.taken and dice.chance(0.8):
            self.finish(self.taken.pop())
        if dice.chance(0.01):
            self.finish(dice.number(0xFFFF))

    def finish(self, req_id: int) -> None:
        phase = (self.completed // self.tx_depth + 1) & 1
        self.memory.write(self.pair.rings.tx_cq + self.completed % self.tx_depth * 8, struct.pack("<HBBHH", req_id, 0, phase, 0, 0))
        self.completed += 1

    def scribble(self) -> None:
        """Any bytes over any ring."""
        if self.dice.chance(0.1):
            sizes = (16 * self.rx_depth, self.entry * self.rx_depth, 16 * self.tx_depth, 8 * self.tx_depth)
            at, size = self.dice.random.choice(list(zip(self.pair.rings, sizes, strict=True)))
            self.memory.write(at, self.dice.random.randbytes(size))

    def heal(self) -> None:
        if self.pair.fault or self.dice.chance(0.05):
            self.pair.stop()
            self.start()


async def decide(dice: Nonsense, worker: Worker, pair: QueuePair) -> None:
    """Install most flows, some of them translated, towards neighbours that are there or not; forget others."""
    async for work in pair.run(worker.program(pair)):
        for miss in work.misses:
            mapped = (miss.sport + 1 if miss.protocol in (6, 17) and miss.sport < 65535 else miss.sport) if dice.chance(0.5) else miss.sport
            dport = mapped if miss.icmp_type >= 0 else miss.dport
            reply = (miss.destination, miss.source, dport, mapped)
            if dice.chance(0.8):
                worker.install(miss.flow, miss.version, miss.protocol, reply, 1 - miss.nic, dice.random.randrange(1, 5), 1, 1, 1)
            elif dice.chance(0.5):
                worker.deny(miss.flow, 1, 1, "no-route", 0.5)


def misbehave(seed: int, steps: int) -> None:
    asyncio.run(scenario(seed, steps))


async def scenario(seed: int, steps: int) -> None:
    dice, memory, executor = Nonsense(seed), Memory(8 << 20), Executor()
    pool = BufferPool(memory, BUFFERS)
    worker = Worker(executor, pool, 64, bytes(16), TIMEOUTS)
    cards = [Card(dice, memory, pool, executor, nic) for nic in range(2)]
    for nic, card in enumerate(cards):
        worker.set_adjacency(nic + 1, nic, MACS[nic])
        worker.add_nic(nic, MACS[nic], dice.random.choice((1280, 1500, 9000)), [card.pair])
    tasks = [asyncio.create_task(decide(dice, worker, card.pair)) for card in cards]
    acts = 6 * [Card.receive] + 4 * [Card.send] + [Card.scribble, Card.heal]
    now = 1.0
    for _ in range(steps):
        card = dice.random.choice(cards)
        (Card.heal if card.pair.fault and dice.chance(0.5) else dice.random.choice(acts))(card)
        if dice.chance(0.3):
            card.vector.trigger()
            now += dice.random.choice((0.0, 0.0001, 0.1, 5.0))
            executor.run_until_idle(now, 2000)
            await asyncio.sleep(0)
        if dice.chance(0.05):
            worker.set_adjacency(dice.random.randrange(1, 5), dice.random.randrange(2), dice.random.choice((None, b"\x02\0\0\0\0\x77")))
        assert not any(task.done() for task in tasks)
        assert sum(pool.census().values()) == BUFFERS and pool.census()["pool"] == pool.free and pool.mistakes == 0
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    count = worker.counters()
    drops = sum(value for name, value in count.items() if name.startswith("drop:"))
    assert count["received"] + count["made"] == count["sent"] + count["punted"] + count["parked"] + drops
    assert not count["drop:internal"]
    worker.close()
    for card in cards:
        card.pair.close()
        card.vector.close()
    assert pool.census()["pool"] == pool.free == BUFFERS and pool.mistakes == 0


@pytest.mark.parametrize("seed", range(10))
def test_no_card_makes_the_fast_path_lose_a_buffer_or_a_frame(seed: int) -> None:
    misbehave(seed, 500)
