"""IO queues as the admin commands see them: which exist, what each may be, and their indices.

One index space serves both directions, and a submission queue gets the index of its completion queue whenever that is free, so an
RSS table may name either. The engine owns the rings; a driver's numbers reach it only after they were checked here.
Source: ENA interface, Queue commands; What a table entry contains.
"""

from __future__ import annotations

from dataclasses import dataclass

from ena_dev.abi.admin import (
    CompletionPolicy,
    CreateCq,
    CreateCqResponse,
    CreateSq,
    CreateSqResponse,
    DestroyCq,
    DestroySq,
    Direction,
    Placement,
    RawCompletion,
    Status,
)
from ena_dev.device.control_buffer import Refused, illegal
from ena_dev.device.interfaces import Engine, LineLayout
from ena_dev.device.llq import LlqSetting
from ena_dev.device.personality import Personality
from ena_dev.errors import BusError

ENTRY_WORDS = {Direction.TX: (2, 4), Direction.RX: (4, 8)}
LARGE_RECEIVE_WORDS = 8
SMALLEST_DEPTH = 2
RING_ALIGNMENT = 8  # bytes: what a single store of a phase bit needs


@dataclass(slots=True)
class CompletionQueue:
    """A CQ; `sq_index` is that of its only SQ, once there is one."""

    index: int
    entry_words: int
    depth: int
    sq_index: int | None = None


@dataclass(frozen=True, slots=True)
class SubmissionQueue:
    """An SQ; `lines`: where it is in device memory, if there."""

    index: int
    direction: Direction
    cq: CompletionQueue
    lines: LineLayout | None = None


