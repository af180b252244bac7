"""The commands a driver sends, typed: features in and out, queues made and destroyed, counters.

Source: ENA interface, Queue commands, GET_STATS, GET_FEATURE and SET_FEATURE.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeVar

from ena_dev.abi.admin import (
    AdminCommand,
    BasicStatsResponse,
    CompletionPolicy,
    ControlBuffer,
    CreateCq,
    CreateCqResponse,
    CreateSq,
    CreateSqResponse,
    DestroyCq,
    DestroySq,
    Direction,
    EniStatsResponse,
    FeatureCommand,
    GetStats,
    Opcode,
    Placement,
    RawCompletion,
    StatsScope,
    StatsType,
    Status,
)
from ena_dev.abi.features import FeatureId
from ena_dev.abi.record import BusAddress, WireRecord
from ena_dev.bus.memory import Memory
from ena_dev.driver.admin import AdminQueue
from ena_dev.errors import AdminError, UsageError

BUFFER_SIZE = 4096  # bytes: the largest control buffer, a table of 1,024 entries

P = TypeVar("P", bound=WireRecord)


@dataclass(frozen=True, slots=True)
class IoQueue:
    """A submission queue and its completion queue as the card made them. `doorbell` and `unmask` are BAR 0 offsets."""

    direction: Direction
    sq_index: int
    cq_index: int
    doorbell: int
    unmask: int


class Commands:
    """The commands of one card, over its admin queue. Control buffers share one page, so such commands go one by one."""

    def __init__(self, memory: Memory, admin: AdminQueue) -> None:
        self._memory, self._admin = memory, admin
        self._page = memory.allocate(BUFFER_SIZE)
        self._one_buffer = asyncio.Lock()

    def close(self) -> None:
        self._memory.free(self._page)

    async def get(self, feature: FeatureId, payload: type[P], *, version: int = 0) -> P:
        """The feature's current values. Raises AdminError."""
        command = FeatureCommand(opcode=Opcode.GET_FEATURE, feature_id=feature, feature_version=version)
        return payload.parse(bytes((await self._admin.execute(command, RawCompletion)).payload))

    async def get_if_offered(self, feature: FeatureId, payload: type[P], offered: int, *, version: int = 0) -> P | None:
        """The same, None if the bit is not among `offered` features or the card answers that it lacks it."""
        if not offered & feature.mask:
            return None
        try:
            return await self.get(feature, payload, version=version)
        except AdminError as error:
            if error.status == Status.UNSUPPORTED_OPCODE:
                return None
            raise

    async def set(self, feature: FeatureId, payload: WireRecord, buffer: bytes = b"") -> None:
        """Set a feature; `buffer` goes along in a control buffer. Raises AdminError."""
        command = FeatureCommand(opcode=Opcode.SET_FEATURE, feature_id=feature)
        raw = bytes(payload)
        command.payload[: len(raw)] = raw
        if not buffer:
            await self._admin.execute(command, RawCompletion)
            return
        if len(buffer) > BUFFER_SIZE:
            raise UsageError(f"a control buffer has at most {BUFFER_SIZE} bytes, not {len(buffer)}")
        async with self._one_buffer:
            self._memory.write(self._page, buffer)
            command.control_data_indirect = 1  # what every driver sets, flat buffer or not
            command.buffer = ControlBuffer(length=len(buffer), address=BusAddress.of(self._page))
            await self._admin.execute(command, RawCompletion)

    async def create_queue(self, direction: Direction, *, depth: int, sq_ring: int, cq_ring: int, entry_words: int, vector: int) -> IoQueue:
        """A completion queue and the submission queue that uses it; rings are bus addresses of zeroed memory. Raises AdminError."""
        cq = CreateCq(opcode=Opcode.CREATE_CQ, interrupt_mode=1, entry_words=entry_words, depth=depth, vector=vector)
        cq.ring = BusAddress.of(cq_ring)
        made_cq = await self._admin.execute(cq, CreateCqResponse)
        sq = CreateSq(opcode=Opcode.CREATE_SQ, direction=direction, placement=Placement.HOST, contiguous=1, depth=depth)
        sq.completion_policy, sq.cq_index, sq.ring = CompletionPolicy.PER_DESCRIPTOR, made_cq.cq_index, BusAddress.of(sq_ring)
        made_sq = await self._admin.execute(sq, CreateSqResponse)
        return IoQueue(direction, made_sq.sq_index, made_cq.cq_index, made_sq.doorbell_offset, made_cq.unmask_offset)

    async def destroy_queue(self, queue: IoQueue) -> None:
        """Afterwards the card touches neither rings nor buffers of the queue. Raises AdminError."""
        destroy_sq = DestroySq(opcode=Opcode.DESTROY_SQ, sq_index=queue.sq_index, direction=queue.direction)
        destroy_cq = DestroyCq(opcode=Opcode.DESTROY_CQ, cq_index=queue.cq_index)
        commands: tuple[AdminCommand, ...] = (destroy_sq, destroy_cq)
        for command in commands:
            await self._admin.execute(command, RawCompletion)

    async def basic_statistics(self) -> BasicStatsResponse:
        """The card's own counters. Raises AdminError."""
        return await self._admin.execute(_statistics(StatsType.BASIC), BasicStatsResponse)

    async def allowance_statistics(self) -> EniStatsResponse:
        """Packets that waited or were dropped because of the card's allowances. Raises AdminError."""
        return await self._admin.execute(_statistics(StatsType.ENI), EniStatsResponse)


def _statistics(kind: StatsType) -> GetStats:
    return GetStats(opcode=Opcode.GET_STATS, stats_type=kind, scope=StatsScope.DEVICE, device_id=0xFFFF)
