"""The life of a flow: pending, decided, denied, expired, evicted; and the frames that wait for it."""

from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet

from appliance.flow.records import Tuple5
from tests.appliance.flow.bench import Bench, profile, tuple5

LAN, WAN = "10.0.0.1", "198.51.100.9"


def ask(n: int = 0, sport: int = 4000, source: str = LAN) -> Packet:
    return IP(src=source, dst=WAN) / UDP(sport=sport, dport=5353) / bytes([n])


def answer(n: int = 0, dport: int = 4000) -> Packet:
    return IP(src=WAN, dst=LAN) / UDP(sport=5353, dport=dport) / bytes([n])


def syn(sport: int) -> Packet:
    return IP(src=LAN, dst=WAN) / TCP(sport=sport, dport=80, flags="S")


def payloads(bench: Bench, nic: int) -> list[int]:
    return [sent.packet[UDP].payload.load[0] for sent in bench.sent(nic)]


def test_one_miss_a_flow_and_what_waited_goes_on_in_order(bench: Bench) -> None:
    bench.receive(0, *[ask(n) for n in range(5)])
    [miss] = bench.misses()
    assert (miss.source, miss.destination, miss.sport, miss.dport) == tuple5(LAN, WAN, 4000, 5353)
    assert (miss.nic, miss.queue, miss.version, miss.protocol, miss.icmp_type, miss.length) == (0, 0, 4, 17, -1, 43)
    assert bench.sent(1) == [] and bench.states() == {"pending": 1}
    bench.allow(miss)
    bench.receive(0, ask(5))
    assert payloads(bench, 1) == [0, 1, 2, 3, 4, 5]


def test_eight_frames_wait_and_no_more(bench: Bench) -> None:
    bench.receive(0, *[ask(n) for n in range(11)])
    assert bench.worker.counters()["parked"] == 8 and bench.drops() == {"parking-full": 3}
    bench.allow(bench.misses()[0])
    assert payloads(bench, 1) == list(range(8))


def test_a_flow_nobody_decides_ends_after_a_second(bench: Bench) -> None:
    bench.receive(0, ask())
    [miss] = bench.misses()
    bench.round(0.9)
    assert bench.states() == {"pending": 1}
    bench.round(0.2)
    assert bench.states() == {} and bench.drops() == {"undecided": 1}
    bench.allow(miss)
    assert bench.worker.counters()["stale"] == 1 and bench.states() == {}


def test_a_denied_flow_drops_by_its_reason_until_its_time_is_over(bench: Bench) -> None:
    bench.receive(0, ask(), ask())
    [miss] = bench.misses()
    bench.worker.deny(miss.flow, 7, 3, "policy", 2.0)
    bench.round()
    bench.receive(0, ask())
    [flow], _ = bench.worker.read(0, 10)
    assert (flow.state, flow.reason, flow.rule, flow.generation, flow.expires) == ("denied", "policy", 7, 3, bench.now + 2)
    assert bench.drops() == {"policy": 3} and bench.misses() == []
    assert bench.worker.rule_counters() == {7: (3, 129, 1)}
    bench.round(2.1)
    bench.receive(0, ask())
    assert len(bench.misses()) == 1


def test_a_live_flow_can_be_denied_in_both_directions(bench: Bench) -> None:
    miss = bench.open(0, ask())
    bench.worker.deny(miss.flow, 0, 4, "policy", 5.0)
    bench.round()
    bench.receive(0, ask())
    bench.receive(1, answer())
    assert bench.drops() == {"policy": 1} and len(bench.misses(1)) == 1


def test_a_deleted_flow_is_a_miss_again(bench: Bench) -> None:
    miss = bench.open(0, ask())
    bench.worker.delete(miss.flow, "deleted")
    bench.round()
    bench.receive(0, ask())
    [again] = bench.misses()
    assert again.flow != miss.flow
    bench.worker.delete(miss.flow, "deleted")
    bench.round()
    assert bench.states() == {"pending": 1} and bench.worker.counters()["stale"] == 1


