"""The tracker's table, walked row by row through the compiled path, and connections as they are in life."""

from itertools import product

import pytest
from scapy.layers.inet import IP, TCP

from appliance.flow.tcp import TRANSITIONS, Direction, Event, State
from tests.appliance.flow.bench import Bench

FLAGS = {
    Event.SYN: ["S", "SEC", "SP"],
    Event.SYN_ACK: ["SA", "SAE"],
    Event.ACK: ["A", "PA", "AU", "AEC"],
    Event.FIN: ["FA", "FPA"],
    Event.RST: ["R", "RA"],
    Event.INVALID: ["", "SF", "SR", "F", "FRA", "P", "U", "SFA", "FSRPAU"],
}
# The shortest conversation that leads to each state: (direction, flags).
PATHS = {
    State.SYN_SENT: ["oS"],
    State.SYN_RECEIVED: ["oS", "rSA"],
    State.ESTABLISHED: ["oS", "rSA", "oA"],
    State.FIN_WAIT: ["oS", "rSA", "oA", "oFA"],
    State.CLOSE_WAIT: ["oS", "rSA", "oA", "rFA"],
    State.CLOSING: ["oS", "rSA", "oA", "oFA", "rFA"],
    State.TIME_WAIT: ["oS", "rSA", "oA", "oFA", "rFA", "oA"],
    State.CLOSED: ["oS", "rSA", "oRA"],
}


def segment(bench: Bench, step: str) -> None:
    """One segment of the connection: o from the originator, r in reply. Both number their SYN 0."""
    flags = step[1:]
    numbers = {"seq": 0 if "S" in flags else 1, "ack": 1 if "A" in flags else 0, "flags": flags}
    if step[0] == "o":
        bench.receive(0, IP(src="10.0.0.1", dst="10.9.9.9") / TCP(sport=1000, dport=80, **numbers))
    else:
        bench.receive(1, IP(src="10.9.9.9", dst="10.0.0.1") / TCP(sport=80, dport=1000, **numbers))


def conversation(bench: Bench, steps: list[str]) -> int:
    segment(bench, steps[0])
    [miss] = bench.misses()
    bench.allow(miss)
    before = bench.drops()
    for step in steps[1:]:
        segment(bench, step)
    assert bench.drops() == before
    bench.sent(0), bench.sent(1)
    return miss.flow


def state_of(bench: Bench) -> tuple[int, State]:
    [flow], _ = bench.worker.read(0, 10)
    return flow.flow, State[flow.state.upper().replace("-", "_")]


@pytest.mark.parametrize(("state", "direction", "event"), list(product(State, Direction, Event)))
def test_each_row_of_the_table_and_each_gap(bench: Bench, state: State, direction: Direction, event: Event) -> None:
    expected = TRANSITIONS.get((state, direction, event))
    answer = (state, direction, event) == (State.SYN_SENT, Direction.REPLY, Event.RST)
    for n, flags in enumerate(["RA"] if answer else FLAGS[event], 1):  # what answers a SYN has to acknowledge it
        flow = conversation(bench, PATHS[state])
        assert state_of(bench) == (flow, state)
        segment(bench, ("o" if direction == Direction.ORIGINAL else "r") + flags)
        sent = len(bench.sent(1 - direction))
        if expected is None:
            assert not sent and bench.drops()["tcp-invalid"] == n and state_of(bench) == (flow, state)
        elif expected == State.SYN_SENT and state in (State.TIME_WAIT, State.CLOSED):
            [miss] = bench.misses(direction)
            assert miss.flow != flow and not sent, "another connection is decided anew"
            flow = miss.flow
        elif (state, expected) == (State.SYN_SENT, State.CLOSED):
            assert sent == 1 and bench.states() == {}, "nothing was opened"
            continue
        else:
            assert sent == 1 and state_of(bench) == (flow, expected)
        bench.worker.delete(flow, "deleted")
        bench.round()


def test_the_table_knows_no_state_that_cannot_be_reached() -> None:
    reached, steps = {State.SYN_SENT}, 1
    while steps:
        new = {after for (state, _, _), after in TRANSITIONS.items() if state in reached} - reached
        reached, steps = reached | new, len(new)
    assert reached == set(State)


def test_simultaneous_open(bench: Bench) -> None:
    conversation(bench, ["oS", "rS", "oSA", "rSA", "oA", "rA"])
    assert state_of(bench)[1] == State.ESTABLISHED


def test_half_close_lets_the_other_side_go_on(bench: Bench) -> None:
    conversation(bench, ["oS", "rSA", "oA", "oFA", *["rA", "oA"] * 5])
    assert state_of(bench)[1] == State.FIN_WAIT


@pytest.mark.parametrize(("state", "seconds"), [(State.SYN_RECEIVED, 30), (State.ESTABLISHED, 7440), (State.TIME_WAIT, 60)])
def test_each_phase_has_its_time(bench: Bench, state: State, seconds: float) -> None:
    conversation(bench, PATHS[state])
    bench.round(seconds - 1)
    assert state_of(bench)[1] == state
    bench.round(2)
    assert bench.states() == {}
