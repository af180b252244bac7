"""How new flows to targets went, segment by segment; and reading the flows of some targets alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP

from ena_dev.errors import UsageError
from tests.appliance.flow.bench import Bench
from tests.appliance.flow.test_flows import LAN, WAN, answer, ask

THERE, BACK = 0, 1
SCRIPTS = {
    "answered": ("S> SA< A> PA> PA<", (1, 0, 0)),
    "answered twice": ("S> SA< SA< A>", (1, 0, 0)),
    "refused": ("S> RA<", (0, 1, 0)),
    "refused when spoken to": ("S> SA< A> PA> R<", (0, 1, 0)),
    "refused half open": ("S> SA< R<", (0, 1, 0)),
    "reset later": ("S> SA< A> PA> A< R<", (1, 0, 0)),
    "withdrawn": ("S> R>", (0, 0, 0)),
    "given up when open": ("S> SA< A> R>", (1, 0, 0)),
    "no answer yet": ("S> S>", (0, 0, 0)),
    "no answer to three": ("S> S> S>", (0, 0, 1)),
    "no answer to five": ("S> S> S> S> S>", (0, 0, 1)),
    "a late answer": ("S> S> S> SA<", (1, 0, 1)),
}


def segment(step: str, sport: int, number: dict[int, int]) -> tuple[int, IP]:
    """The frame of a step, with the numbers that it must have."""
    way = BACK if step[-1] == "<" else THERE
    flags = step[:-1]
    ends = {"src": LAN, "dst": WAN} if way == THERE else {"src": WAN, "dst": LAN}
    ports = {"sport": sport, "dport": 80} if way == THERE else {"sport": 80, "dport": sport}
    seq = 0 if "S" in flags and way == THERE else 500 if "S" in flags else number[way]
    packet = IP(**ends) / TCP(**ports, flags=flags, seq=seq, ack=number[1 - way] if "A" in flags else 0, window=8192)
    number[way] = seq + ("S" in flags) + (4 if "P" in flags else 0)
    return way, packet / (b"data" if "P" in flags else b"")


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_way_to_begin_is_counted_for_its_target_once(bench: Bench, name: str) -> None:
    script, expected = SCRIPTS[name]
    number = {THERE: 0, BACK: 0}
    for step in script.split():
        way, packet = segment(step, 4000, number)
        bench.receive(way, packet)
        for miss in bench.misses():
            bench.allow(miss, target=7)
    assert bench.drops() == {} and bench.worker.target_outcomes(7) == expected


def test_a_flow_that_ends_without_an_answer_is_silence_unless_it_was_counted(bench: Bench) -> None:
    for sport, times in ((4000, 1), (4001, 3)):
        for _ in range(times):
            bench.receive(0, segment("S>", sport, {THERE: 0, BACK: 0})[1])
            for miss in bench.misses():
                bench.allow(miss, target=7)
    assert bench.worker.target_outcomes(7) == (0, 0, 1)
    bench.round(1000.0)
    assert bench.states() == {} and bench.worker.target_outcomes(7) == (0, 0, 2)


def test_a_datagram_back_is_an_answer_and_without_one_nothing_is_said(bench: Bench) -> None:
    bench.receive(0, ask(sport=4000), ask(sport=4001))
    for miss in bench.misses():
        bench.allow(miss, target=9)
    bench.receive(1, answer(dport=4000), answer(dport=4000))
    bench.round(1000.0)
    assert bench.worker.target_outcomes(9) == (1, 0, 0)


@settings(max_examples=30)
@given(targets=st.lists(st.integers(0, 3), max_size=40), wanted=st.sets(st.integers(1, 70), max_size=3), count=st.integers(1, 9))
def test_the_flows_of_some_targets_are_read_as_if_there_were_no_others(targets: list[int], wanted: set[int], count: int) -> None:
    bench = Bench()
    for number, target in enumerate(targets):
        bench.receive(0, IP(src=LAN, dst=WAN) / UDP(sport=4000 + number, dport=53))
        [miss] = bench.misses()
        bench.allow(miss, target=target)
    cursor, found = 0, []
    while True:
        flows, cursor = bench.worker.read(cursor, count, wanted)
        assert len(flows) <= count
        found += [flow.original[2] - 4000 for flow in flows]
        if not cursor:
            break
    assert found == [number for number, target in enumerate(targets) if not wanted or target in wanted]
    with pytest.raises(UsageError):
        bench.worker.read(0, 1, [65536])
    bench.close()
