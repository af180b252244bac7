"""Deciding with a compiled side that is a list of commands: what is told, what is told again, and what a failure costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from appliance.balancer.history import History
from appliance.decide import decide as right
from appliance.flow.records import Miss, Punt, Refused, Tuple5, Work
from appliance.ruleset import compile_ruleset
from appliance.runtime import decider
from appliance.runtime.decider import ATTEMPTS, TAKEN_FOR, Decider, Names, View
from appliance.runtime.megaflows import Megaflows
from tests.appliance.small_network import CONFIG, LAN, WAN

pytestmark = pytest.mark.usefixtures("virtual_time")

HOST = 3
CLIENT, FAR = 0xC0A80A09, 0xC6336409  # 192.168.10.9 behind lan, 198.51.100.9 over wan's gateway


@dataclass
class Told:
    """Stands for the compiled side. `room`: commands it takes before it is full, until something makes room. `unheard`: since a flush."""

    room: int = 1000
    commands: list[tuple[Any, ...]] = field(default_factory=list)
    refusals: int = 0
    unheard: int = 0
    most_unheard: int = 0
    held: set[Tuple5] = field(default_factory=set)

    def install(self, flow: int, version: int, protocol: int, reply: Tuple5, egress: int, *rest: Any, **more: Any) -> bool:
        return self._take("install", flow, egress, reply)

    def deny(self, flow: int, rule: int, generation: int, reason: str, **more: Any) -> bool:
        assert type(reason) is str
        return self._take("deny", flow, reason)

    def flush(self) -> None:
        self.unheard = 0

    def is_free(self, version: int, protocol: int, *reply: int) -> bool:
        return reply not in self.held

    def comes_home(self, nic: int, queue: int, egress: int, version: int, protocol: int, reply: Tuple5) -> bool:
        return True

    def _take(self, *command: Any) -> bool:
        if not self.room:
            self.refusals += 1
            self.room = 3  # the ring's reader was there
            return False
        self.room -= 1
        self.unheard += 1
        self.most_unheard = max(self.most_unheard, self.unheard)
        self.commands.append(command)
        return True


class Hood:
    """Neighbours that are all there."""

    def adjacency(self, version: int, address: int, now: float, asker: int) -> int | None:
        return 7


class Broken:
    """Punts that can't be handled."""

    ruleset: Any

    def handle(self, punt: Punt, now: float) -> None:
        raise RuntimeError("a bug")


@dataclass
class Bench:
    told: Told
    decider: Decider
    now: list[float]


@pytest.fixture
def bench() -> Bench:
    told, now = Told(), [100.0]
    history = History(lambda: now[0], lambda service, target: 0)
    view = View(told, lambda service, target: True, Random(1), lambda: now[0], history)  # type: ignore[arg-type]
    hoods = {nic: Hood() for nic in range(3)}
    made = Decider(told, view, lambda: now[0], HOST, hoods, Broken(), Megaflows(None, view))  # type: ignore[arg-type]
    made.configure(compile_ruleset(CONFIG, 1, b"seed", 2039))
    return Bench(told, made, now)


def miss(flow: int, source: int = CLIENT, sport: int = 5000, dport: int = 443) -> Miss:
    return Miss(flow, LAN, 0, 4, 6, source, FAR, sport, dport, -1, 2, 60)


async def test_an_allowed_flow_is_installed_and_another_denied(bench: Bench) -> None:
    await bench.decider.handle(Work([miss(1), miss(2, source=0x7F000001)], [], []))
    assert [command[:3] for command in bench.told.commands] == [("install", 1, WAN), ("deny", 2, "bad-address")]


async def test_a_full_ring_is_waited_for_and_no_flow_is_forgotten(bench: Bench) -> None:
    bench.told.room = 1
    await bench.decider.handle(Work([miss(flow, sport=2000 + flow) for flow in range(200)], [], []))
    assert [command[1] for command in bench.told.commands] == list(range(200))
    assert bench.told.refusals > 50


async def test_the_compiled_path_is_told_of_many_flows_at_once_and_of_all_in_the_end(bench: Bench) -> None:
    await bench.decider.handle(Work([miss(flow, sport=2000 + flow) for flow in range(100)], [], []))
    assert (len(bench.told.commands), bench.told.unheard, bench.told.most_unheard) == (100, 0, decider.SLICE)
    await bench.decider.handle(Work([], [], [Refused(1, miss(1), "table-full")]))
    assert bench.told.unheard == 0


async def test_a_failing_decision_denies_its_flow_and_harms_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(facts: Any, ruleset: Any, view: Any) -> Any:
        if facts.sport == 5001:
            raise ZeroDivisionError("a bug")
        return right(facts, ruleset, view)

    monkeypatch.setattr(decider, "decide", failing)
    await bench.decider.handle(Work([miss(flow, sport=5000 + flow) for flow in range(3)], [], []))
    assert [command[:2] for command in bench.told.commands] == [("install", 0), ("deny", 1), ("install", 2)]
    assert bench.told.commands[1][2] == "decision-failed"
    assert bench.decider.failures == 1


async def test_a_frame_that_cannot_be_handled_is_counted_and_the_next_flow_decided(bench: Bench) -> None:
    await bench.decider.handle(Work([miss(1)], [Punt("arp", LAN, 0, -1, 0, b"")], []))
    assert bench.decider.failures == 1
    assert [command[:2] for command in bench.told.commands] == [("install", 1)]


async def test_a_refused_tuple_is_chosen_anew_and_not_again(bench: Bench) -> None:
    first = miss(1)
    await bench.decider.handle(Work([first], [], []))
    replies = [bench.told.commands[-1][3]]
    for _ in range(ATTEMPTS - 1):
        await bench.decider.handle(Work([], [], [Refused(1, first, "taken")]))
        replies.append(bench.told.commands[-1][3])
    assert len(set(replies)) == ATTEMPTS
    await bench.decider.handle(Work([], [], [Refused(1, first, "taken")]))
    assert bench.told.commands[-1] == ("deny", 1, "nat-exhausted")


async def test_a_refusal_for_want_of_room_is_final(bench: Bench) -> None:
    await bench.decider.handle(Work([miss(1)], [], []))
    await bench.decider.handle(Work([], [], [Refused(1, miss(1), "table-full")]))
    assert bench.told.commands[-1] == ("deny", 1, "table-full")


async def test_a_refusal_of_something_forgotten_is_denied(bench: Bench) -> None:
    await bench.decider.handle(Work([], [], [Refused(9, miss(9), "taken")]))
    assert bench.told.commands == [("deny", 9, "nat-exhausted")]


def test_what_was_refused_is_free_again_soon(bench: Bench) -> None:
    view, reply = bench.decider.view, (1, 2, 3, 4)
    view.taken(4, 6, reply)
    assert not view.is_free(4, 6, reply) and view.is_free(4, 17, reply)
    bench.now[0] += TAKEN_FOR
    assert view.is_free(4, 6, reply)
    for number in range(10):
        view.taken(4, 6, (number, 0, 0, 0))
    assert len(view._taken) == 10
    bench.told.held.add(reply)
    assert not view.is_free(4, 6, reply)


def test_names_have_numbers_for_good_and_in_bounds() -> None:
    names = Names(limit=3)
    assert [names.number(name) for name in ("", None, "a", "b", "c", "a")] == [0, 0, 1, 2, 0, 1]
    assert names.names == ["", "a", "b"]
