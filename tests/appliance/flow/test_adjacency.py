"""Frames that wait for their neighbour."""

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Packet

from tests.appliance.flow.bench import Bench

MAC = b"\x02\x00\x00\x00\x00\x55"


def ask(n: int, dst: str = "198.51.100.9") -> Packet:
    return IP(src="10.0.0.1", dst=dst) / UDP(sport=4000, dport=53) / bytes([n])


def test_frames_wait_for_an_incomplete_neighbour_in_order(bench: Bench) -> None:
    bench.worker.clear_adjacency(2, 1)
    bench.open(0, ask(0))
    bench.receive(0, *[ask(n) for n in range(1, 10)])
    assert bench.sent(1) == [] and bench.worker.counters()["parked"] == 8 and bench.drops() == {"parking-full": 2}
    bench.worker.set_adjacency(2, 1, MAC)
    bench.round()
    sent = bench.sent(1)
    assert [frame.packet[UDP].payload.load[0] for frame in sent] == list(range(8))
    assert {frame.data[:6] for frame in sent} == {MAC}


def test_one_never_heard_of_is_incomplete(bench: Bench) -> None:
    bench.receive(0, ask(0))
    [miss] = bench.misses()
    bench.worker.install(miss.flow, 4, 17, (miss.destination, miss.source, 53, 4000), 1, 999, 1, 1, 1)
    bench.round()
    assert bench.worker.counters()["parked"] == 1
    assert bench.worker.adjacency_used(999) == bench.now


def test_a_failed_neighbour_drops_what_waits_and_what_comes(bench: Bench) -> None:
    bench.worker.clear_adjacency(2, 1)
    bench.open(0, ask(0))
    bench.worker.set_adjacency(2, 1, None)
    bench.round()
    [punt] = bench.punts()  # the first that waited: its sender is to be told
    assert (punt.reason, punt.nic, punt.frame[-1]) == ("no-neighbour", 0, 0)
    bench.receive(0, ask(1))
    assert bench.drops() == {"no-neighbour": 2}
    bench.check_conservation()
    bench.worker.set_adjacency(2, 1, MAC)
    bench.round()
    bench.receive(0, ask(2))
    assert len(bench.sent(1)) == 1


def test_use_is_noted(bench: Bench) -> None:
    assert bench.worker.adjacency_used(2) == 0.0
    bench.open(0, ask(0))
    bench.round(5)
    bench.receive(0, ask(0))
    assert bench.worker.adjacency_used(2) == bench.now


@pytest.mark.parametrize("reason", ["no-route", "no-neighbour", "policy"])
def test_a_flow_that_nothing_leads_on_for_hands_over_the_first_of_its_frames(bench: Bench, reason: str) -> None:
    bench.receive(0, ask(0), ask(1))
    [miss] = bench.misses()
    bench.worker.deny(miss.flow, 0, 1, reason)
    bench.round()
    bench.receive(0, ask(2))
    handed = [(punt.reason, punt.flow, punt.frame[-1]) for punt in bench.punts()]
    assert handed == ([] if reason == "policy" else [(reason, miss.flow, 0)])
    assert bench.drops() == {reason: 3}
    bench.check_conservation()


def test_the_flows_that_lead_to_a_neighbour_are_counted(bench: Bench) -> None:
    def counted() -> tuple[int, int]:
        return bench.worker.adjacency_flows(1), bench.worker.adjacency_flows(2)

    first = bench.open(0, ask(0))
    assert counted() == (1, 1)
    second = bench.open(0, ask(0, "198.51.100.10"))
    bench.open(1, ask(0, "198.51.100.11"))
    assert counted() == (3, 3)
    bench.worker.delete(first.flow, "policy")
    bench.worker.deny(second.flow, 0, 1, "policy")
    bench.round()
    assert counted() == (1, 1)
    bench.round(40)
    assert counted() == (0, 0)


def test_neighbours_that_are_sought_leave_room_for_new_flows(bench: Bench) -> None:
    for n in range(40):
        bench.worker.clear_adjacency(1000 + n, 1)
        bench.receive(0, ask(0, f"198.51.100.{n + 20}"))
        [miss] = bench.misses()
        reply = (miss.destination, miss.source, miss.dport, miss.sport)
        bench.worker.install(miss.flow, 4, 17, reply, 1, 1000 + n, 1, 1, 1)
        bench.round()
        bench.receive(0, *[ask(1, f"198.51.100.{n + 20}")] * 7)
    assert bench.worker.counters()["parked"] == 128 and bench.drops() == {"parking-full": 40 * 8 - 128}
    bench.receive(0, ask(0, "198.51.100.9"))
    assert len(bench.misses()) == 1 and bench.worker.counters()["parked"] == 129
