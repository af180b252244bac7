"""Targets of the data path: any descriptors and doorbells, in rings that come and go, in memory that does too.

Queues are made by admin commands. Frames arrive meanwhile, and memory changes between any two steps.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from ena_dev.port.meta import FrameMeta
from tests.fuzz.control import access, body
from tests.fuzz.decode import Decisions
from tests.fuzz.rig import Rig
from tests.hostile.nonsense import good
from tests.support.scripted_driver import ScriptedDriver
from tests.support.vfio_client import GuestRam

LONGEST = 64  # steps of one input
PAGE = 4096
FRAMES: list[bytes] = []


def frames() -> list[bytes]:
    """Well-formed ones, both ways."""
    if not FRAMES:
        from scapy.layers.l2 import Ether

        hosts = [("192.0.2.1", "198.51.100.2"), ("2001:db8::1", "2001:db8:1::2")]
        FRAMES.extend(good(Ether(src="02:5e:00:00:00:fe", dst="02:5e:00:00:00:01"), hosts))
    return FRAMES


@dataclass
class Queue:
    """What the driver believes of one submission queue."""

    direction: int  # 1 Tx, 2 Rx
    bell: int
    index: int
    cq: int
    depth: int
    ring: int
    lines: int = -1  # offset of line 0 in device memory; -1: the ring is in the driver's
    tail: int = 0


@dataclass
class Hostile:
    """A driver with queues, for as long as its admin queue answers."""

    rig: Rig
    dice: Decisions
    driver: ScriptedDriver
    queues: list[Queue] = field(default_factory=list)
    line: int = 128  # bytes of one in device memory
    before: int = 2  # descriptors before its header

    def choose_lines(self) -> None:
        """Let queues be in device memory too: whatever layout the card accepts."""
        dice = self.dice
        entry, before, stride, accelerators = dice.choice((1, 4, 4, 2)), 1 << dice.below(4), 1 + dice.below(2), dice.choice((0, 0, 1, 2, 3))
        payload = struct.pack("<II8HBBHHHI", 0, 0, 0, 1, 0, entry, 0, before, 0, stride, 0, 0, 0, accelerators, 0, 0)
        self.line, self.before = 128 if entry == 1 else 256, before
        self.command(9, bytes(12) + bytes((0, 4, 1, 0)) + payload[:44])

    def step(self) -> None:
        kind = self.dice.byte()
        if kind < 40 or not self.queues:
            self.create()
        elif kind < 136:
            self.post(self.dice.choice(self.queues))
        elif kind < 152:
            queue = self.dice.choice(self.queues)
            self.rig.write(queue.bell, self.dice.number())
        elif kind < 184:
            self.inject()
        elif kind < 208:
            self.rig.settle(self.dice.choice((0.0, 0.0, 0.00001, 0.001, 0.5)))
        elif kind < 216:
            self.scribble()
        elif kind < 224:
            self.rig.write(0x2000 + 4 * self.dice.below(6), self.dice.word())
        elif kind < 232:
            self.destroy()
        elif kind < 244:
            self.driver.submit(self.dice.choice((1, 2, 3, 4, 8, 9, 11)), self.admin_body())
            self.rig.settle()
        else:
            access(self.rig, self.dice)

    def admin_body(self) -> bytes:
        return body(self.rig, self.dice, self.dice.choice((1, 2, 3, 4, 8, 9, 11)))[:60]

    def address(self) -> int:
        return self.dice.address(self.rig.ram.base, self.rig.ram.size)

    def create(self) -> None:
        """A pair of rings; what is refused is refused."""
        dice = self.dice
        direction, depth, where = dice.choice((1, 2)), 1 << 1 + dice.below(9), self.address()
        words = dice.choice((2, 2, 4)) if direction == 1 else dice.choice((4, 8))
        vector = dice.choice((1, 1, 2, 99))
        cq = self.command(3, struct.pack("<BBHIIHH", 0x20, words, depth, vector, where & 0xFFFFFFFF, where >> 32 & 0xFFFF, 0))
        if cq is None:
            return
        index, ring = struct.unpack_from("<H", cq)[0], self.address()
        placement = dice.choice((1, 1, 1, 3))
        form = (direction << 5, 0, placement, 1, index, depth, ring & 0xFFFFFFFF, ring >> 32 & 0xFFFF, 0)
        sq = self.command(1, struct.pack("<BBBBHHIHH", *form))
        if sq is not None:
            number, _, bell, lines = struct.unpack_from("<HHII", sq)
            self.queues.append(Queue(direction, bell, number, index, depth, ring, lines if placement == 3 else -1))

    def command(self, opcode: int, entry: bytes) -> bytes | None:
        """Its payload; None if it failed, or nothing came."""
        self.driver.submit(opcode, entry)
        self.rig.settle()
        done = None
        while (answer := self.driver.collect()) is not None:
            done = answer[1]
        return done.payload if done is not None and done.status == 0 else None

    def destroy(self) -> None:
        queue = self.queues.pop(self.dice.below(len(self.queues)))
        self.command(2, struct.pack("<HB", queue.index, queue.direction << 5))
        if self.dice.chance(224):
            self.command(4, struct.pack("<H", queue.cq))

    def poke(self, address: int, data: bytes) -> None:
        """As far as it is the driver's memory."""
        ram = self.rig.ram
        if ram.base <= address <= ram.base + ram.size - len(data):
            ram.poke(address, data)

    def post(self, queue: Queue) -> None:
        """Descriptors of a packet, or of a few buffers, at the tail; then most often the doorbell."""
        dice = self.dice
        count = 1 + dice.below(5) if dice.chance(240) else dice.byte()
        for n in range(count):
            phase = 1 - (queue.tail // queue.depth & 1)
            if queue.lines >= 0:
                self.post_line(queue, phase, n, count)
                continue
            raw = self.rx(phase, queue.tail) if queue.direction == 2 else self.tx(phase, n == 0, n == count - 1)
            self.poke(queue.ring + 16 * (queue.tail % queue.depth), raw)
            queue.tail += 1
        if dice.chance(224):
            self.rig.write(queue.bell, queue.tail & 0xFFFF)

    def post_line(self, queue: Queue, phase: int, n: int, count: int) -> None:
        """A packet's first line with the frame's start, or one of more descriptors."""
        dice, memory = self.dice, self.rig.card.device_memory
        slots = 1 + dice.below(self.before if n == 0 else self.line // 16)
        raw = b"".join(self.tx(phase, n == 0 and at == 0, n == count - 1 and at == slots - 1) for at in range(slots))
        if n == 0 and dice.chance(224):
            words = list(struct.unpack_from("<IIII", raw, 16 * (slots - 1)))
            words[3] = words[3] & 0xFFFF | dice.byte() << 24 | dice.byte() << 16
            header = dice.choice(frames())[: self.line]
            raw = (raw[: 16 * (slots - 1)] + struct.pack("<IIII", *words)).ljust(16 * self.before, b"\0") + header
        if memory is not None:
            memory.write(queue.lines + self.line * (queue.tail % queue.depth), raw[: self.line])
        queue.tail += 1

    def rx(self, phase: int, slot: int) -> bytes:
        where = self.address()
        control = 0x1C | phase ^ self.dice.chance(4)
        return struct.pack("<HBBHHIHH", self.dice.number(2), 0, control, slot & 0xFFFF, 0, where & 0xFFFFFFFF, where >> 32 & 0xFFFF, 0)

    def tx(self, phase: int, first: bool, last: bool) -> bytes:
        dice = self.dice
        if dice.chance(8):
            return dice.take(16)
        if first and dice.chance(64):
            mss = dice.number(2)
            control = 1 << 23 | 1 << 14 | 1 << 20 | phase << 24 | 1 << 26 | (mss >> 10 & 0xF) << 16
            lengths = dice.choice((20, 40, 0, 255)) | dice.choice((14, 18, 0, 255)) << 8 | (dice.byte() & 0x3F) << 16 | (mss & 0x3FF) << 22
            return struct.pack("<IIII", control, 0, lengths, 0)
        where, size = self.frame() if first else (self.address(), dice.number(2))
        control = size | phase << 24 | first << 26 | last << 27 | 1 << 28
        offloads = dice.word() if dice.chance(16) else dice.choice((0, 0x2000, 0x6000, 0x4000, 0x80, 0x20, 0x60A1, 0x6188, 0x20B0))
        return struct.pack("<IIII", control, offloads, where & 0xFFFFFFFF, where >> 32 & 0xFFFF)

    def frame(self) -> tuple[int, int]:
        """Where one lies in the driver's memory, most often, and how long it is said to be."""
        dice = self.dice
        frame, where = dice.choice(frames()), self.address()
        if dice.chance(128):
            where = self.rig.ram.base + self.rig.ram.size - min(len(frame), 16384)
        self.poke(where, frame[: self.rig.ram.size // 2])
        return where, len(frame) & 0xFFFF if dice.chance(192) else dice.number(2)

    def inject(self) -> None:
        dice = self.dice
        frame = bytearray(dice.choice(frames()) if dice.chance(240) else dice.take(dice.byte()))
        if frame and dice.chance(64):
            frame[dice.below(min(len(frame), 100))] = dice.byte()
        meta = None
        if dice.chance(96):
            offset, segment = dice.choice((6, 16, dice.number(2))), dice.choice((0, 8, 536, 1448, dice.number(2)))
            meta = FrameMeta(dice.chance(128), dice.chance(64), dice.choice((34, 54, dice.number(2))), offset, segment, dice.choice((4, 6)))
        self.rig.wire.inject(bytes(frame), queue=dice.below(2), meta=meta)

    def scribble(self) -> None:
        """Any bytes anywhere, a whole page of them at times."""
        what = self.dice.take(16)
        self.poke(self.address(), what * 256 if self.dice.chance(32) else what)


def hostile(rig: Rig, dice: Decisions) -> Hostile:
    driver = rig.driver()
    driver.reset()
    driver.set_up_admin()
    made = Hostile(rig, dice, driver)
    if dice.chance(96):
        made.choose_lines()
    return made


def rings(data: bytes) -> None:
    """Any queues, descriptors, doorbells and frames."""
    dice = Decisions(data)
    with Rig() as rig:
        driver = hostile(rig, dice)
        for _ in range(LONGEST):
            if not dice.more:
                break
            driver.step()
        rig.settle(1.0)
        rig.comes_back()


def addresses(data: bytes) -> None:
    """The same in memory of several ranges with holes, mapped and unmapped under way, some of them only to read or only to write."""
    dice = Decisions(data)
    with Rig() as rig:
        driver = hostile(rig, dice)
        for _ in range(LONGEST):
            if not dice.more:
                break
            if dice.chance(80):
                remap(rig, dice)
            else:
                driver.step()
        rig.settle(1.0)
        rig.comes_back()


def remap(rig: Rig, dice: Decisions) -> None:
    """Change what the card reaches of the driver's memory: split it, take parts away, put them elsewhere."""
    ram, kind = rig.ram, dice.byte() & 7
    ranges = rig.memory.ranges
    if kind < 2 and ranges:
        address, size, _, _ = dice.choice(ranges)
        rig.memory.unmap(address, size)
    elif kind == 2:
        rig.memory.enable(dice.chance(192))
    elif kind == 3:
        rig.memory.unmap_all()
    else:
        map_part(rig, dice, ram)


def map_part(rig: Rig, dice: Decisions, ram: GuestRam) -> None:
    """Some pages of the file at its address, or at another's."""
    first, count = dice.below(ram.size // PAGE), 1 + dice.below(ram.size // PAGE)
    count = min(count, ram.size // PAGE - first)
    address = ram.base + first * PAGE if dice.chance(224) else (dice.address(ram.base, ram.size) & -PAGE)
    readable, writable = dice.choice(((True, True), (True, True), (True, False), (False, True)))
    taken = any(address < base + size and base < address + count * PAGE for base, size, _, _ in rig.memory.ranges)
    if not taken and address <= (1 << 64) - count * PAGE and len(rig.memory.ranges) < 60:
        rig.memory.map(address, count * PAGE, ram.fd, first * PAGE, readable=readable, writable=writable)
