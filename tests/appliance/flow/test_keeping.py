"""How long flows are kept, by the rule that let them through, and how they end when they were idle for too long."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet

from appliance.flow.records import FlowView
from tests.appliance.flow.bench import TIMEOUTS, Bench, profile, tuple5

LAN, WAN, OUT = "10.0.0.1", "198.51.100.9", "203.0.113.7"
LONGEST = 4000.0


def udp(dport: int = 9000) -> Packet:
    return IP(src=LAN, dst=WAN) / UDP(sport=4000, dport=dport) / b"?"


def udp_back(dport: int = 9000, to: str = LAN) -> Packet:
    return IP(src=WAN, dst=to) / UDP(sport=dport, dport=4000) / b"!"


def to(flags: str, seq: int = 0, ack: int = 0, sport: int = 1) -> Packet:
    return IP(src=LAN, dst=WAN) / TCP(sport=sport, dport=80, flags=flags, seq=seq, ack=ack, window=5000)


def back(flags: str, seq: int = 0, ack: int = 0, sport: int = 1) -> Packet:
    return IP(src=WAN, dst=LAN) / TCP(sport=80, dport=sport, flags=flags, seq=seq, ack=ack, window=5000)


def connect(bench: Bench, sport: int = 1, rule: int = 1) -> None:
    bench.open(0, to("S", 100, sport=sport), rule=rule)
    bench.receive(1, back("SA", 500, 101, sport))
    bench.receive(0, to("A", 101, 501, sport))
    bench.sent(0), bench.sent(1)


def life(bench: Bench) -> float:
    """Seconds from now until the one flow has ended."""
    waited = 0.0
    while bench.states():
        bench.round(1)
        waited += 1
        assert waited < LONGEST
    return waited


@pytest.mark.parametrize(("name", "opening", "replies"), [
    ("udp", udp(), []),
    ("udp_replied", udp(), [udp_back()]),
    ("dns", udp(53), []),
    ("dns", udp(53), [udp_back(53)]),
    ("icmp", IP(src=LAN, dst=WAN) / ICMP(id=7), []),
    ("icmp", IP(src=LAN, dst=WAN) / ICMP(id=7), [IP(src=WAN, dst=LAN) / ICMP(type=0, id=7)]),
    ("tcp_opening", to("S", 100), []),
    ("tcp_opening", to("S", 100), [back("SA", 500, 101)]),
    ("tcp_established", to("S", 100), [back("SA", 500, 101), to("A", 101, 501)]),
    ("tcp_closing", to("S", 100), [back("SA", 500, 101), to("A", 101, 501), to("FA", 101, 501)]),
    ("tcp_closing", to("S", 100), [back("SA", 500, 101), to("A", 101, 501), to("R", 101)]),
])  # fmt: skip
def test_each_state_has_its_timer(bench: Bench, name: str, opening: Packet, replies: list[Packet]) -> None:
    own: dict[str, Any] = {name: 77.0}
    bench.worker.set_profiles(profile(), {5: profile(**own)}, {})
    bench.open(0, opening, rule=5)
    for packet in replies:
        bench.receive(int(packet.src == WAN), packet)
    assert 77 <= life(bench) <= 79


def test_rules_without_timeouts_of_their_own_keep_to_the_common_ones(bench: Bench) -> None:
    bench.worker.set_profiles(profile(udp=50.0), {5: profile(udp=200.0), 6: profile(udp=200.0), 7: profile(udp=3.0)}, {})
    for rule in (4, 5, 6, 7):
        bench.open(0, udp(9000 + rule), rule=rule)
    alive = []
    for _ in range(3):
        bench.round(20)
        alive.append({flow.rule for flow in bench.worker.read(0, 100)[0]})
    assert alive == [{4, 5, 6}, {4, 5, 6}, {5, 6}]


def test_a_rule_that_loses_its_timeouts_has_the_common_ones_also_for_flows_that_are_there(bench: Bench) -> None:
    bench.worker.set_profiles(profile(), {5: profile(udp=1000.0)}, {})
    bench.open(0, udp(), rule=5)
    bench.worker.set_profiles(profile(), {}, {})
    bench.round(70)  # a turn of the wheel
    assert bench.states() == {}


@settings(max_examples=60)
@given(own=st.dictionaries(st.integers(1, 30), st.integers(1, 60), max_size=12), common=st.integers(1, 60))
def test_any_rules_have_their_own_timers(own: dict[int, int], common: int) -> None:
    bench = Bench()
    bench.worker.set_profiles(profile(udp=float(common)), {rule: profile(udp=float(seconds)) for rule, seconds in own.items()}, {})
    began = bench.now
    for rule in range(1, 31):
        bench.open(0, udp(9000 + rule), rule=rule)
    for flow in bench.worker.read(0, 100)[0]:
        assert flow.expires == pytest.approx(began + own.get(flow.rule, common))
    bench.close()


# -- who keeps a flow --------------------------------------------------------------------------------------------------


def hidden(bench: Bench, **keep: bool) -> None:
    bench.worker.set_profiles(profile(**keep), {}, {})
    bench.open(0, udp(), reply=tuple5(WAN, OUT, 9000, 4000))


def test_only_packets_from_inside_keep_a_flow_whose_source_is_hidden(bench: Bench) -> None:
    """RFC 4787, REQ-6: outbound refresh is true; inbound refresh may be false."""
    hidden(bench)
    for _ in range(11):
        bench.round(10)
        bench.receive(1, udp_back(to=OUT))
    assert len(bench.sent(0)) == 11
    bench.round(11)
    assert bench.states() == {}
    hidden(bench)
    for _ in range(20):
        bench.round(20)
        bench.receive(0, udp())
    assert bench.states() == {"unreplied": 1}


def test_packets_from_outside_keep_it_where_a_rule_says_so(bench: Bench) -> None:
    hidden(bench, inbound=True)
    for _ in range(20):
        bench.round(20)
        bench.receive(1, udp_back(to=OUT))
    assert bench.states() == {"replied": 1}


def test_both_ends_keep_a_flow_that_shows_its_source_and_any_connection(bench: Bench) -> None:
    bench.open(0, udp())
    bench.open(0, to("S", 100), reply=tuple5(WAN, OUT, 80, 1))
    packets = IP(src=WAN, dst=OUT) / TCP(sport=80, dport=1, flags="SA", seq=500, ack=101), to("A", 101, 501)
    bench.receive(1, packets[0])
    bench.receive(0, packets[1])
    for _ in range(25):
        bench.round(20)
        bench.receive(1, udp_back(), IP(src=WAN, dst=OUT) / TCP(sport=80, dport=1, flags="A", seq=501, ack=101))
    assert bench.states() == {"replied": 1, "established": 1}
    bench.sent(0)


# -- ends that are told ------------------------------------------------------------------------------------------------


def test_a_connection_that_was_idle_for_too_long_is_handed_over_with_its_numbers(bench: Bench) -> None:
    bench.worker.set_profiles(profile(), {5: profile(reset=True, tcp_established=100.0)}, {})
    connect(bench, rule=5)
    bench.receive(0, to("PA", 101, 501) / b"hello")
    bench.round(99)
    assert bench.ended() == []
    bench.round(2)
    [flow] = bench.ended()
    assert (flow.state, flow.said, flow.heard, flow.original) == ("established", (106, 501), (501, 101), tuple5(LAN, WAN, 1, 80))
    assert bench.states() == {} and bench.worker.counters()["expired"] == 1


@pytest.mark.parametrize("packets", [
    [],
    [back("SA", 500, 101), to("A", 101, 501), to("FA", 101, 501), back("FA", 501, 102), to("A", 102, 502)],
    [back("SA", 500, 101), to("A", 101, 501), to("R", 101)],
    [back("RA", 0, 101)],
])  # fmt: skip
def test_nobody_is_told_who_was_never_there_or_has_ended_it_himself(bench: Bench, packets: list[Packet]) -> None:
    bench.worker.set_profiles(profile(reset=True), {}, {})
    bench.open(0, to("S", 100))
    for packet in packets:
        bench.receive(int(packet.src == WAN), packet)
    assert life(bench) < 100 and bench.ended() == []


def test_flows_that_end_in_any_other_way_are_not_handed_over(bench: Bench) -> None:
    bench.worker.set_profiles(profile(reset=True), {7: profile()}, {})
    for rule in (1, 7):
        connect(bench, sport=rule, rule=rule)
    [one] = [flow for flow in bench.worker.read(0, 10)[0] if flow.rule == 1]
    assert bench.worker.delete(one.flow, "policy")
    bench.open(0, udp())
    bench.round(8000)
    bench.round(1)
    assert bench.states() == {} and bench.ended() == []


def test_of_many_that_end_at_once_each_is_handed_over_a_few_at_a_time() -> None:
    bench = Bench(flows=2048)
    bench.worker.set_profiles(profile(reset=True, tcp_established=50.0), {}, {})
    for sport in range(1, 201):
        connect(bench, sport=sport)
    bench.round(51)
    ended: list[FlowView] = bench.ended()
    assert 0 < len(ended) <= 64
    for _ in range(400):
        bench.round(0.1)
        ended += bench.ended()
    assert sorted(flow.original[2] for flow in ended) == list(range(1, 201))
    assert bench.states() == {}
    bench.close()


def test_one_that_waits_to_be_told_goes_on_if_it_wakes_up() -> None:
    bench = Bench(flows=2048)
    bench.worker.set_profiles(profile(reset=True, tcp_established=50.0), {}, {})
    for sport in range(1, 201):
        connect(bench, sport=sport)
    bench.round(51)
    told = {flow.original[2] for flow in bench.ended()}
    awake = next(sport for sport in range(1, 201) if sport not in told)
    bench.receive(0, to("A", 101, 501, awake))
    for _ in range(400):
        bench.round(0.1)
        told |= {flow.original[2] for flow in bench.ended()}
    assert told == set(range(1, 201)) - {awake} and bench.states() == {"established": 1}
    bench.worker.set_profiles(profile(), {}, {})
    bench.close()


def test_the_bench_knows_every_timer() -> None:
    assert set(TIMEOUTS) == {name for name, _ in profile().timeouts}
