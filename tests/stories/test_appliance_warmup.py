"""Slow start: who comes back gets a share of new flows that grows, whatever chooses; who comes up with all the others, its own at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appliance.config.loader import loads
from tests.stories.test_appliance_balancing import BALANCED, Farm, farm
from tests.stories.test_appliance_draining import target
from tests.support.appliance_bench import ApplianceBench

pytestmark = pytest.mark.usefixtures("virtual_time")

SLOW = BALANCED + "    slow-start: 100s\n"


@asynccontextmanager
async def slow_farm(algorithm: str = "maglev") -> AsyncIterator[Farm]:
    """One that has run for a while: in its first moments probes had no network, and who was probed then came back."""
    async with farm(SLOW + f"    algorithm: {algorithm}\n") as f:
        await f.bench.settle(110.0)
        yield f


async def part_of(f: Farm, name: str, ports: range) -> float:
    """Which part of new flows a target gets."""
    asked = await f.ask(4, ports)
    return Counter(asked.values())[name] / len(asked)


async def down_and_up(f: Farm, *names: str) -> None:
    f.dead |= set(names)
    await f.bench.settle(5.0)
    f.dead -= set(names)
    while any(target(f, name)["phase"] != "active" for name in names):
        await f.bench.elapse(0.1)


@pytest.mark.parametrize("algorithm", ["maglev", "round-robin", "random-2"])
async def test_the_share_of_a_target_that_is_back_grows_until_it_is_its_own(algorithm: str) -> None:
    async with slow_farm(algorithm) as f:
        await down_and_up(f, "b")
        assert target(f, "b")["share"] == 10
        parts = [await part_of(f, "b", range(2000, 2240))]
        for step in range(1, 4):
            await f.bench.settle(33.0)
            parts.append(await part_of(f, "b", range(2000 + 1000 * step, 2240 + 1000 * step)))
        assert parts[0] == pytest.approx(0.1 / 2.1, abs=0.04)
        assert parts[1] == pytest.approx(0.37 / 2.37, abs=0.06)
        assert parts[2] == pytest.approx(0.64 / 2.64, abs=0.07)
        await f.bench.settle(10.0)
        assert target(f, "b")["share"] == 100
        assert await part_of(f, "b", range(6000, 6240)) == pytest.approx(1 / 3, abs=0.08)


async def test_by_least_connections_it_has_no_more_flows_than_its_share() -> None:
    async with slow_farm("least-conn") as f:
        f.dead.add("c")
        await f.bench.settle(5.0)
        await f.ask(4, range(2000, 2100))  # 50 each
        await down_and_up(f, "c")
        asked = Counter((await f.ask(4, range(3000, 3060))).values())
        assert 4 <= asked["c"] <= 9  # a tenth of about 80, not all of them


async def test_no_flow_of_others_moves_meanwhile() -> None:
    async with slow_farm() as f:
        before = await f.ask(4, range(2000, 2100))
        await down_and_up(f, "b")
        for _ in range(3):
            await f.bench.settle(35.0)  # flows end, so that each is a new one
            asked = await f.ask(4, range(2000, 2100))
            assert {port: name for port, name in asked.items() if before[port] != "b"} == {p: n for p, n in before.items() if n != "b"}
        await f.bench.settle(35.0)
        assert await f.ask(4, range(2000, 2100)) == before


async def test_at_the_start_all_come_up_at_once_and_none_is_spared() -> None:
    async def answers(address: str, port: int, source: str | None, patience: float) -> str:
        return ""

    bench = ApplianceBench(SLOW)
    bench.world.probing = answers
    async with bench:
        await bench.settle(1.0)
        [service] = bench.appliance.status()["services"]
        assert {(each["phase"], each["share"]) for each in service["targets"]} == {("active", 100)}


async def test_when_all_were_down_and_come_back_none_is_spared() -> None:
    async with slow_farm() as f:
        await down_and_up(f, "a", "b", "c")
        counts = Counter((await f.ask(4, range(2000, 2300))).values())
        assert all(70 <= number <= 130 for number in counts.values()) and len(counts) == 3


async def test_a_drained_target_warms_up_when_it_is_restored_and_a_new_one_of_a_reload_does_too() -> None:
    async with slow_farm() as f:
        appliance = f.bench.appliance
        appliance.drain_target("web", "a", 0)
        await f.bench.settle(2.0)
        assert (target(f, "a")["phase"], appliance.restore_target("web", "a")["share"]) == ("drained", 10)
        appliance.drain_target("web", "c", None)
        await f.ask(4, range(2000, 2010))
        other = loads(SLOW.replace("name: b,", "name: d,"), "bench.yaml")
        appliance.config = appliance.config.model_copy(update={"services": other.services})
        appliance._configure(appliance._compile(appliance.config))
        await f.bench.settle(3.0)
        assert (target(f, "d")["phase"], target(f, "d")["share"], target(f, "b6")["share"]) == ("active", 10, 100)
