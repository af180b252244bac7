"""A driver that writes nonsense: into rings, doorbells and unmask registers, at any time, between queues that come and go.

The card may write where the driver said, and nowhere else; it is never busy for ever; and after a reset it serves a good driver.
"""

from __future__ import annotations

import pytest
from scapy.layers.l2 import Ether

from ena_dev.abi.admin import Direction
from ena_dev.bus.executor import Executor
from ena_dev.bus.interrupts import MsixVector
from ena_dev.bus.memory import Memory
from ena_dev.bus.mmio import RegisterBar
from ena_dev.device.interfaces import DataFaults, RssSpec
from ena_dev.device.io_engine import IoEngine
from ena_dev.errors import BusError, UsageError
from ena_dev.port.cable import cable
from ena_dev.port.port import Port
from ena_dev.port.wire import WirePort
from tests.hostile.nonsense import Nonsense, good
from tests.support.frames import CARD, PEER, udp
from tests.support.io_bench import MAC, IoBench

PAGE = 4096
RINGS = 24  # pages for them, each between two fences
BUFFERS = 1 << 20  # bytes at the very end of memory
CANARY = b"\xa5" * PAGE
HOSTS = [("192.0.2.1", "198.51.100.2"), ("2001:db8::1", "2001:db8:1::2")]
FRAMES = good(Ether(src=PEER, dst=CARD), HOSTS)


