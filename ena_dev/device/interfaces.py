"""What the card's control plane needs from its surroundings: memory, interrupt vectors, and the engine that moves packets.

    control plane (Python)  --Engine-->  queues, RSS, MTU, faults          compiled
                            --Memory-->  admin rings, control buffers      bus
                            --Vector-->  MSI-X 0                           bus

All calls go one way, from the control plane. The engine finds its own way to memory, vectors and the port.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ena_dev.abi.admin import Direction
from ena_dev.device.allowances import Allowances, AllowanceStats

# BAR 0 above the control registers. Both CQs of a queue pair name the same vector, and so the same unmask register.
DOORBELL_BASE = 0x1000
DOORBELL_STRIDE = 8  # bytes from one queue index to the next; Rx lies 4 above Tx
UNMASK_BASE = 0x2000
UNMASK_STRIDE = 4  # bytes from one vector to the next
UNMASK_NONE = 0x3FFC  # for queues that never interrupt: written by some drivers all the same, without effect


class Memory(Protocol):
    """Host memory by bus address. Both raise BusError, and touch nothing, unless all bytes are mapped and may be accessed so."""

    def read(self, address: int, length: int) -> bytes: ...

    def write(self, address: int, data: bytes) -> None:
        """Store `data`. A write of 4 or 8 bytes to an aligned address is one store."""


class Vector(Protocol):
    """One MSI-X vector."""

    def fire(self) -> None:
        """Send the message now. The mask of vector 0 has been judged already."""


@dataclass(frozen=True, slots=True)
class RssSpec:
    """How received packets find their queue.

    `key` is in the order the hash consumes it (the standard Toeplitz of 40 key bytes), the result is `initial ^ toeplitz(key, input)`.
    `table` holds 2**n device Rx SQ indices, entry = hash & (len - 1). An empty table, or an entry that names no existing Rx SQ,
    means the Rx SQ with the lowest index; so does a packet that is not hashed.
    """

    key: bytes
    initial: int
    table: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FlowRule:
    """Packets of an IP version, and of a protocol if it is not 0, whose fields agree where a mask has ones.

    `queue` counts the Rx queues in the order of their indices. Addresses and their masks are 16 bytes, an IPv4 one in the first four;
    ports are numbers. The lowest location wins; a rule for a queue that doesn't exist is as none, and the hash decides.
    """

    location: int
    queue: int
    version: int  # 4 or 6
    protocol: int  # TCP, UDP, or 0
    destination: bytes
    destination_mask: bytes
    source: bytes
    source_mask: bytes
    destination_port: int = 0
    destination_port_mask: int = 0
    source_port: int = 0
    source_port_mask: int = 0
    tos: int = 0
    tos_mask: int = 0


@dataclass(frozen=True, slots=True)
class LineLayout:
    """Where a Tx queue lies in device memory, and how its driver writes packets there. Source: ENA interface, LLQ (device placement)."""

    offset: int  # bytes to line 0
    entry: int  # bytes of a line: 128 or 256
    before_header: int  # descriptors at the start of a packet's first line: 1, 2, 4 or 8
    following: int  # descriptors in each further line
    cached_meta: bool  # a packet without a meta descriptor means the last one that was stored
    max_burst: int = 0  # lines between doorbells that the card asked for; 0: any


@dataclass(frozen=True, slots=True)
class BasicStats:
    """Counters of one card. They only grow: a reset does not zero them."""

    tx_bytes: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    rx_packets: int = 0
    rx_drops: int = 0
    tx_drops: int = 0
    rx_overruns: int = 0


@dataclass(frozen=True, slots=True)
class DataFaults:
    """Misbehaviour of the data path. Probabilities are 0..1 per packet, each direction; times in seconds."""

    seed: int = 0
    loss: float = 0.0
    duplication: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0  # uniform, added to the delay
    reorder: float = 0.0


class Shaper(Protocol):
    """Holds what comes and goes to the card's allowances."""

    def set(self, allowances: Allowances) -> None:
        """New limits from now on. What waits goes on waiting by the new ones; connections tracked so far are forgotten."""

    def statistics(self) -> AllowanceStats: ...


class Engine(Protocol):
    """The IO side of the card. Doorbells and unmask registers (offsets from DOORBELL_BASE up) are written to it directly.

    Indices, depths and entry sizes arrive checked by the control plane; addresses do not: the engine checks a ring when it gets it.
    When `destroy_sq`, `destroy_cq` or `stop` returns, no access to memory for those queues is in flight and none follows.
    """

    def create_cq(self, index: int, vector: int | None, entry_words: int, depth: int, ring: int) -> None:
        """A completion queue with entries of 2, 4 or 8 words, phase 1. `vector` None: never interrupt.

        Its direction is that of the SQ attached later. Raises BusError unless the device may write the whole ring.
        """

    def destroy_cq(self, index: int) -> None: ...

    def create_sq(self, index: int, direction: Direction, cq_index: int, depth: int, ring: int) -> None:
        """A submission queue in host memory, phase 1, tail 0, meta cache empty. Raises BusError unless the device may read the ring."""

    def create_llq(self, index: int, cq_index: int, depth: int, lines: LineLayout) -> None:
        """A Tx queue in device memory, its lines cleared; otherwise as `create_sq`."""

    def destroy_sq(self, index: int, direction: Direction) -> None:
        """Forget the queue; its outstanding packets and buffers get no completion."""

    def stop(self) -> None:
        """Reset: drop all queues and their state. Faults, link and counters stay; MTU, RSS and large receive are set by later calls."""

    def set_rss(self, spec: RssSpec) -> None: ...

    def set_flow_rules(self, rules: Iterable[FlowRule]) -> None:
        """In place of all that were there; `stop` forgets them."""

    def set_clock_offset(self, offset: int) -> None:
        """Nanoseconds from the engine's monotonic clock to the card's, by which large completions are stamped. A reset keeps it."""

    def set_mtu(self, mtu: int) -> None:
        """Largest packet without its Ethernet header, in bytes."""

    def set_large_receive(self, enabled: bool) -> None:
        """Deliver packets above the MTU, telling segment size and partial checksum in 32-byte completions."""

    def set_link(self, up: bool) -> None:
        """While down, received packets are discarded, and sent ones completed and discarded."""

    def set_faults(self, faults: DataFaults) -> None: ...

    def withhold_tx_completions(self, count: int) -> None:
        """Send the next `count` Tx packets, but never complete them. Forgotten by `stop`."""

    def spoil_completions(self, direction: Direction, *, wrong_id: int = 0, malformed: int = 0) -> None:
        """So many of the next completions name a request that can't be in flight, or have must-be-zero bits set. Forgotten by `stop`."""

    def lose_interrupts(self, count: int, vector: int | None = None) -> None:
        """Mask and forget the next `count` interrupts of IO vectors, or of one, instead of sending them. Forgotten by `stop`."""

    @property
    def fatal_address(self) -> int | None:
        """The address, owned by nobody, at which the engine ended all DMA by itself; None while all is well. `stop` forgets it."""

    def statistics(self) -> BasicStats: ...

    @property
    def shaper(self) -> Shaper: ...

    def doorbell_offset(self, direction: Direction, index: int) -> int:
        """BAR 0 offset of an SQ's doorbell."""

    def unmask_offset(self, vector: int | None) -> int:
        """BAR 0 offset of a vector's unmask register."""
