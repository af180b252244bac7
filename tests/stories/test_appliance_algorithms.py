"""Services that choose by other flows: each flow is decided by itself, and counts as soon as it is there."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.stories.test_appliance_balancing import BALANCED, farm
from tests.support.office import VERSIONS

pytestmark = pytest.mark.usefixtures("virtual_time")


@pytest.mark.parametrize("version", VERSIONS)
async def test_turns_are_taken_exactly(version: int) -> None:
    async with farm(BALANCED + "    algorithm: round-robin\n") as f:
        asked = await f.ask(version, range(2000, 2090))
        assert Counter(asked.values()) == {"a": 30, "b": 30, "c": 30}
        assert await f.ask(version, range(2000, 2090)) == asked  # flows stay
        assert f.bench.appliance.worker.megaflows.count() == 0


async def test_the_target_with_the_fewest_flows_gets_the_next_ones() -> None:
    async with farm(BALANCED + "    algorithm: least-conn\n") as f:
        f.dead.add("c")
        await f.bench.settle(5.0)
        assert Counter((await f.ask(4, range(2000, 2060))).values()) == {"a": 30, "b": 30}
        f.dead.clear()
        await f.bench.settle(5.0)
        assert set((await f.ask(4, range(3000, 3025))).values()) == {"c"}
        assert Counter((await f.ask(4, range(4000, 4035))).values()) == {"a": 10, "b": 10, "c": 15}


async def test_two_random_targets_are_enough_for_evenness() -> None:
    async with farm(BALANCED + "    algorithm: random-2\n") as f:
        counts = Counter((await f.ask(4, range(2000, 2150))).values())
        assert set(counts) == {"a", "b", "c"} and max(counts.values()) - min(counts.values()) <= 6


async def test_a_client_stays_with_its_target_but_not_with_one_that_leaves() -> None:
    async with farm(BALANCED + "    affinity: {timeout: 5m}\n") as f:
        [own] = set((await f.ask(4, range(2000, 2050))).values())
        await f.bench.settle(200.0)
        assert set((await f.ask(4, range(3000, 3050))).values()) == {own}
        f.bench.appliance._configure(f.bench.appliance._compile(f.bench.appliance.config))  # as a reload does
        assert set((await f.ask(4, range(4000, 4050))).values()) == {own}
        f.bench.appliance.drain_target("web", own, None)
        [other] = set((await f.ask(4, range(5000, 5050))).values())
        assert other != own
        assert set((await f.ask(4, range(4000, 4050))).values()) == {own}  # flows that it has go on
        f.bench.appliance.restore_target("web", own)
        assert set((await f.ask(4, range(6000, 6050))).values()) == {other}


@pytest.mark.parametrize("algorithm", ["maglev", "round-robin"])
async def test_a_backup_serves_while_all_others_are_down_or_leaving(algorithm: str) -> None:
    text = BALANCED.replace("192.168.1.23:8080", "192.168.1.23:8080, role: backup") + f"    algorithm: {algorithm}\n"
    async with farm(text) as f:
        assert set((await f.ask(4, range(2000, 2060))).values()) == {"a", "b"}
        f.dead.add("a")
        await f.bench.settle(5.0)
        assert set((await f.ask(4, range(3000, 3060))).values()) == {"b"}
        f.bench.appliance.drain_target("web", "b", None)
        assert set((await f.ask(4, range(4000, 4060))).values()) == {"c"}
        f.dead.clear()
        await f.bench.settle(5.0)
        assert set((await f.ask(4, range(5000, 5060))).values()) == {"a"}
