"""Judging again, against a compiled side whose flows are a list: who is asked, in which order, and who must not be missed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import pytest

from appliance.classes import find_cuts
from appliance.flow.records import FlowView
from appliance.ruleset import compile_ruleset
from appliance.runtime.rejudge import ACTIVE, AT_ONCE, SLICE, Judge, end_flows, rejudge
from tests.appliance.small_network import CONFIG, LAN, WAN

pytestmark = pytest.mark.usefixtures("virtual_time")

CLIENT, FAR, OWN = 0xC0A80A09, 0xC6336409, 0xCB007107
NEW = 2


def flow(number: int, last_seen: float, state: str = "replied", generation: int = 1, created: float = 0.0, reply: int = FAR) -> FlowView:
    return FlowView(number, state, 4, 17, LAN, WAN, (CLIENT, FAR, 5000, 53), (reply, OWN, 53, 5000), 1, generation, 0, 0, (1, 1), (1, 1),
                    created, last_seen, 0.0, "")


@dataclass
class Flows:
    """`on_read` may change them between two slices; of `deaf` deletions in a row none is heard."""

    flows: dict[int, FlowView]
    deleted: list[tuple[int, str]] = field(default_factory=list)
    on_read: Callable[[], None] = lambda: None
    deaf: int = 0

    def read(self, cursor: int, count: int, targets: Collection[int] = ()) -> tuple[list[FlowView], int]:
        self.on_read()
        all_of_them = [flow for flow in self.flows.values() if not targets or flow.target in targets]
        following = cursor + count
        return all_of_them[cursor:following], following if following < len(all_of_them) else 0

    def delete(self, number: int, reason: str) -> bool:
        if self.deaf:
            self.deaf -= 1
            return False
        self.deleted.append((number, reason))
        self.flows.pop(number, None)
        return True

    def usage(self) -> dict[str, int]:
        return {"pending": sum(flow.state == "pending" for flow in self.flows.values())}


def made(*flows: FlowView) -> Flows:
    return Flows({flow.flow: flow for flow in flows})


class Everything:
    """A judge who lets nothing pass, and remembers the order."""

    def __init__(self) -> None:
        self.judged = 0
        self.order: list[int] = []

    def __call__(self, flow: FlowView) -> str:
        self.judged += 1
        self.order.append(flow.flow)
        return "policy"


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_active_flows_are_judged_first_and_all_in_the_end() -> None:
    judge, start = Everything(), now()
    flows = made(flow(1, start - 2 * ACTIVE), flow(2, start - 1), flow(3, start - ACTIVE), flow(4, start - 3 * ACTIVE))
    result = await rejudge(flows, judge, NEW, now)  # type: ignore[arg-type]
    assert judge.order == [2, 3, 1, 4]
    assert (result.judged, result.ended) == (4, 4)


async def test_one_that_wakes_up_in_between_is_not_missed() -> None:
    judge, start = Everything(), now()
    flows = made(flow(1, start - 2 * ACTIVE))
    reads = []

    def wake() -> None:
        reads.append(1)
        if len(reads) == 2:
            flows.flows[1] = flow(1, start + 0.001)

    flows.on_read = wake
    await rejudge(flows, judge, NEW, now)  # type: ignore[arg-type]
    assert flows.deleted == [(1, "policy")]


async def test_one_that_wakes_up_on_its_way_out_ends_once() -> None:
    judge, start = Everything(), now()
    flows = made(flow(1, start - 1))

    def wake() -> None:
        if flows.deleted:
            flows.flows[1] = flow(1, start + 0.001)

    flows.on_read = wake
    result = await rejudge(flows, judge, NEW, now)  # type: ignore[arg-type]
    assert (result.judged, result.ended, flows.deleted) == (1, 1, [(1, "policy")])


async def test_one_whose_old_decision_was_under_way_is_not_missed() -> None:
    judge, start = Everything(), now()
    flows = made(flow(1, start, state="pending", created=start - 0.1))

    def install() -> None:
        if now() > start + 0.2:
            flows.flows[1] = flow(1, start + 0.2, created=start - 0.1) if not flows.deleted else flows.flows.get(1, flow(1, start))

    flows.on_read = install
    await rejudge(flows, judge, NEW, now)  # type: ignore[arg-type]
    assert flows.deleted == [(1, "policy")]


async def test_those_decided_by_the_new_file_are_left_alone() -> None:
    judge, start = Everything(), now()
    flows = made(flow(1, start, generation=NEW), flow(2, start, state="denied"))
    assert (await rejudge(flows, judge, NEW, now)).judged == 0  # type: ignore[arg-type]


async def test_more_than_a_slice_and_a_full_ring_change_nothing() -> None:
    flows = made(*(flow(number, now()) for number in range(3 * SLICE)))
    flows.deaf = 5
    kept = dict(flows.flows)
    flows.read = lambda cursor, count, _: (list(kept.values())[cursor : cursor + count], (cursor + count) % len(kept))  # type: ignore
    assert await end_flows(flows, lambda flow: "policy" if flow.flow % 2 else None) == len(kept) // 2  # type: ignore[arg-type]
    assert [number for number, _ in flows.deleted] == list(range(1, len(kept), 2))


@pytest.mark.parametrize(("reply", "reason"), [(FAR, None), (FAR + 1, "deleted")])
def test_a_flow_goes_on_only_the_way_that_was_judged(reply: int, reason: str | None) -> None:
    ruleset = compile_ruleset(CONFIG, NEW, b"seed", 2039)
    judge = Judge(ruleset, find_cuts(ruleset), 3, lambda flow: None)
    assert judge(flow(1, 0.0, reply=reply)) == reason


async def test_of_lost_targets_the_flows_alone_are_looked_at_and_others_get_their_turn_meanwhile() -> None:
    worker = Flows({number: flow(number, 0.0)._replace(target=number % 3) for number in range(1, 301)})
    seen: list[int] = []
    turns = told = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def farewell(flow: FlowView) -> None:
        nonlocal told
        told += 1

    def end(flow: FlowView) -> str:
        seen.append(flow.target)
        return "no-target"

    busy = asyncio.create_task(others())
    assert await end_flows(worker, end, farewell, {2}) == told == 100  # type: ignore[arg-type]
    assert seen == [2] * 100 and turns >= 100 // AT_ONCE
    busy.cancel()