def test_a_reply_tuple_belongs_to_one_flow(bench: Bench) -> None:
    reply = tuple5(WAN, "203.0.113.7", 5353, 50001)
    bench.open(0, ask(sport=4000), reply)
    bench.receive(0, ask(1, sport=4001))
    [miss] = bench.misses()
    assert not bench.worker.is_free(4, 17, *reply) and bench.worker.is_free(4, 17, *reply[:3], 50002)
    bench.allow(miss, reply)
    assert bench.misses() == []
    [refused] = bench.refused
    assert (refused.flow, refused.miss, refused.reason) == (miss.flow, miss, "taken")
    bench.allow(miss, (*reply[:3], 50002))
    assert [sent.packet[UDP].sport for sent in bench.sent(1)] == [50001, 50002]


def test_both_ends_may_begin_at_once(bench: Bench) -> None:
    bench.receive(0, ask(1))
    bench.receive(1, answer(2))
    [miss], [other] = bench.misses(0), bench.misses(1)
    bench.allow(miss)
    assert payloads(bench, 1) == [1] and payloads(bench, 0) == [2]
    bench.allow(other, egress=0)
    assert bench.states() == {"replied": 1} and bench.worker.counters()["stale"] == 1


def test_what_was_no_beginning_may_be_an_answer_later(bench: Bench) -> None:
    bench.receive(1, answer(2))
    [other] = bench.misses(1)
    assert not bench.worker.is_free(4, 17, other.source, other.destination, other.sport, other.dport)
    bench.worker.deny(other.flow, 0, 1, "policy")
    bench.round()
    assert bench.worker.is_free(4, 17, other.source, other.destination, other.sport, other.dport)
    bench.receive(0, ask(1))
    bench.allow(bench.misses(0)[0])
    bench.receive(1, answer(3))
    assert bench.refused == [] and payloads(bench, 1) == [1] and payloads(bench, 0) == [3]
    assert bench.states() == {"replied": 1}


def test_a_flow_that_was_denied_to_one_nic_is_decided_anew_for_another(bench: Bench) -> None:
    bench.receive(1, ask(1))
    [spoofed] = bench.misses(1)
    bench.worker.deny(spoofed.flow, 0, 1, "policy")
    bench.round()
    bench.receive(0, ask(2))
    [miss] = bench.misses(0)
    bench.allow(miss)
    bench.receive(1, ask(3))
    assert payloads(bench, 1) == [2] and bench.drops() == {"policy": 1, "wrong-nic": 1}


def test_a_flow_to_itself_is_refused(bench: Bench) -> None:
    bench.receive(0, IP(src=LAN, dst=LAN) / UDP(sport=9, dport=9))
    bench.allow(bench.misses()[0])
    assert bench.misses() == [] and bench.refused[0].reason == "taken"


def test_a_flow_lives_as_long_as_it_is_seen(bench: Bench) -> None:
    bench.open(0, ask())
    for _ in range(10):
        bench.round(29)
        bench.receive(0, ask())
    assert bench.states() == {"unreplied": 1}
    bench.receive(1, answer())
    assert bench.states() == {"replied": 1}
    bench.round(119)
    assert bench.states() == {"replied": 1}
    bench.round(2)
    assert bench.states() == {} and bench.worker.counters()["expired"] == 1


def test_new_timeouts_reach_old_flows_within_a_turn_of_the_wheel(bench: Bench) -> None:
    bench.open(0, syn(1))
    bench.receive(1, IP(src=WAN, dst=LAN) / TCP(sport=80, dport=1, flags="SA", ack=1))
    bench.receive(0, IP(src=LAN, dst=WAN) / TCP(sport=1, dport=80, flags="A"))
    bench.worker.set_profiles(profile(tcp_established=10), {}, {})
    bench.round(70)
    assert bench.states() == {}


def fill(bench: Bench, first: int, count: int, establish: bool = False) -> None:
    for sport in range(first, first + count):
        bench.open(0, syn(sport))
        if establish:
            bench.receive(1, IP(src=WAN, dst=LAN) / TCP(sport=80, dport=sport, flags="SA", ack=1))
            bench.receive(0, IP(src=LAN, dst=WAN) / TCP(sport=sport, dport=80, flags="A"))
        bench.sent(0), bench.sent(1)


