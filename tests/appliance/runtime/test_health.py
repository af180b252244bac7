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


def target(name: str, health: Health | None = HEALTH, version: int = 4, host: int = 1) -> CheckedTarget:
    return CheckedTarget("web", name, version, 0x0A000000 + host, 80, health)


class World:
    """`say`: what probes get: a text, an exception, or None for an answer that never comes."""

    def __init__(self) -> None:
        self.say: str | Exception | None = ""
        self.probes: list[tuple[float, str, int, str | None]] = []
        self.changes: list[tuple[str, bool]] = []
        self.dead: set[str] = set()

    async def probe(self, health: Health, address: str, port: int, source: str | None) -> str:
        self.probes.append((asyncio.get_running_loop().time(), address, port, source))
        if isinstance(self.say, Exception):
            raise self.say
        if address in self.dead:
            return "dead"
        if self.say is None:
            await asyncio.sleep(health.timeout)
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
        assert checker.state("web", "a") == "down" and not checker.up("web", "a")


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
        assert checker.up("web", "a") and checker.state("web", "a") == "up"
        world.changes.clear()
        await asyncio.sleep(5.0)
        assert world.changes == [("a", False)]
        checker.configure((target("a", Health(every=2.0, timeout=0.5, rise=2, fall=2)),))
        assert checker.state("web", "a") == "unknown"


async def test_when_too_few_targets_are_up_all_count_as_up_and_each_change_is_told_once() -> None:
    risky = Health(every=1.0, timeout=0.5, rise=1, fall=1, fail_open_below=0.5)
    async with checking(*(target(name, risky, host=n) for n, name in enumerate("abcd", 1)), target("x6", risky, 6, 9)) as (world, checker):
        assert not checker.up("web", "a")  # nothing is known yet: no reason to trust all
        await asyncio.sleep(2.0)
        world.changes.clear()
        world.dead |= {"10.0.0.1", "10.0.0.2"}
        await asyncio.sleep(3.0)
        assert sorted(world.changes) == [("a", False), ("b", False)]  # half of them are enough
        world.changes.clear()
        world.dead.add("10.0.0.3")
        await asyncio.sleep(3.0)
        assert sorted(world.changes) == [("a", True), ("b", True)]  # c counts as up, as before
        assert all(checker.up("web", name) for name in "abcd") and checker.state("web", "c") == "down"
        world.changes.clear()
        world.dead.remove("10.0.0.3")
        await asyncio.sleep(3.0)
        assert sorted(world.changes) == [("a", False), ("b", False)]
        assert checker.up("web", "c") and checker.up("web", "x6")


async def test_the_last_target_is_down_unless_it_was_chosen_otherwise() -> None:
    async with checking(target("a"), target("b", host=2)) as (world, checker):
        world.dead |= {"10.0.0.1", "10.0.0.2"}
        await asyncio.sleep(5.0)
        assert not checker.up("web", "a") and not checker.up("web", "b")
