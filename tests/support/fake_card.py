"""What a control plane needs around it, without any of the real thing: memory by address, vectors that count, an engine that remembers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ena_dev.abi.admin import Direction
from ena_dev.device.allowances import Allowances, AllowanceStats
from ena_dev.device.interfaces import (
    DOORBELL_BASE,
    DOORBELL_STRIDE,
    UNMASK_BASE,
    UNMASK_NONE,
    UNMASK_STRIDE,
    BasicStats,
    DataFaults,
    FlowRule,
    LineLayout,
    RssSpec,
)
from ena_dev.errors import BusError

FIRST_ADDRESS = 0x1_0000_0000  # above 32 bits, so that a lost high half is noticed
GAP = 0x1000  # unmapped bytes between regions


class FakeMemory:
    """Host memory in regions with holes between them. `writes` lists what the card wrote, in order."""

    def __init__(self) -> None:
        self._regions: dict[int, bytearray] = {}
        self._next = FIRST_ADDRESS
        self.writes: list[tuple[int, bytes]] = []
        self.reads: list[tuple[int, int]] = []

    def allocate(self, size: int) -> int:
        address = self._next
        self._regions[address] = bytearray(size)
        self._next += (size + GAP + 0xFFF) & ~0xFFF
        return address

    def unmap(self, address: int) -> None:
        del self._regions[address]

    def read(self, address: int, length: int) -> bytes:
        region, offset = self._find(address, length)
        self.reads.append((address, length))
        return bytes(region[offset : offset + length])

    def write(self, address: int, data: bytes) -> None:
        region, offset = self._find(address, len(data))
        self.writes.append((address, bytes(data)))
        region[offset : offset + len(data)] = data

    def peek(self, address: int, length: int) -> bytes:
        """Read as the host does, leaving no trace."""
        region, offset = self._find(address, length)
        return bytes(region[offset : offset + length])

    def poke(self, address: int, data: bytes) -> None:
        region, offset = self._find(address, len(data))
        region[offset : offset + len(data)] = data

    def _find(self, address: int, length: int) -> tuple[bytearray, int]:
        for base, region in self._regions.items():
            if base <= address < base + len(region) and length <= len(region) - (address - base):
                return region, address - base
        raise BusError(address, length, "not mapped")


@dataclass
class FakeVector:
    fired: int = 0

    def fire(self) -> None:
        self.fired += 1


@dataclass
class FakeShaper:
    allowances: Allowances = field(default_factory=Allowances)
    stats: AllowanceStats = field(default_factory=AllowanceStats)

    def set(self, allowances: Allowances) -> None:
        self.allowances = allowances

    def statistics(self) -> AllowanceStats:
        return self.stats


@dataclass
class FakeEngine:
    """Remembers its queues and settings; `calls` lists what it was told, in order."""

    memory: FakeMemory
    cqs: dict[int, tuple[int | None, int, int, int]] = field(default_factory=dict)
    sqs: dict[int, tuple[Direction, int, int, int]] = field(default_factory=dict)
    llqs: dict[int, LineLayout] = field(default_factory=dict)
    rss: RssSpec | None = None
    mtu: int | None = None
    large_receive: bool | None = None
    link: bool = True
    faults: DataFaults = field(default_factory=DataFaults)
    withheld: int = 0
    lost: dict[int | None, int] = field(default_factory=dict)  # by vector; None: of any
    spoiled: list[tuple[Direction, int, int]] = field(default_factory=list)  # wrong ids, malformed
    flow_rules: tuple[FlowRule, ...] = ()
    clock_offset: int | None = None
    stats: BasicStats = field(default_factory=BasicStats)
    shaper: FakeShaper = field(default_factory=FakeShaper)
    stops: int = 0
    fatal_address: int | None = None

    def create_cq(self, index: int, vector: int | None, entry_words: int, depth: int, ring: int) -> None:
        self.memory.peek(ring, depth * entry_words * 4)
        if index in self.cqs:
            raise AssertionError(f"CQ {index} exists")
        self.cqs[index] = (vector, entry_words, depth, ring)

    def destroy_cq(self, index: int) -> None:
        del self.cqs[index]

    def create_sq(self, index: int, direction: Direction, cq_index: int, depth: int, ring: int) -> None:
        self.memory.peek(ring, depth * 16)
        if index in self.sqs:
            raise AssertionError(f"SQ {index} exists")
        self.sqs[index] = (direction, cq_index, depth, ring)

    def create_llq(self, index: int, cq_index: int, depth: int, lines: LineLayout) -> None:
        if index in self.sqs:
            raise AssertionError(f"SQ {index} exists")
        self.sqs[index] = (Direction.TX, cq_index, depth, 0)
        self.llqs[index] = lines

    def destroy_sq(self, index: int, direction: Direction) -> None:
        self.llqs.pop(index, None)
        if self.sqs.pop(index)[0] is not direction:
            raise AssertionError(f"SQ {index} is no {direction.name} queue")

    def stop(self) -> None:
        self.stops += 1
        self.fatal_address = None
        self.flow_rules = ()
        self.cqs.clear()
        self.sqs.clear()
        self.llqs.clear()

    def set_rss(self, spec: RssSpec) -> None:
        self.rss = spec

    def set_flow_rules(self, rules: Iterable[FlowRule]) -> None:
        self.flow_rules = tuple(rules)

    def set_clock_offset(self, offset: int) -> None:
        self.clock_offset = offset

    def set_mtu(self, mtu: int) -> None:
        self.mtu = mtu

    def set_large_receive(self, enabled: bool) -> None:
        self.large_receive = enabled

    def set_link(self, up: bool) -> None:
        self.link = up

    def set_faults(self, faults: DataFaults) -> None:
        self.faults = faults

    def withhold_tx_completions(self, count: int) -> None:
        self.withheld += count

    def spoil_completions(self, direction: Direction, *, wrong_id: int = 0, malformed: int = 0) -> None:
        self.spoiled.append((direction, wrong_id, malformed))

    def lose_interrupts(self, count: int, vector: int | None = None) -> None:
        self.lost[vector] = self.lost.get(vector, 0) + count

    def statistics(self) -> BasicStats:
        return self.stats

    def doorbell_offset(self, direction: Direction, index: int) -> int:
        return DOORBELL_BASE + DOORBELL_STRIDE * index + (4 if direction is Direction.RX else 0)

    def unmask_offset(self, vector: int | None) -> int:
        return UNMASK_NONE if vector is None else UNMASK_BASE + UNMASK_STRIDE * vector