def find(bench: Bench, sport: int) -> bool:
    return bench.worker.lookup(4, 6, *tuple5(LAN, WAN, sport, 80)) is not None


def test_a_full_table_gives_up_its_oldest_half_open_flow_and_never_an_open_one() -> None:
    bench = Bench(flows=64)  # one of them reserved
    fill(bench, 1000, 10, establish=True)
    fill(bench, 2000, 53)
    assert bench.worker.usage()["used"] == 63
    fill(bench, 3000, 2)
    assert not find(bench, 2000) and not find(bench, 2001) and find(bench, 2002) and find(bench, 1000) and find(bench, 3001)
    assert bench.worker.counters()["evicted-opening"] == 2
    bench.close()


def test_a_flood_of_datagrams_makes_room_for_itself_and_leaves_handshakes_alone() -> None:
    bench = Bench(flows=64)
    for sport in range(1, 59):
        bench.open(0, ask(sport=sport))
    fill(bench, 2000, 3)
    for sport in range(100, 300):
        bench.open(0, ask(sport=sport))
    assert all(find(bench, sport) for sport in (2000, 2001, 2002))
    assert bench.worker.counters()["evicted-opening"] == 0 and bench.worker.counters()["evicted-unreplied"] == 198
    bench.close()


def test_a_flood_that_is_answered_makes_room_for_itself_and_leaves_conversations_alone() -> None:
    bench = Bench(flows=64)
    for sport in range(1, 4):
        bench.open(0, ask(sport=sport))
        bench.receive(1, answer(dport=sport))
        bench.receive(0, ask(sport=sport))
    assert bench.worker.usage()["established"] == 3
    for sport in range(100, 300):
        bench.open(0, ask(sport=sport))
        bench.receive(1, answer(dport=sport))
    found = [sport for sport in range(1, 300) if bench.worker.lookup(4, 17, *tuple5(LAN, WAN, sport, 5353))]
    assert found == [1, 2, 3, *range(240, 300)]
    assert bench.worker.counters()["evicted-answered"] == 140 and not bench.refused
    bench.close()


def test_a_table_full_of_open_flows_refuses_all_but_the_appliances_own() -> None:
    bench = Bench(flows=64)
    fill(bench, 1000, 63, establish=True)
    bench.receive(0, syn(5))
    [miss] = bench.misses()
    bench.allow(miss)
    assert bench.misses() == [] and bench.refused[0].reason == "table-full"
    bench.allow(miss, egress=2)
    assert find(bench, 5)
    assert bench.worker.usage() == {
        "pending": 0, "opening": 1, "unreplied": 0, "answered": 0, "established": 63, "closing": 0, "denied": 0,
        "used": 64, "limit": 64, "self-reserve": 1,
    }  # fmt: skip
    bench.close()


def test_the_last_of_the_reserve_is_for_what_begins_at_the_appliance() -> None:
    bench = Bench(flows=256)  # four of them reserved
    fill(bench, 1000, 252, establish=True)
    for sport in range(1, 5):
        bench.receive(0, syn(sport))
        [miss] = bench.misses()
        bench.allow(miss, egress=2)
        if sport < 4:
            bench.receive(2, answer_of(sport))
            bench.receive(0, IP(src=LAN, dst=WAN) / TCP(sport=sport, dport=80, flags="A", seq=1, ack=1))
    assert bench.misses() == [] and bench.refused[-1].reason == "table-full"
    bench.worker.delete(miss.flow, "deleted")
    bench.round()
    bench.receive(2, IP(src="10.0.0.99", dst=WAN) / TCP(sport=9, dport=9000, flags="S"))
    [check] = bench.misses(2)
    bench.allow(check, egress=1)
    assert bench.worker.usage()["used"] == 256 and bench.drops().get("table-full", 0) == 0
    bench.close()


def answer_of(sport: int) -> Packet:
    return IP(src=WAN, dst=LAN) / TCP(sport=80, dport=sport, flags="SA", seq=0, ack=1)


