"""One card's IO side on a bench: real memory, BAR, vectors, executor and engine, a wire, and a driver that writes rings by hand.

The rings are written and read through the contract's tables, never through the declarations that the engine compiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ena_dev.abi.admin import Direction
from ena_dev.abi.eth_io import RxCompletion, RxCompletionExtended, RxDescriptor, TxCompletion, TxDescriptor, TxMetaDescriptor
from ena_dev.abi.record import BusAddress
from ena_dev.bus.device_memory import DeviceMemory
from ena_dev.bus.executor import Executor
from ena_dev.bus.interrupts import MsixVector
from ena_dev.bus.memory import Memory
from ena_dev.bus.mmio import RegisterBar
from ena_dev.device.io_engine import IoEngine
from ena_dev.port.port import Port
from ena_dev.port.wire import WirePort

MAC = bytes.fromhex("025e00000001")
PEER = bytes.fromhex("025e000000fe")
UNMASK, UNMASK_KEEPING_DELAYS = 0x40000000, 0xC0000000


@dataclass
class Packet:
    """One packet received: its bytes, and the completions of its buffers in order."""

    data: bytes
    completions: list[RxCompletion]

    @property
    def last(self) -> RxCompletion:
        return self.completions[-1]


@dataclass
class Ring:
    """What both directions share: a submission ring, a completion ring, a doorbell, a vector."""

    bench: IoBench
    index: int
    depth: int
    direction: Direction
    entry: int  # bytes of a completion
    vector: int | None
    tail: int = 0
    head: int = 0
    sq: int = 0
    cq: int = 0

    def create(self) -> None:
        self.sq, self.cq = self.bench.memory.allocate(16 * self.depth), self.bench.memory.allocate(self.entry * self.depth)
        self.bench.engine.create_cq(self.index, self.vector, self.entry // 4, self.depth, self.cq)
        self.bench.engine.create_sq(self.index, self.direction, self.index, self.depth, self.sq)

    def destroy(self) -> None:
        self.bench.engine.destroy_sq(self.index, self.direction)
        self.bench.engine.destroy_cq(self.index)

    @property
    def phase(self) -> int:
        return self.tail // self.depth + 1 & 1

    def write(self, descriptor: bytes) -> None:
        self.bench.memory.write(self.sq + self.tail % self.depth * 16, descriptor)
        self.tail += 1

    def ring(self, tail: int | None = None) -> None:
        offset = self.bench.engine.doorbell_offset(self.direction, self.index)
        self.bench.bar.write(offset, (self.tail if tail is None else tail) & 0xFFFF)

    def unmask(self, value: int = UNMASK_KEEPING_DELAYS) -> None:
        self.bench.bar.write(self.bench.engine.unmask_offset(self.vector), value)

    def _fresh(self, offset: int) -> bytes | None:
        """The completion at the head, if its phase bit (in the byte at `offset`) is this lap's."""
        raw = self.bench.memory.read(self.cq + self.head % self.depth * self.entry, self.entry)
        if raw[offset] & 1 != self.head // self.depth + 1 & 1:
            return None
        self.head += 1
        return raw


@dataclass
class TxRing(Ring):
    buffers: dict[int, int] = field(default_factory=dict)

    def send(
        self,
        frame: bytes,
        *,
        req_id: int = 0,
        cuts: Sequence[int] = (),
        meta: TxMetaDescriptor | None = None,
        ring: bool = True,
        **offloads: int,
    ) -> None:
        """Queue a frame over buffers of `cuts` bytes and one for the rest; `offloads` are fields of the first descriptor."""
        pieces, at = [], 0
        for cut in (*cuts, len(frame) - sum(cuts)):
            pieces.append(frame[at : at + cut])
            at += cut
        if meta is not None:
            meta.meta, meta.first, meta.phase, meta.ext_valid, meta.meta_store, meta.eth_meta_type = 1, 1, self.phase, 1, 1, 1
            self.write(bytes(meta))
        for n, piece in enumerate(pieces):
            address = self.bench.place(piece)
            descriptor = TxDescriptor(length=len(piece), address_low=address & 0xFFFFFFFF, address_high=address >> 32, phase=self.phase)
            if n == 0:
                descriptor.first, descriptor.completion_requested = meta is None, 1
                descriptor.req_id_high, descriptor.req_id_low = req_id >> 10, req_id & 0x3FF
                for name, value in offloads.items():
                    setattr(descriptor, name, value)
            descriptor.last = n == len(pieces) - 1
            self.write(bytes(descriptor))
        if ring:
            self.ring()

    def completions(self) -> list[TxCompletion]:
        done = []
        while (raw := self._fresh(3)) is not None:
            done.append(TxCompletion.parse(raw))
        return done


