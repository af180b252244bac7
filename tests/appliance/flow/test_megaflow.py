"""Flows that are alike: who passes without a question, with which tuple and to whom, and when the question is asked all the same."""

from array import array
from bisect import bisect_right
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from appliance.flow.cuts import pack
from appliance.flow.megaflow import MOST_POOLS, MegaflowTable, spread_hash
from ena_dev.bus.executor import Executor
from ena_dev.errors import UsageError
from tests.appliance.flow.bench import L4_GOOD, Bench, tuple5

ALIKE, DIRECT, REPLY_DIRECT, VARY = 1, 2, 4, 8
SOURCES = {4: [int(ip_address("10.0.0.0")), int(ip_address("10.0.1.0"))], 6: [int(ip_address("fd00:1::"))]}
DESTINATIONS = {4: [int(ip_address("192.0.2.0")), int(ip_address("192.0.3.0"))], 6: [int(ip_address("fd00:2::"))]}
PORTS = [80, 90]
OUTSIDE = "203.0.113.1"
SECRET = bytes(16)


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """One that remembers decisions of generation 1."""
    configure(bench)
    return bench


def configure(bench: Bench, generation: int = 1) -> None:
    bench.worker.megaflows.configure(generation, pack(SOURCES, DESTINATIONS, PORTS))


def udp(source: str = "10.0.0.1", destination: str = "192.0.2.1", sport: int = 5000, dport: int = 85) -> Packet:
    return (IPv6 if ":" in source else IP)(src=source, dst=destination) / UDP(sport=sport, dport=dport) / b"data"


def asked(bench: Bench, packet: Packet, nic: int = 0) -> bool:
    """Whether a packet's flow is to be decided in Python. If not, it has left, or was dropped."""
    bench.receive(nic, packet)
    bench.round()
    misses = bench.misses(nic)
    for miss in misses:
        bench.worker.delete(miss.flow, "deleted")
    bench.round()
    return bool(misses)


def hidden(bench: Bench, packet: Packet, sport: int) -> None:
    """Open a masqueraded flow, and all like it."""
    five = tuple5(packet.dst, OUTSIDE, packet.dport, sport)
    bench.open(0, packet, five, alike=ALIKE | VARY)


# -- who is alike ----------------------------------------------------------------------------------------------------------


def test_flows_alike_pass_at_once_each_with_its_own_tuple(bench: Bench) -> None:
    bench.open(0, udp(), alike=ALIKE)
    bench.sent(1)
    others = [udp("10.0.0.255", "192.0.2.200", 77, 80), udp("10.0.0.2", "192.0.2.1", 1, 89), udp(sport=5001)]
    bench.receive(0, *others)
    assert not bench.misses()
    for packet, sent in zip(others, bench.sent(1), strict=True):
        seen = sent.packet
        assert (seen.src, seen.dst) == (bench.MACS[1].hex(":"), bench.HOSTS[1].hex(":"))
        assert (seen[IP].src, seen[IP].dst, seen[UDP].sport, seen[UDP].dport) == (packet.src, packet.dst, packet.sport, packet.dport)
        assert seen[IP].ttl == packet.ttl - 1
        flow, direction = bench.worker.lookup(4, 17, *tuple5(packet.dst, packet.src, packet.dport, packet.sport)) or (None, 0)
        assert flow is not None and direction == 1 and (flow.rule, flow.generation, flow.state) == (1, 1, "unreplied")
    counters = bench.worker.counters()
    assert (counters["misses"], counters["alike"], counters["installed"]) == (4, 3, 4)
    assert bench.worker.rule_counters()[1] == (4, sum(len(packet) + 14 for packet in [udp(), *others]), 4)
    bench.receive(1, udp("192.0.2.200", "10.0.0.255", 80, 77))
    assert len(bench.sent(0)) == 1


@pytest.mark.parametrize(
    "other",
    [
        udp("10.0.1.0"),
        udp("9.255.255.255"),
        udp(destination="192.0.3.0"),
        udp(destination="192.0.1.255"),
        udp(dport=79),
        udp(dport=90),
        IP(src="10.0.0.1", dst="192.0.2.1") / TCP(sport=5000, dport=85, flags="S"),
        IP(src="10.0.0.1", dst="192.0.2.1") / ICMP(id=85),
        udp("192.0.2.7", "192.0.2.7"),
    ],
    ids=lambda packet: packet.summary(),
)
def test_whoever_differs_in_one_class_is_asked_about(bench: Bench, other: Packet) -> None:
    bench.open(0, udp(), alike=ALIKE)
    assert asked(bench, other)
    assert not asked(bench, udp(sport=5001))