def test_a_check_of_the_appliances_own_waits_for_its_decision_when_others_may_not() -> None:
    bench = Bench(flows=64)
    bench.receive(0, *[ask(sport=sport) for sport in range(1, 71)])
    assert bench.drops() == {"pending-full": 6}
    bench.receive(2, ask(sport=1, source="10.0.0.99"), ask(sport=2, source="10.0.0.99"))
    assert len(bench.misses(2)) == 1 and bench.drops() == {"pending-full": 7}
    bench.check_conservation()
    bench.close()


def test_pending_flows_have_a_bound_of_their_own() -> None:
    bench = Bench(flows=64)
    bench.receive(0, *[ask(sport=sport) for sport in range(1, 71)])
    assert bench.drops() == {"pending-full": 6}
    assert len(bench.misses()) == 64
    bench.check_conservation()
    bench.close()


def test_denied_flows_have_a_bound_and_the_oldest_makes_room() -> None:
    bench = Bench(flows=64)
    for sport in range(1, 71):
        bench.receive(0, ask(sport=sport))
        bench.worker.deny(bench.misses()[0].flow, 1, 1, "policy", 60.0)
        bench.round()
    assert bench.states() == {"denied": 64} and bench.worker.counters()["evicted-denied"] == 6
    bench.close()


def test_misses_beyond_the_ring_are_dropped_before_they_cost_more() -> None:
    bench = Bench(flows=20000, buffers=8192)
    frames = [ask(sport=sport) for sport in range(1, 1101)]
    bench.receive(0, *frames)
    assert bench.drops() == {"miss-full": 76} and bench.states() == {"pending": 1024}
    assert len(bench.misses()) == 1024
    bench.check_conservation()
    bench.close()


def test_parked_frames_hold_a_quarter_of_the_buffers_at_most() -> None:
    bench = Bench(buffers=128)
    for sport in range(1, 41):
        bench.receive(0, ask(sport=sport))
    assert bench.worker.counters()["parked"] == 32 and bench.drops() == {"parking-full": 8}
    assert bench.states() == {"pending": 32}
    bench.close()


def test_every_flow_can_be_read_in_slices(bench: Bench) -> None:
    for sport in range(1, 40):
        bench.open(0, ask(sport=sport))
        bench.sent(1)
    gone = [flow.flow for flow in bench.worker.read(0, 100)[0] if flow.original[2] % 3 == 0]
    for flow in gone:
        bench.worker.delete(flow, "deleted")
    bench.round()
    seen: list[Tuple5] = []
    cursor = -1
    while cursor:
        flows, cursor = bench.worker.read(max(cursor, 0), 4)
        assert len(flows) <= 4
        seen += [flow.original for flow in flows]
    assert sorted(port for _, _, port, _ in seen) == [port for port in range(1, 40) if port % 3]


def test_a_view_tells_all_of_a_flow(bench: Bench) -> None:
    reply = tuple5(WAN, "203.0.113.7", 5353, 50001)
    miss = bench.open(0, ask(), reply, rule=9, service=2, target=5)
    bench.round(3)
    bench.receive(1, IP(src=WAN, dst="203.0.113.7") / UDP(sport=5353, dport=50001) / b"12345")
    found = bench.worker.lookup(4, 17, *reply)
    assert found is not None
    flow, direction = found
    assert direction == 1 and bench.worker.lookup(4, 17, *tuple5(LAN, WAN, 4000, 5353)) == (flow, 0)
    assert (flow.flow, flow.state, flow.nic_in, flow.nic_out, flow.original, flow.reply) == (
        miss.flow, "replied", 0, 1, tuple5(LAN, WAN, 4000, 5353), reply
    )  # fmt: skip
    assert (flow.rule, flow.generation, flow.service, flow.target) == (9, 1, 2, 5)
    assert (flow.packets, flow.bytes) == ((1, 1), (43, 47))
    asked = bench.now - 3  # an answer from outside keeps no hidden flow
    assert (flow.created, flow.last_seen, flow.expires) == (asked, asked, asked + 120)
    assert bench.worker.rule_counters() == {9: (2, 90, 1)}
