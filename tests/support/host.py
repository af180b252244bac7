"""A host without a card of ours: memory, executor, vectors, a BAR with a scripted card behind it."""

from __future__ import annotations

from dataclasses import dataclass

from ena_dev.bus.executor import Executor
from ena_dev.bus.interrupts import MsixVector
from ena_dev.bus.memory import Memory
from ena_dev.bus.mmio import RegisterBar
from ena_dev.driver.pool import BufferPool
from tests.support.scripted_card import ScriptedCard


@dataclass
class Host:
    memory: Memory
    executor: Executor
    vectors: list[MsixVector]
    card: ScriptedCard
    bar: RegisterBar
    pool: BufferPool


def build_host() -> Host:
    memory, executor = Memory(64 << 20), Executor()
    vectors = [MsixVector(executor, index) for index in range(5)]
    card = ScriptedCard(memory, vectors)
    return Host(memory, executor, vectors, card, RegisterBar(card), BufferPool(memory, 4096, 2048))
