"""A driver of LLQs by hand: lines built from the contract in raw numbers, stored through a mapping of its own as a processor would.

It shares no table with the card. Stores are of 8 bytes, in any order within a line, as write-combining memory makes them.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from ena_dev.abi.admin import Direction
from ena_dev.bus.device_memory import DeviceMemory
from ena_dev.device.interfaces import LineLayout
from tests.support.io_bench import IoBench, TxRing

META, PHASE, FIRST, LAST, REQUEST = 1 << 23, 1 << 24, 1 << 26, 1 << 27, 1 << 28
NO_META = (0x00B04000, 0, 0, 0)  # ext_valid, extended, store: what a packet without offloads brings when metas aren't cached

Words = tuple[int, int, int, int]


def lines_of(
    descriptors: Sequence[Words], header: bytes, *, entry: int, before: int, following: int, depth: int, tail: int
) -> list[bytes]:
    """The images of one packet's lines, the first for index `tail`."""
    parts = [descriptors[:before]]
    parts += [descriptors[at : at + following] for at in range(before, len(descriptors), following)]
    images = []
    for n, part in enumerate(parts):
        phase = 0 if (tail + n) // depth & 1 else PHASE
        image = b"".join(struct.pack("<4I", word | phase, *rest) for word, *rest in part)
        if n == 0:
            image = image.ljust(16 * before, b"\0") + header
        assert len(image) <= entry
        images.append(image.ljust(entry, b"\0"))
    return images


@dataclass
class LlqRing(TxRing):
    """One queue in device memory."""

    line: int = 128
    before: int = 2
    single: bool = False
    offset: int = 0
    cached_meta: bool = True
    burst: int = 0
    mapping: mmap.mmap = field(init=False)

    @property
    def following(self) -> int:
        return 1 if self.single else self.line // 16

    @property
    def room(self) -> int:
        """The longest header."""
        return self.line - 16 * self.before

    def create(self) -> None:
        memory = self.bench.engine.device_memory
        assert memory is not None
        self.mapping = mmap.mmap(memory.fd, memory.size)
        self.cq = self.bench.memory.allocate(self.entry * self.depth)
        self.bench.engine.create_cq(self.index, self.vector, self.entry // 4, self.depth, self.cq)
        layout = LineLayout(self.offset, self.line, self.before, self.following, self.cached_meta, self.burst)
        self.bench.engine.create_llq(self.index, self.index, self.depth, layout)

    def push(self, frame: bytes, *, header: int, cuts: Sequence[int] = (), req_id: int = 0, meta: Words | None = None, word1: int = 0,
             ring: bool = True) -> int:
        """Write a frame: its first `header` bytes into the line, then buffers of `cuts` bytes and one for the rest. Returns its lines."""
        rest = frame[header:]
        pieces, at = [], 0
        for cut in (*cuts, max(0, len(rest) - sum(cuts))):
            pieces.append(rest[at : at + cut])
            at += cut
        descriptors: list[Words] = [] if meta is None else [(meta[0] | META | FIRST, *meta[1:])]
        for n, piece in enumerate(pieces):
            address = self.bench.place(piece)
            word0 = len(piece) | (LAST if n == len(pieces) - 1 else 0)
            if n:
                descriptors.append((word0, 0, address & 0xFFFFFFFF, address >> 32))
            else:
                word0 |= REQUEST | (req_id >> 10) << 16 | (0 if meta is not None else FIRST)
                descriptors.append((word0, word1 | (req_id & 0x3FF) << 22, address & 0xFFFFFFFF, address >> 32 | header << 24))
        lines = lines_of(
            descriptors, frame[:header], entry=self.line, before=self.before, following=self.following, depth=self.depth, tail=self.tail
        )
        for image in lines:
            self.store(image)
        if ring:
            self.ring()
        return len(lines)

    def store(self, image: bytes) -> None:
        """Put a line where the next one goes."""
        at = self.offset + self.tail % self.depth * self.line
        for word in sorted(range(0, self.line, 8), key=lambda word: word * 5 % 56):
            self.mapping[at + word : at + word + 8] = image[word : word + 8]
        self.tail += 1

    def at(self, index: int) -> int:
        """Where line `index` stands in the mapping."""
        return self.offset + index % self.depth * self.line


def llq_bench(size: int = 0x40000, *, budget: int = 64) -> IoBench:
    """A bench whose card has device memory."""
    return IoBench(device_memory=DeviceMemory(size), budget=budget)


def llq(bench: IoBench, index: int = 0, *, depth: int = 16, line: int = 128, before: int = 2, single: bool = False, offset: int = 0,
        cached_meta: bool = True, burst: int = 0) -> LlqRing:  # fmt: skip
    """A queue of `depth` lines."""
    ring = LlqRing(bench, index, depth, Direction.TX, 8, 1, line=line, before=before, single=single, offset=offset,
                   cached_meta=cached_meta, burst=burst)  # fmt: skip
    ring.create()
    return ring
