"""Limits of rules and services: buckets and counts against a model in exact fractions, who shares one, and what is never forgotten."""

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from appliance.flow.limits import SERVICES
from ena_dev.errors import UsageError
from tests.appliance.flow.bench import Bench, tuple5
from tests.appliance.flow.test_megaflow import ALIKE, configure

RULE, SERVICE = 1, 3
FAR = "192.0.2.1"
FAR6 = "fd00:2::1"


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    configure(bench)
    yield bench
    bench.close()
    assert all(flows == 0 for _, flows in bench.worker.limits.counts().values())


def limit(bench: Bench, number: int = RULE, rate: Any = None, each: Any = None, most: Any = None, most_each: Any = None) -> None:
    bench.worker.limits.configure({number: (rate, each, most, most_each)})


def udp(source: str, sport: int) -> Packet:
    packet = IPv6(src=source, dst=FAR6) if ":" in source else IP(src=source, dst=FAR)
    return packet / UDP(sport=sport, dport=85)


def begins(bench: Bench, packet: Packet, **more: Any) -> bool:
    """Whether a flow's first packet is let through, by a megaflow or by an install."""
    bench.receive(0, packet)
    for miss in bench.misses():
        bench.allow(miss, rule=RULE, alike=ALIKE, **more)
    passed = bool(bench.sent(1))
    found = bench.worker.lookup(4 if IP in packet else 6, 17 if UDP in packet else 6, *ends(packet))
    assert found is not None and (found[0].reason == "" if passed else (found[0].state, found[0].reason) == ("denied", "over-limit"))
    return passed


def ends(packet: Packet) -> tuple[int, int, int, int]:
    return tuple5(packet.src, packet.dst, packet.sport, packet.dport)


def end(bench: Bench, packet: Packet) -> None:
    found = bench.worker.lookup(4 if IP in packet else 6, 17 if UDP in packet else 6, *ends(packet))
    if found is not None:
        bench.worker.delete(found[0].flow, "deleted")
    bench.round()


class Model:
    """One limit by the definition of a token bucket: N tokens at most, N come back in a time, evenly."""

    def __init__(self, rate: tuple[int, int], each: tuple[int, int], most: int, most_each: int) -> None:
        self.rates, self.most, self.most_each = {"": rate}, most, most_each
        self.each, self.tokens, self.at = each, {"": Fraction(rate[0])}, {"": Fraction(0)}
        self.flows: Counter[str] = Counter()

    def level(self, who: str, now: Fraction) -> Fraction:
        count, seconds = self.rates.setdefault(who, self.each)
        before = self.tokens.get(who, Fraction(count))
        return min(Fraction(count), before + (now - self.at.get(who, now)) * count / seconds)

    def room(self, who: str, now: Fraction) -> bool | None:
        """Whether a flow may begin; None: it is too close to tell."""
        if self.flows.total() >= self.most or self.flows[who] >= self.most_each:
            return False
        levels = [self.level("", now), self.level(who, now)]
        if any(abs(level - 1) < Fraction(1, 10**6) for level in levels):
            return None
        return all(level > 1 for level in levels)

    def take(self, who: str, now: Fraction) -> None:
        for each in ("", who):
            self.tokens[each], self.at[each] = self.level(each, now) - 1, now
        self.flows[who] += 1


@settings(max_examples=40)
@given(
    rate=st.tuples(st.integers(3, 20), st.sampled_from([1, 3])), each=st.tuples(st.integers(1, 6), st.sampled_from([1, 2])),
    most=st.integers(4, 12), most_each=st.integers(1, 6),
    steps=st.lists(st.tuples(st.sampled_from([0, 0, 10, 70, 130, 700]), st.integers(0, 3), st.booleans()), max_size=40),
)  # fmt: skip
def test_flows_begin_as_a_model_of_buckets_and_counts_says(
    rate: tuple[int, int], each: tuple[int, int], most: int, most_each: int, steps: list[tuple[int, int, bool]]
) -> None:
    bench, model, living = Bench(), Model(rate, each, most, most_each), list[tuple[str, Packet]]()
    configure(bench)
    limit(bench, RULE, rate, each, most, most_each)
    start, refused = bench.now, 0
    for number, (wait, who, ends_one) in enumerate(steps):
        bench.round(wait / 1000)
        now, source = Fraction(bench.now - start), f"10.0.0.{who + 1}"
        if ends_one and living:
            owner, packet = living.pop(0)
            model.flows[owner] -= 1
            end(bench, packet)
        expected, packet = model.room(source, now), udp(source, 1000 + number)
        passed = begins(bench, packet)
        refused += not passed
        assert expected in (None, passed), (number, source)
        if passed:
            model.take(source, now)
            living.append((source, packet))
        assert bench.worker.limits.counts()[RULE] == (refused, model.flows.total())
    bench.close()
    assert bench.worker.limits.counts()[RULE][1] == 0


def test_an_ipv6_subscriber_is_one_source(bench: Bench) -> None:
    limit(bench, most_each=2)
    assert [begins(bench, udp(f"fd00:1:0:7::{n}", 1000)) for n in (1, 2, 3)] == [True, True, False]
    assert begins(bench, udp("fd00:1:0:8::1", 1000))


