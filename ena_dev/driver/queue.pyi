from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from ena_dev.bus.executor import Executor
from ena_dev.bus.interrupts import MsixVector
from ena_dev.bus.memory import Memory
from ena_dev.bus.mmio import RegisterBar
from ena_dev.driver.pool import BufferPool

class Rings(NamedTuple):
    """Bus addresses of the pair's four rings, for the create commands."""

    rx_sq: int
    rx_cq: int
    tx_sq: int
    tx_cq: int

class Received(NamedTuple):
    """One frame taken by the open API."""

    data: bytes
    hash: int
    checksum: str  # "good", "bad", "unchecked", "partial"
    segment: int  # MSS of a large packet, 0 otherwise

class Program:
    def take(self) -> Any: ...

class QueuePair:
    index: int
    nic: int
    def __init__(
        self,
        executor: Executor,
        memory: Memory,
        pool: BufferPool,
        bar: RegisterBar,
        vector: MsixVector,
        index: int,
        nic: int = ...,
        rx_depth: int = ...,
        tx_depth: int = ...,
        large_receive: bool = ...,
    ) -> None: ...
    rings: Rings
    rx_depth: int
    tx_depth: int
    rx_completion_words: int
    def start(self, rx_doorbell: int, tx_doorbell: int, unmask: int, max_tx_buffers: int = ..., moderation: tuple[int, int] = ...) -> None:
        """Post Rx buffers, unmask; `moderation`: (Rx, Tx) delay in units of the device's resolution."""
    def stop(self) -> int:
        """Forget all that is in flight (the device has been reset or its queues destroyed): every buffer back to the pool.

        Returns sends undone.
        """
    def close(self) -> None: ...
    @property
    def fault(self) -> int: ...
    def oldest_send(self) -> tuple[int, float] | None:
        """(req_id, time in seconds when it was sent) of the oldest send without completion."""
    def pending_unseen(self) -> bool:
        """Whether a completion waits in a CQ that nobody has looked at: with a silent vector, a lost interrupt."""
    def recover_interrupt(self) -> None:
        """The contract's lost-interrupt write: asks for the message again, leaves the vector unmasked."""
    @property
    def running(self) -> bool: ...
    @property
    def interrupts(self) -> int: ...
    def statistics(self) -> dict[str, int]:
        """Counters by their `ethtool -S` names, without the queue prefix: rx_cnt, rx_bytes, tx_cnt, tx_bytes, tx_doorbells, ..."""
    # the open API: a coroutine owns the pair
    def receive_nowait(self, budget: int = ...) -> list[Received]: ...
    def replenish(self) -> int: ...
    def send_nowait(self, data: bytes, *, partial: bool = ..., segment: int = ...) -> bool: ...
    def flush(self) -> None: ...
    def reap_nowait(self, budget: int = ...) -> int: ...
    async def wait_for_interrupt(self) -> None: ...
    # the lent API: a compiled program owns the bursts, the coroutine decides
    def run(self, program: Program) -> AsyncIterator[Any]:
        """Lend the pair to `program` until the iteration ends; yields each time there is something to decide or a fault."""
    def quiesce(self) -> None:
        """Receive no more; sends go on (shutdown)."""
    @property
    def sends_in_flight(self) -> int: ...