class Queues:
    """Creates and destroys queues. All methods that answer a command raise Refused with its status."""

    def __init__(self, personality: Personality, engine: Engine, vectors: int, llq: LlqSetting) -> None:
        self._personality, self._engine, self._vectors, self._llq = personality, engine, vectors, llq
        self._cqs: dict[int, CompletionQueue] = {}
        self._sqs: dict[int, SubmissionQueue] = {}
        self.large_receive = False

    def reset(self) -> None:
        """Forget all; the engine has dropped its queues already."""
        self._cqs.clear()
        self._sqs.clear()
        self.set_large_receive(False)

    @property
    def receiving(self) -> bool:
        """Whether there is an Rx queue."""
        return any(sq.direction is Direction.RX for sq in self._sqs.values())

    def set_large_receive(self, enabled: bool) -> None:
        """Raises Refused while an Rx queue without room for the segment size exists."""
        small = (sq for sq in self._sqs.values() if sq.direction is Direction.RX and sq.cq.entry_words != LARGE_RECEIVE_WORDS)
        if enabled and any(small):
            raise illegal("an Rx queue has completions too small for large receive")
        self.large_receive = enabled
        self._engine.set_large_receive(enabled)

    def create_cq(self, command: CreateCq) -> CreateCqResponse:
        self._check_cq(command)
        index = self._free_index(self._cqs)
        vector = self._vector(command)
        ring = command.ring.value
        try:
            self._engine.create_cq(index, vector, command.entry_words, command.depth, ring)
        except BusError as error:
            raise illegal(str(error)) from error
        self._cqs[index] = CompletionQueue(index, command.entry_words, command.depth)
        return CreateCqResponse(cq_index=index, actual_depth=command.depth, unmask_offset=self._engine.unmask_offset(vector))

    def create_sq(self, command: CreateSq) -> CreateSqResponse:
        direction = _direction(command.direction)
        cq = self._cqs.get(command.cq_index)
        if cq is None or cq.sq_index is not None:
            raise illegal(f"completion queue {command.cq_index} is not there, or taken")
        self._check_sq(command, direction, cq)
        if sum(sq.direction is direction for sq in self._sqs.values()) >= self._personality.max_queues:
            raise Refused(Status.RESOURCE_ALLOCATION_FAILURE, f"no {direction.name} queue left")
        index = cq.index if cq.index not in self._sqs else self._free_index(self._sqs)
        lines = self._make_sq(index, direction, cq.index, command)
        self._sqs[index] = SubmissionQueue(index, direction, cq, lines)
        cq.sq_index = index
        return CreateSqResponse(
            sq_index=index,
            doorbell_offset=self._engine.doorbell_offset(direction, index),
            llq_descriptors_offset=lines.offset if lines else 0,
        )

    def _make_sq(self, index: int, direction: Direction, cq_index: int, command: CreateSq) -> LineLayout | None:
        """Have the engine make it, in device memory or in the host's."""
        if command.placement == Placement.DEVICE:
            lines = self._llq.place(command.depth)
            try:
                self._engine.create_llq(index, cq_index, command.depth, lines)
            except BusError as error:  # the system had none left for the card
                self._llq.release(lines)
                raise Refused(Status.RESOURCE_ALLOCATION_FAILURE, str(error)) from error
            return lines
        try:
            self._engine.create_sq(index, direction, cq_index, command.depth, command.ring.value)
        except BusError as error:
            raise illegal(str(error)) from error
        return None

    def destroy_sq(self, command: DestroySq) -> RawCompletion:
        queue = self._sqs.get(command.sq_index)
        if queue is None or queue.direction is not _direction(command.direction):
            raise illegal(f"submission queue {command.sq_index} is not there")
        self._engine.destroy_sq(queue.index, queue.direction)
        if queue.lines is not None:
            self._llq.release(queue.lines)
        queue.cq.sq_index = None
        del self._sqs[queue.index]
        return RawCompletion()

    def destroy_cq(self, command: DestroyCq) -> RawCompletion:
        queue = self._cqs.get(command.cq_index)
        if queue is None or queue.sq_index is not None:
            raise illegal(f"completion queue {command.cq_index} is not there, or still used")
        self._engine.destroy_cq(queue.index)
        del self._cqs[queue.index]
        return RawCompletion()

    def _check_cq(self, command: CreateCq) -> None:
        if command.entry_words not in (2, 4, 8):
            raise illegal(f"completions of {command.entry_words} words")
        _check_depth(command.depth, max(self._personality.tx_depth, self._personality.rx_depth))
        _check_address(command.ring.value)

    def _check_sq(self, command: CreateSq, direction: Direction, cq: CompletionQueue) -> None:
        if command.completion_policy != CompletionPolicy.PER_DESCRIPTOR or not command.contiguous:
            raise illegal("queues are contiguous, and complete each packet")
        limit = self._personality.tx_depth if direction is Direction.TX else self._personality.rx_depth
        _check_depth(command.depth, min(limit, cq.depth))
        if command.placement == Placement.HOST:
            _check_address(command.ring.value)
        elif command.placement != Placement.DEVICE or direction is not Direction.TX:
            raise illegal(f"{direction.name} queue with placement {command.placement}")
        too_small = direction is Direction.RX and self.large_receive and cq.entry_words != LARGE_RECEIVE_WORDS
        if cq.entry_words not in ENTRY_WORDS[direction] or too_small:
            raise illegal(f"{direction.name} queue with completions of {cq.entry_words} words")

    def _free_index(self, taken: dict[int, CompletionQueue] | dict[int, SubmissionQueue]) -> int:
        for index in range(2 * self._personality.max_queues):
            if index not in taken:
                return index
        raise Refused(Status.RESOURCE_ALLOCATION_FAILURE, "no queue left")

    def _vector(self, command: CreateCq) -> int | None:
        """An absent vector means a queue that is polled; vector 0 is not for queues."""
        if not command.interrupt_mode or command.vector >= self._vectors:
            return None
        if command.vector == 0:
            raise illegal("vector 0 belongs to the admin queue")
        return int(command.vector)


def _direction(value: int) -> Direction:
    try:
        return Direction(value)
    except ValueError:
        raise illegal(f"direction {value}") from None


def _check_depth(depth: int, limit: int) -> None:
    if not SMALLEST_DEPTH <= depth <= limit or depth & (depth - 1):
        raise illegal(f"depth {depth} of at most {limit}")


def _check_address(address: int) -> None:
    if address == 0 or address % RING_ALIGNMENT:
        raise illegal(f"ring at {address:#x}")