@dataclass
class RxRing(Ring):
    posted: dict[int, int] = field(default_factory=dict)  # req_id -> address
    next_id: int = 0

    def post(self, count: int, size: int = 2048, *, ring: bool = True) -> None:
        for _ in range(count):
            self.post_at(self.bench.memory.allocate(size), size)
        if ring:
            self.ring()

    def post_at(self, address: int, size: int) -> None:
        req_id = self.next_id % self.depth
        self.next_id += 1
        descriptor = RxDescriptor(length=size & 0xFFFF, phase=self.phase, first=1, last=1, completion_requested=1, req_id=req_id)
        descriptor.buffer = BusAddress.of(address)
        self.posted[req_id] = address
        self.write(bytes(descriptor))

    def receive(self) -> list[Packet]:
        packets: list[Packet] = []
        kind = RxCompletionExtended if self.entry == 32 else RxCompletion
        parts: list[RxCompletion] = []
        while (raw := self._fresh(3)) is not None:
            completion = kind.parse(raw)
            assert bool(completion.first) == (not parts)
            assert completion.buffer_used
            parts.append(completion)
            if completion.last:
                packets.append(Packet(b"".join(self._taken(part) for part in parts), parts))
                parts = []
        assert not parts, "a packet without end"
        return packets

    def _taken(self, completion: RxCompletion) -> bytes:
        assert completion.length
        return self.bench.memory.read(self.posted.pop(completion.req_id), completion.length)


class IoBench:
    """`queues` pairs may be made with `rx` and `tx`; queue pair n interrupts vector n + 1."""

    def __init__(self, port: Port | None = None, *, vectors: int = 5, executor: Executor | None = None, memory: Memory | None = None,
                 mac: bytes = MAC, budget: int = 64, device_memory: DeviceMemory | None = None) -> None:
        self.memory, self.executor, self.bar = memory or Memory(256 << 20), executor or Executor(budget), RegisterBar()
        self.vectors = [MsixVector(self.executor, v) for v in range(vectors)]
        self.port = port or WirePort()
        self.engine = IoEngine(self.executor, self.memory, self.bar, self.port, self.vectors, mac, device_memory=device_memory)
        self.now = 0.0

    @property
    def wire(self) -> WirePort:
        assert isinstance(self.port, WirePort)
        return self.port

    def rx(self, index: int = 1, *, depth: int = 16, vector: int | None = 1, entry: int = 16) -> RxRing:
        ring = RxRing(self, index, depth, Direction.RX, entry, vector)
        ring.create()
        return ring

    def tx(self, index: int = 0, *, depth: int = 16, vector: int | None = 1, entry: int = 8) -> TxRing:
        ring = TxRing(self, index, depth, Direction.TX, entry, vector)
        ring.create()
        return ring

    def place(self, data: bytes) -> int:
        """Put bytes somewhere in memory; returns the address, or 0 for none."""
        if not data:
            return 0
        address = self.memory.allocate(len(data))
        self.memory.write(address, data)
        return address

    def run(self, seconds: float = 0.0) -> None:
        """Let time pass, stepping whatever becomes due on the way."""
        end = self.now + seconds
        self.executor.run_until_idle(self.now)
        while (due := self.executor.deadline) is not None and due <= end:
            self.now = max(self.now, due)
            self.executor.run_until_idle(self.now)
        self.now = end
        self.executor.run_until_idle(self.now)