class Yard:
    """Memory of which a card may write completion rings and buffers only. Rings end where a fence begins, buffers where memory does."""

    def __init__(self) -> None:
        self.memory = Memory((2 * RINGS + 1) * PAGE + BUFFERS)
        self.base = self.memory.allocate((2 * RINGS + 1) * PAGE)
        self.buffers = self.memory.allocate(BUFFERS)
        self.end = self.buffers + BUFFERS
        self.expected = bytearray(CANARY * (2 * RINGS + 1))
        self.memory.write(self.base, self.expected)
        self.free = [2 * n + 1 for n in range(RINGS)]

    def ring(self, size: int) -> int:
        return self.base + (self.free.pop() + 1) * PAGE - size

    def give(self, address: int, size: int) -> None:
        """A ring is the driver's again."""
        self.put(address, CANARY[:size])
        self.free.append((address - self.base) // PAGE)

    def put(self, address: int, data: bytes) -> None:
        self.memory.write(address, data)
        self.expected[address - self.base : address - self.base + len(data)] = data

    def check(self, completions: list[tuple[int, int]]) -> None:
        """Nothing but completion rings, (address, size), has changed."""
        seen = bytearray(self.memory.read(self.base, len(self.expected)))
        for address, size in completions:
            at = address - self.base
            seen[at : at + size] = self.expected[at : at + size]
        assert seen == self.expected


class Driver:
    """One card and who mistreats it."""

    def __init__(self, dice: Nonsense, yard: Yard, executor: Executor, port: Port) -> None:
        self.dice, self.yard, self.port, self.bar = dice, yard, port, RegisterBar()
        vectors = [MsixVector(executor, n) for n in range(4)]
        self.vectors = vectors
        self.engine = IoEngine(executor, yard.memory, self.bar, port, vectors, MAC, promiscuous=dice.chance(0.5))
        self.queues: dict[tuple[Direction, int], tuple[int, int, int]] = {}  # depth, SQ, CQ
        self.completions: list[tuple[int, int]] = []

    def create(self) -> None:
        dice, direction = self.dice, self.dice.random.choice(list(Direction))
        index, depth = dice.random.randrange(6), dice.random.choice((2, 4, 8, 16, 32, 64))
        words = dice.random.choice((2, 4) if direction is Direction.TX else (4, 8))
        if any(key[1] == index for key in self.queues) or len(self.yard.free) < 2:
            return
        cq, sq = self.yard.ring(depth * words * 4), self.yard.ring(depth * 16)
        self.yard.put(cq, bytes(depth * words * 4))
        self.engine.create_cq(index, dice.random.choice((None, 1, 2, 3)), words, depth, cq)
        self.engine.create_sq(index, direction, index, depth, sq)
        self.queues[direction, index] = depth, sq, cq
        self.completions.append((cq, depth * words * 4))

    def destroy(self) -> None:
        if self.queues:
            direction, index = key = self.dice.random.choice(list(self.queues))
            self.engine.destroy_sq(index, direction)
            self.engine.destroy_cq(index)
            self.forget(key)

    def stop(self) -> None:
        self.engine.stop()
        for key in list(self.queues):
            self.forget(key)

    def forget(self, key: tuple[Direction, int]) -> None:
        depth, sq, cq = self.queues.pop(key)
        size = next(size for address, size in self.completions if address == cq)
        self.completions.remove((cq, size))
        self.yard.give(sq, depth * 16)
        self.yard.give(cq, size)

    def address(self) -> int:
        dice = self.dice
        if dice.chance(0.01):
            return dice.random.randrange(1 << 48)
        edge = self.yard.end if dice.chance(0.02) else self.yard.end - 0x10000
        return edge - dice.random.randrange(BUFFERS - 0x10000)

    def descriptor(self, direction: Direction, phase: int) -> bytes:
        dice = self.dice
        if dice.chance(0.05):
            return dice.random.randbytes(16)
        address = self.address()
        if direction is Direction.RX:
            size = dice.random.choice((0, 1, 64, 200, 2048, 4096, dice.number(0xFFFF)))
            return size.to_bytes(2, "little") + bytes([0, 28 | phase]) + dice.number(0xFFFF).to_bytes(2, "little") + bytes(2) + (
                address.to_bytes(6, "little") + bytes(2)
            )  # fmt: skip
        first = dice.chance(0.5)
        word0 = phase << 24 | first << 26 | dice.chance(0.5) << 27 | 1 << 28
        if first and dice.chance(0.4):
            word0 |= 1 << 23 | 1 << 14 | 1 << 20 | 1 << 21 | dice.random.randrange(16) << 16
            word2 = dice.random.choice((20, 40, dice.number(255))) | dice.random.choice((14, 18, dice.number(255))) << 8 | 5 << 16
            words = (word0 & ~(1 << 27), 0, word2 | dice.random.choice((0, 1, 8, 500, 1000)) << 22, 0)
        else:
            offloads = dice.random.getrandbits(32) if dice.chance(0.5) else 0
            size = dice.random.choice((0, 14, 60, 200, 1500, dice.number(0xFFFF)))
            words = (word0 | size, offloads, address & 0xFFFFFFFF, address >> 32)
        return b"".join(word.to_bytes(4, "little") for word in words)

    def scribble(self) -> None:
        """Some descriptors, and a doorbell that may even fit."""
        if not self.queues:
            return
        dice = self.dice
        direction, index = dice.random.choice(list(self.queues))
        depth, sq, _ = self.queues[direction, index]
        start, count, lap = dice.random.randrange(4 * depth), dice.random.randrange(2 * depth), dice.random.randrange(2)
        for n in range(start, start + count):
            phase = (n // depth + lap + dice.chance(0.02)) & 1
            self.yard.put(sq + n % depth * 16, self.descriptor(direction, phase))
        tail = dice.random.choice((start + count, count, dice.number(), depth))
        self.bar.write(self.engine.doorbell_offset(direction, index), tail)

    def send_good_bytes(self) -> None:
        """So that descriptors point at something like frames."""
        self.yard.memory.write(self.yard.buffers + self.dice.random.randrange(BUFFERS - 0x10000), self.dice.frame(FRAMES)[:0xFFFF])

    def poke(self) -> None:
        offset = 0x1000 + 4 * self.dice.random.randrange(0xC00) if self.dice.chance(0.3) else 0x2000 + 4 * self.dice.random.randrange(1, 4)
        self.bar.write(offset, self.dice.random.getrandbits(32))

    def settings(self) -> None:
        dice, engine = self.dice, self.engine
        match dice.random.randrange(8):
            case 0:
                engine.set_link(dice.chance(0.8))
            case 1:
                engine.set_mtu(dice.random.choice((68, 1500, 9216)))
            case 2:
                engine.set_large_receive(dice.chance(0.6))
            case 3:
                table = tuple(
                    dice.number(0xFFFF) if dice.chance(0.1) else dice.random.randrange(8) for _ in range(dice.random.choice((0, 1, 128)))
                )
                engine.set_rss(RssSpec(dice.random.randbytes(40), dice.random.getrandbits(32), table))
            case 4:
                engine.set_faults(DataFaults(dice.random.getrandbits(64), 0.1, 0.2, dice.random.choice((0.0, 0.001)), 0.001, 0.2))
            case 5:
                engine.set_faults(DataFaults())
            case 6:
                engine.withhold_tx_completions(dice.random.randrange(3))
            case 7:
                engine.lose_interrupts(dice.random.randrange(2))

    def inject(self) -> None:
        if isinstance(self.port, WirePort):
            for _ in range(self.dice.random.randrange(4)):
                frame = self.dice.frame(FRAMES)
                self.port.inject(frame, queue=self.dice.random.randrange(self.port.queues), meta=self.dice.meta(frame))

    def look(self) -> None:
        if isinstance(self.port, WirePort):
            for queue in range(self.port.queues):
                assert all(60 <= len(frame) <= 0x11000 for frame in self.port.take(queue=queue))


def mistreat(seed: int, steps: int) -> None:
    """One scenario: one card on a wire, or two on a cable, then a good driver on the first."""
    dice, yard, executor, now = Nonsense(seed), Yard(), Executor(), 0.0
    wired = dice.chance(0.7)
    wire = WirePort(dice.random.randrange(1, 4), checksum=dice.chance(0.5), segmentation=dice.chance(0.5))
    drivers = [Driver(dice, yard, executor, port) for port in ((wire,) if wired else cable(2))]
    acts = (4 * [Driver.scribble] + 3 * [Driver.inject] + 2 * [Driver.send_good_bytes] + 2 * [Driver.create]
            + [Driver.destroy, Driver.poke, Driver.settings, Driver.settings])  # fmt: skip
    for n in range(steps):
        driver = dice.random.choice(drivers)
        (Driver.stop if n % 97 == 96 or (driver.engine.fatal and dice.chance(0.3)) else dice.random.choice(acts))(driver)
        if dice.chance(0.4):
            now += dice.random.choice((0.0, 0.00001, 0.001, 0.5))
            executor.run_until_idle(now, 2000)
            driver.look()
            yard.check([ring for driver in drivers for ring in driver.completions])
    for driver in drivers:
        driver.stop()
        driver.engine.set_faults(DataFaults())
        driver.engine.set_link(False)  # so that what waits in the port is read
    executor.run_until_idle(now + 10.0)
    yard.check([])
    for driver in drivers:
        driver.look()
        driver.engine.close()
        for vector in driver.vectors:
            vector.close()
    if wired:
        serves(IoBench(wire, executor=executor))


def serves(bench: IoBench) -> None:
    rx, tx = bench.rx(), bench.tx()
    rx.post(4)
    bench.wire.inject(udp(100))
    tx.send(udp(200), req_id=3)
    bench.now = 1000.0
    bench.run()
    assert udp(100) in [packet.data for packet in rx.receive()]
    assert [done.req_id for done in tx.completions()] == [3]
    assert udp(200) in bench.wire.take()


@pytest.mark.parametrize("seed", range(12))
def test_no_driver_reaches_beyond_its_memory_or_spoils_the_card(seed: int) -> None:
    mistreat(seed, 400)


def test_the_yard_notices() -> None:
    yard = Yard()
    ring = yard.ring(64)
    yard.check([])
    yard.memory.write(ring + 64, b"x")
    with pytest.raises(AssertionError):
        yard.check([(ring, 64)])
    with pytest.raises(BusError):
        yard.memory.write(yard.end, b"x")
    with pytest.raises(UsageError):
        yard.memory.free(yard.end)
