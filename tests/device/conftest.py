"""A card on a bench: fake memory, vectors and engine around the real control plane, and a scripted driver."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ena_dev.device.model import Device
from ena_dev.device.personality import Personality
from tests.support.fake_card import FakeEngine, FakeMemory, FakeVector
from tests.support.scripted_driver import ScriptedDriver

MAC = bytes.fromhex("025e00000001")


@dataclass
class Bench:
    memory: FakeMemory
    engine: FakeEngine
    vectors: list[FakeVector]
    device: Device
    driver: ScriptedDriver
    calls: list[str]  # on_work


def make_bench(personality: Personality | None = None, *, readless: bool = True) -> Bench:
    personality = personality or Personality(mac=MAC, max_queues=4, large_receive=True)
    memory = FakeMemory()
    engine = FakeEngine(memory)
    vectors = [FakeVector() for _ in range(1 + personality.max_queues)]
    calls: list[str] = []
    device = Device(personality, memory, engine, vectors, on_work=lambda: calls.append("work"))
    return Bench(memory, engine, vectors, device, ScriptedDriver(device, memory, readless=readless), calls)


@pytest.fixture
def cold() -> Bench:
    """A card that no driver has touched."""
    return make_bench()


@pytest.fixture
def bench(cold: Bench) -> Bench:
    """A card after reset and admin set-up."""
    cold.driver.reset()
    cold.driver.set_up_admin()
    return cold