def test_another_nic_is_another_kind(bench: Bench) -> None:
    bench.open(0, udp(), alike=ALIKE)
    assert asked(bench, udp(sport=5001), nic=1)


def test_a_segment_that_begins_nothing_is_not_like_one_that_does(bench: Bench) -> None:
    def tcp(flags: str, sport: int) -> Packet:
        return IP(src="10.0.0.1", dst="192.0.2.1") / TCP(sport=sport, dport=85, flags=flags)

    bench.open(0, tcp("S", 1), alike=ALIKE)
    assert [asked(bench, tcp(flags, 2 + n)) for n, flags in enumerate(("S", "SEC", "SA", "A", "R", "F", "SF"))] == [False] * 2 + [True] * 5
    assert bench.states() == {"syn-sent": 3}


def test_a_type_of_icmp_is_like_itself_alone(bench: Bench) -> None:
    def icmp(kind: int, number: int) -> Packet:
        return IP(src="10.0.0.1", dst="192.0.2.1") / ICMP(type=kind, id=number)

    bench.open(0, icmp(8, 1), tuple5("192.0.2.1", "10.0.0.1", 1, 1), alike=ALIKE)
    assert [asked(bench, icmp(kind, 2)) for kind in (8, 13)] == [False, True]


def test_a_source_that_is_the_destination_is_always_asked_about(bench: Bench) -> None:
    bench.worker.megaflows.configure(1, pack({4: [], 6: []}, {4: [], 6: []}, []))
    bench.open(0, udp(), alike=ALIKE)
    assert not asked(bench, udp("10.9.9.9", "10.9.9.8"))
    assert asked(bench, udp("10.9.9.9", "10.9.9.9"))


def test_what_says_nothing_of_others_is_not_remembered(bench: Bench) -> None:
    bench.open(0, udp())
    assert asked(bench, udp(sport=5001)) and bench.worker.megaflows.count() == 0


def test_decisions_of_another_generation_are_not_remembered_and_new_cuts_forget_all(bench: Bench) -> None:
    bench.open(0, udp(), alike=ALIKE)
    configure(bench, 2)
    assert asked(bench, udp(sport=5001))
    bench.open(0, udp(sport=5002), alike=ALIKE)  # still of generation 1
    assert asked(bench, udp(sport=5003))


cuts = st.lists(st.integers(1, 1000), max_size=12, unique=True).map(sorted)


@given(cuts, cuts, cuts, st.lists(st.tuples(*[st.integers(0, 1001)] * 3), min_size=2, max_size=2), st.booleans())
@settings(max_examples=150)
def test_alike_is_who_is_between_the_same_cuts(
    sources: list[int], destinations: list[int], ports: list[int], ends: list[tuple[int, int, int]], six: bool
) -> None:
    bench, base = Bench(), 0xFD00 << 112 if six else 0x0A000000
    from_it, to_it = ({6: [base + cut for cut in each], 4: [base + cut for cut in each]} for each in (sources, destinations))
    bench.worker.megaflows.configure(1, pack(from_it, to_it, ports))
    one, other = (udp(str(ip_address(base + s)), str(ip_address(base + d)), 4000 + n, p) for n, (s, d, p) in enumerate(ends))
    classes = [(bisect_right(sources, s), bisect_right(destinations, d), bisect_right(ports, p), s != d) for s, d, p in ends]
    bench.open(0, one, alike=ALIKE)
    assert asked(bench, other) is not (classes[0] == classes[1] and classes[0][3])
    bench.close()


# -- translated ------------------------------------------------------------------------------------------------------------