def test_a_connection_is_given_back_when_tcp_has_closed_it(bench: Bench) -> None:
    limit(bench, most_each=1)

    def segment(back: bool, flags: str, seq: int, ack: int = 0, sport: int = 4000) -> Packet:
        there = IP(src="10.0.0.1", dst=FAR) / TCP(sport=sport, dport=85, flags=flags, seq=seq, ack=ack, window=1000)
        return IP(src=FAR, dst="10.0.0.1") / TCP(sport=85, dport=sport, flags=flags, seq=seq, ack=ack, window=1000) if back else there

    assert begins(bench, segment(False, "S", 0)) and not begins(bench, segment(False, "S", 0, sport=4001))
    for back, flags, seq, ack in ((True, "SA", 0, 1), (False, "A", 1, 1), (False, "FA", 1, 1), (True, "A", 1, 2)):
        bench.receive(int(back), segment(back, flags, seq, ack))
    assert bench.worker.limits.counts()[RULE][1] == 1  # half closed: the other end may still send
    bench.receive(1, segment(True, "FA", 1, 2))
    bench.receive(0, segment(False, "A", 2, 2))
    bench.sent(0), bench.sent(1)
    assert bench.worker.limits.counts()[RULE][1] == 0
    assert begins(bench, segment(False, "S", 0, sport=4002))


def test_who_is_refused_by_one_limit_takes_nothing_from_the_other(bench: Bench) -> None:
    bench.worker.limits.configure({RULE: ((3, 3600.0), None, None, None), SERVICES + SERVICE: (None, (1, 3600.0), None, None)})
    assert [begins(bench, udp("10.0.0.1", 1000 + n), service=SERVICE) for n in range(10)] == [True] + [False] * 9
    assert [begins(bench, udp(f"10.0.0.{n}", 1000), service=SERVICE) for n in (2, 3, 4)] == [True, True, False]
    assert {number: counts[0] for number, counts in bench.worker.limits.counts().items()} == {RULE: 1, SERVICES + SERVICE: 9}


def test_an_unlimited_source_is_let_through_while_another_floods(bench: Bench) -> None:
    limit(bench, each=(5, 1.0))
    flood = [begins(bench, udp("10.0.0.66", n)) for n in range(1, 300)]
    assert flood.count(True) == 5 and flood[:5] == [True] * 5
    assert all(begins(bench, udp(f"10.0.0.{n}", 7)) for n in range(1, 60))
    assert bench.drops()["over-limit"] == 294


def crowd(bench: Bench, size: int, keep: int = 0) -> int:
    """A datagram of each of so many sources, whose flows end at once, but for one. How many are refused."""
    frame = bytearray(bench.frame(0, udp("11.0.0.0", 9)))
    before = bench.drops().get("over-limit", 0)
    for first in range(0, size, 32):
        frames = []
        for number in range(first, min(first + 32, size)):
            frame[26:30] = ((11 << 24) + number).to_bytes(4)
            frames.append(bytes(frame))
        bench.receive(0, *frames)
        bench.misses()
        bench.sent(1)
        for flow in bench.worker.read(0, 4096)[0]:
            if flow.flow != keep:
                bench.worker.delete(flow.flow, "deleted")
        bench.round()
    return bench.drops().get("over-limit", 0) - before


def test_what_was_spent_is_not_forgotten_for_a_crowd_of_others() -> None:
    """A crowd of three times the places: each source of it is let in, and none of those that have spent all gets more."""
    bench = Bench()
    configure(bench)
    limit(bench, each=(3, 3600.0))
    spent = [f"10.0.0.{n}" for n in range(1, 21)]
    for source in spent:
        assert [begins(bench, udp(source, 1000 + n)) for n in range(4)] == [True, True, True, False]
    assert crowd(bench, 3 * bench.worker.limits.room()) == 0
    assert not any(begins(bench, udp(source, 2000)) for source in spent)
    bench.close()


def test_who_has_flows_is_never_forgotten(bench: Bench) -> None:
    limit(bench, each=(1000, 1.0), most_each=1)
    packet = udp("10.0.0.1", 1)
    assert begins(bench, packet)
    flow, _ = bench.worker.lookup(4, 17, *ends(packet)) or (None, 0)
    assert flow is not None and crowd(bench, 3 * bench.worker.limits.room(), flow.flow) == 0
    assert not begins(bench, udp("10.0.0.1", 2))


def test_other_limits_go_on_from_what_is_counted(bench: Bench) -> None:
    limit(bench, most=3)
    assert [begins(bench, udp("10.0.0.1", n)) for n in range(1, 5)] == [True, True, True, False]
    bench.worker.limits.configure({})
    assert begins(bench, udp("10.0.0.1", 10))  # not counted: nobody asked
    limit(bench, most=5, most_each=4)
    assert [begins(bench, udp("10.0.0.1", n)) for n in (20, 21)] == [True, False]
    assert begins(bench, udp("10.0.0.2", 20)) and not begins(bench, udp("10.0.0.2", 21))
    for n in (1, 2, 3, 10):
        end(bench, udp("10.0.0.1", n))
    assert bench.worker.limits.counts()[RULE][1] == 2


def test_somebody_else_with_the_same_tuple_waits_for_nothing(bench: Bench) -> None:
    """A first packet by the wrong nic is denied; the true host's, which came meanwhile, is asked about by itself."""
    bench.receive(1, udp("10.0.0.1", 1000))
    bench.receive(0, udp("10.0.0.1", 1000))
    [false] = bench.misses(1)
    bench.worker.deny(false.flow, 0, 1, "spoofed")
    bench.round()
    [true] = bench.misses(0)
    bench.allow(true)
    assert len(bench.sent(1)) == 1 and bench.drops() == {"spoofed": 1}


@pytest.mark.parametrize("given", [{0: (None, None, 1, None)}, {2 * SERVICES: (None, None, 1, None)}, {1: ((0, 1.0), None, None, None)},
                                   {1: (None, (5, 0.0), None, None)}])
def test_what_can_not_be_is_refused(bench: Bench, given: Any) -> None:
    with pytest.raises(UsageError):
        bench.worker.limits.configure(given)
    bench.worker.limits.configure({})
