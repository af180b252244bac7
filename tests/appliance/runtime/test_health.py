"""The checker's shell in virtual time: a rhythm that nothing breaks, and changes that are told once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from appliance.config.models import Health
from appliance.ruleset import CheckedTarget
from appliance.runtime.health import HealthChecker

pytestmark = pytest.mark.usefixtures("virtual_time")

HEALTH = Health(every=1.0, timeout=0.5, rise=2, fall=2)


def target(name: str, health: Health | None = HEALTH) -> CheckedTarget:
    return CheckedTarget("web", name, 4, 0x0A000001, 80, health)


class World:
    """`say`: what probes get: a text, an exception, or None for an answer that never comes."""

    def __init__(self) -> None:
        self.say: str | Exception | None = ""
        self.probes: list[tuple[float, str, int, str | None]] = []
        self.changes: list[tuple[str, bool]] = []

    async def probe(self, address: str, port: int, source: str | None, patience: float) -> str:
        self.probes.append((asyncio.get_running_loop().time(), address, port, source))
        if isinstance(self.say, Exception):
            raise self.say
        if self.say is None:
            await asyncio.sleep(patience)
            return "no answer"
        return self.say

    def changed(self, service: str, target: str, up: bool) -> None:
        self.changes.append((target, up))


@asynccontextmanager
async def checking(*targets: CheckedTarget) -> AsyncIterator[tuple[World, HealthChecker]]:
    world = World()
    checker = HealthChecker(world.probe, lambda version, address: "10.0.0.254", world.changed, Random(1))
    checker.configure(targets)
    running = asyncio.create_task(checker.run())
    yield world, checker
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_probes_keep_their_rhythm_and_changes_are_told_once() -> None:
    async with checking(target("a")) as (world, checker):
        await asyncio.sleep(10.0)
        assert 8 <= len(world.probes) <= 12
        assert world.probes[0][1:] == ("10.0.0.1", 80, "10.0.0.254")
        world.say = "refused"
        await asyncio.sleep(5.0)
        assert world.changes == [("a", True), ("a", False)]
        assert checker.states() == {("web", "a"): "down"} and not checker.up("web", "a")


async def test_an_answer_that_never_comes_delays_no_other_target() -> None:
    async with checking(target("a"), target("b")) as (world, _):
        world.say = None
        await asyncio.sleep(20.0)
        assert 32 <= len(world.probes) <= 46
        assert sorted(world.changes) == [("a", False), ("b", False)]


@pytest.mark.parametrize("error", [OSError("no buffers"), RuntimeError("a bug"), ValueError("odd")])
async def test_a_probe_that_breaks_is_a_failure_and_not_the_last(error: Exception) -> None:
    async with checking(target("a")) as (world, _):
        world.say = error
        await asyncio.sleep(3.0)
        assert world.changes == [("a", False)]
        world.say = ""
        await asyncio.sleep(4.0)
        assert world.changes == [("a", False), ("a", True)]


async def test_what_is_not_checked_is_up_and_what_is_unknown_is_not() -> None:
    async with checking(target("a"), target("plain", None)) as (_, checker):
        assert checker.up("web", "plain") and not checker.up("web", "a")
        await asyncio.sleep(2.0)
        assert checker.up("web", "a")


async def test_a_reload_keeps_what_is_known_and_forgets_what_is_gone() -> None:
    quick = Health(every=1.0, timeout=0.9, rise=1, fall=1)
    async with checking(target("a"), target("b", quick)) as (world, checker):
        await asyncio.sleep(2.0)
        world.say = None
        world.probes.clear()
        for _ in range(100):
            if len(world.probes) == 2:
                break
            await asyncio.sleep(0.02)
        checker.configure((target("a"),))  # while b's last probe is under way, and about to fail
        assert checker.up("web", "a") and checker.states() == {("web", "a"): "up"}
        world.changes.clear()
        await asyncio.sleep(5.0)
        assert world.changes == [("a", False)]
        checker.configure((target("a", Health(every=2.0, timeout=0.5, rise=2, fall=2)),))
        assert checker.states() == {("web", "a"): "unknown"}