def test_a_hidden_source_keeps_its_port_if_it_can(bench: Bench) -> None:
    hidden(bench, udp(sport=5000), 5000)
    for source, sport in (("10.0.0.2", 5001), ("10.0.0.3", 5001), ("10.0.0.4", 443)):
        bench.sent(1)
        assert not asked(bench, udp(source, sport=sport))
        [sent] = bench.sent(1)
        seen = sent.packet
        assert seen[IP].src == OUTSIDE and seen[UDP].chksum == type(seen)(bytes(seen))[UDP].chksum
        if source == "10.0.0.2":
            assert seen[UDP].sport == 5001
        else:
            assert seen[UDP].sport >= 1024 and seen[UDP].sport != 5001
        bench.receive(1, udp("192.0.2.1", OUTSIDE, 85, seen[UDP].sport))
        [back] = bench.sent(0)
        assert (back.packet[IP].dst, back.packet[UDP].dport) == (source, sport)


def test_ports_of_hidden_sources_are_drawn_from_1024_up(bench: Bench) -> None:
    hidden(bench, udp(sport=5000), 5000)
    bench.sent(1)
    bench.receive(0, *[udp(f"10.0.0.{1 + n % 250}", sport=1 + n // 250) for n in range(500)])
    drawn = [sent.packet[UDP].sport for sent in bench.sent(1)]
    assert len(drawn) == len(set(drawn)) > 0 and min(drawn) >= 1024 and max(drawn) > 32768


def test_connections_that_are_over_yield_their_ports_when_there_are_no_others() -> None:
    bench = Bench(flows=70_000)
    configure(bench)
    there = IP(src="10.0.0.1", dst="192.0.2.1")
    syn = bytearray(bench.frame(0, there / TCP(sport=1024, dport=85, flags="S", seq=7)))
    answer = bytearray(bench.frame(1, IP(src="192.0.2.1", dst=OUTSIDE) / TCP(sport=85, dport=1024, flags="SA", seq=9, ack=8)))
    reset = bytearray(bench.frame(0, there / TCP(sport=1024, dport=85, flags="R", seq=8)))
    hidden(bench, IP(bytes(syn[14:])), 1024)
    for first in range(1025, 65536, 16):
        for port in range(first, min(first + 16, 65536)):
            for nic, frame, at in ((0, syn, 34), (1, answer, 36), (0, reset, 34)):
                frame[at : at + 2] = port.to_bytes(2)
                bench.receive(nic, bytes(frame), flags=L4_GOOD)
        bench.round()
        bench.sent(0)
        bench.sent(1)
    assert bench.states() == {"closed": 64_511, "syn-sent": 1}
    assert not asked(bench, IP(src="10.0.0.2", dst="192.0.2.1") / TCP(sport=5000, dport=85))
    [sent] = bench.sent(1)
    assert sent.packet[IP].src == OUTSIDE and sent.packet[TCP].sport > 1024
    assert bench.states() == {"closed": 64_510, "syn-sent": 2}
    bench.close()


def test_a_port_that_may_not_change_is_asked_about_when_it_is_taken(bench: Bench) -> None:
    bench.open(0, udp(sport=5000), tuple5("192.0.2.1", OUTSIDE, 85, 5000), alike=ALIKE)
    assert not asked(bench, udp("10.0.0.2", sport=5001))
    assert asked(bench, udp("10.0.0.3", sport=5001))


def test_echo_has_its_identifier_for_both_ports(bench: Bench) -> None:
    def echo(source: str) -> Packet:
        return IP(src=source, dst="192.0.2.1") / ICMP(id=7) / b"data"

    bench.open(0, echo("10.0.0.1"), tuple5("192.0.2.1", OUTSIDE, 7, 7), alike=ALIKE | VARY)
    bench.sent(1)
    assert not asked(bench, echo("10.0.0.2"))
    number = bench.sent(1)[0].packet[ICMP].id
    assert number != 7
    bench.receive(1, IP(src="192.0.2.1", dst=OUTSIDE) / ICMP(type=0, id=number) / b"data")
    assert (back := bench.sent(0)[0].packet)[IP].dst == "10.0.0.2" and back[ICMP].id == 7


def test_what_has_no_ports_cannot_vary(bench: Bench) -> None:
    def gre(source: str) -> Packet:
        return IP(src=source, dst="192.0.2.1", proto=47) / b"0123"

    bench.open(0, gre("10.0.0.1"), tuple5("192.0.2.1", OUTSIDE, 0, 0), alike=ALIKE | VARY)
    assert asked(bench, gre("10.0.0.2"))


@pytest.mark.parametrize("inside", [8080, 85])
def test_a_forwarded_port_is_fixed_or_each_flows_own(bench: Bench, inside: int) -> None:
    bench.open(0, udp(dport=85), tuple5("172.16.0.1", "10.0.0.1", inside, 5000), alike=ALIKE | VARY)
    bench.sent(1)
    assert not asked(bench, udp("10.0.0.2", sport=6, dport=86))
    seen = bench.sent(1)[0].packet
    assert (seen[IP].dst, seen[UDP].dport) == ("172.16.0.1", inside if inside == 8080 else 86)
    assert (seen[IP].src, seen[UDP].sport) == ("10.0.0.2", 6)


def test_a_reply_tuple_that_a_pending_flow_has_is_taken(bench: Bench) -> None:
    hidden(bench, udp(sport=5000), 5000)
    bench.receive(1, udp("192.0.2.1", OUTSIDE, 85, 6000))
    bench.sent(1)
    bench.receive(0, udp("10.0.0.2", sport=6000))
    assert bench.sent(1)[0].packet[UDP].sport != 6000
    for miss in bench.misses(1):
        bench.worker.delete(miss.flow, "deleted")
    bench.round()


# -- to whom ---------------------------------------------------------------------------------------------------------------


def test_on_a_link_each_neighbour_is_met_once(bench: Bench) -> None:
    near = bytes.fromhex("020000000055")
    bench.worker.set_adjacency(9, 1, near)
    bench.round()
    bench.open(0, udp(), alike=ALIKE | DIRECT | REPLY_DIRECT)
    assert asked(bench, udp(destination="192.0.2.2")), "its adjacency is not known"
    assert asked(bench, udp("10.0.0.2")), "neither is that of its source"
    bench.receive(0, udp("10.0.0.2", "192.0.2.2"))
    [miss] = bench.misses()
    reply = tuple5("192.0.2.2", "10.0.0.2", 85, 5000)
    bench.worker.install(miss.flow, 4, 17, reply, 1, 9, 1, 1, 1, alike=ALIKE | DIRECT | REPLY_DIRECT)
    bench.round()
    bench.sent(1)
    for source, destination, mac in (("10.0.0.1", "192.0.2.2", near), ("10.0.0.2", "192.0.2.1", bench.HOSTS[1])):
        assert not asked(bench, udp(source, destination, sport=9))
        assert bench.sent(1)[0].packet.dst == mac.hex(":")


def test_a_neighbour_that_failed_or_changed_hands_is_asked_about(bench: Bench) -> None:
    bench.open(0, udp(), alike=ALIKE)
    bench.worker.set_adjacency(2, 1, None)
    bench.round()
    assert asked(bench, udp(sport=1))
    bench.worker.set_adjacency(2, 1, bench.HOSTS[1])
    bench.round()
    assert not asked(bench, udp(sport=2)), "the same neighbour is back"
    bench.worker.clear_adjacency(2, 1)
    bench.worker.set_adjacency(2, 1, bench.HOSTS[1])
    bench.round()
    assert asked(bench, udp(sport=3)), "the number may be another neighbour's by now"


# -- balanced --------------------------------------------------------------------------------------------------------------


def test_a_pool_gives_each_flow_a_target_and_each_target_is_learnt(bench: Bench) -> None:
    bench.worker.megaflows.set_pool(5, SECRET, array("H", [0, 1, 1]))
    found = {}
    for sport in range(1, 60):
        five = tuple5("10.0.0.1", "192.0.2.1", sport, 85)
        target = [0, 1, 1][spread_hash(SECRET, 4, 17, five) % 3]
        bench.receive(0, udp(sport=sport))
        misses = bench.misses()
        assert len(misses) == (0 if target in found else 1)
        for miss in misses:
            found[target] = sport
            inside = tuple5(f"172.16.0.{target}", "10.0.0.1", 8000 + target, sport)
            bench.allow(miss, inside, alike=ALIKE | VARY, pool=(5, target), target=target + 1)
        seen = bench.sent(1)[0].packet
        assert (seen[IP].dst, seen[UDP].dport) == (f"172.16.0.{target}", 8000 + target)
    assert found.keys() == {0, 1}
    bench.worker.megaflows.set_pool(5, SECRET, None)
    assert asked(bench, udp(sport=100))
    bench.worker.megaflows.set_pool(5, SECRET, array("H", [1]))
    for sport in range(200, 220):
        bench.receive(0, udp(sport=sport))
        assert bench.sent(1)[0].packet[IP].dst == "172.16.0.1"


# -- refused ---------------------------------------------------------------------------------------------------------------


def test_flows_like_a_denied_one_are_denied(bench: Bench) -> None:
    bench.receive(0, udp())
    [miss] = bench.misses()
    bench.worker.deny(miss.flow, 3, 1, "policy", alike=ALIKE)
    bench.round()
    assert not asked(bench, udp(sport=1)) and not asked(bench, udp(sport=1))
    assert bench.drops() == {"policy": 3} and bench.states() == {"denied": 2}
    assert bench.worker.rule_counters()[3] == (3, 3 * (len(udp()) + 14), 2)


def test_the_first_frame_that_nothing_leads_on_for_is_told_about(bench: Bench) -> None:
    bench.receive(0, udp())
    [miss] = bench.misses()
    bench.worker.deny(miss.flow, 3, 1, "no-route", alike=ALIKE)
    bench.round()
    assert [punt.reason for punt in bench.punts()] == ["no-route"]
    bench.receive(0, udp(sport=1), udp(sport=1))
    assert [punt.reason for punt in bench.punts()] == ["no-route"] and bench.drops() == {"no-route": 3}


def test_a_flow_that_is_cut_later_says_nothing_of_others(bench: Bench) -> None:
    miss = bench.open(0, udp(), alike=ALIKE)
    bench.worker.deny(miss.flow, 3, 1, "policy", alike=ALIKE)
    bench.round()
    bench.sent(1)
    assert not asked(bench, udp(sport=1)) and len(bench.sent(1)) == 1


# -- bounds ----------------------------------------------------------------------------------------------------------------


def test_more_kinds_than_there_is_room_for_are_asked_about_again(bench: Bench) -> None:
    table, kinds = bench.worker.megaflows, 400
    every = {4: list(range(int(ip_address("10.0.0.0")), int(ip_address("10.0.0.0")) + 30000)), 6: []}
    table.configure(1, pack(every, every, range(1, 65536)))
    for n in range(kinds):
        bench.open(0, udp(dport=n + 1), alike=ALIKE)
    known = sum(not asked(bench, udp(sport=1, dport=n + 1)) for n in range(kinds))
    assert table.count() == known == kinds


def test_what_is_full_is_pythons_to_refuse() -> None:
    bench = Bench(flows=64)
    configure(bench)
    for n in range(63):
        packet = IP(src="10.0.0.1", dst="192.0.2.1") / TCP(sport=n + 1, dport=85, flags="S")
        bench.receive(0, packet)
        for miss in bench.misses():
            bench.allow(miss, alike=ALIKE)
        bench.receive(1, IP(src="192.0.2.1", dst="10.0.0.1") / TCP(sport=85, dport=n + 1, flags="SA", ack=1))
        bench.receive(0, IP(src="10.0.0.1", dst="192.0.2.1") / TCP(sport=n + 1, dport=85, flags="A"))
        bench.sent(1), bench.sent(0)
    assert bench.states() == {"established": 63}
    assert asked(bench, IP(src="10.0.0.1", dst="192.0.2.1") / TCP(sport=1000, dport=85, flags="S"))
    bench.close()


def test_what_cannot_be_is_refused(bench: Bench) -> None:
    table = bench.worker.megaflows
    for wrong in (
        lambda: MegaflowTable(Executor(), b"short"),
        lambda: table.set_pool(MOST_POOLS, SECRET, None),
        lambda: table.set_pool(-1, SECRET, None),
        lambda: table.set_pool(1, b"short", None),
        lambda: table.set_pool(1, SECRET, b"odd"),
        lambda: spread_hash(b"short", 4, 17, (1, 2, 3, 4)),
        lambda: bench.worker.install(1, 4, 17, (1, 2, 3, 4), 1, 1, 1, 1, 1, pool=(MOST_POOLS, 0)),
    ):
        with pytest.raises(UsageError):
            wrong()
