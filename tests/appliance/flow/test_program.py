"""The surface: rings that fill, wrong values, control frames, and the conservation of frames under anything."""

import re
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether

import appliance.flow.reasons
from appliance.flow import records
from appliance.flow.program import Worker
from appliance.flow.reasons import MEANINGS, NUMBERS
from appliance.flow.records import Miss, Profile
from appliance.policy.facts import Reason
from ena_dev.errors import UsageError
from tests.appliance.flow.bench import TIMEOUTS, Bench, Card, profile, tuple5


def test_compiled_reasons_are_those_with_a_meaning() -> None:
    text = Path(appliance.flow.reasons.__file__).with_suffix(".pxd").read_text()
    names = [name.lower().replace("_", "-") for name in re.findall(r"^    DROP_(\w+)", text, re.MULTILINE)]
    assert names == [*NUMBERS, "reasons"]


def test_every_reason_of_a_decision_can_be_a_reason_to_drop() -> None:
    assert {reason.value for reason in Reason} - {"allowed"} <= set(MEANINGS)


def test_a_frame_of_the_control_plane_goes_out_as_it_is(bench: Bench) -> None:
    frame = bytes(Ether(dst="ff:ff:ff:ff:ff:ff", src="02:00:00:00:00:a0") / ARP(pdst="10.0.0.1"))
    assert bench.worker.send(0, frame) and bench.worker.send(0, frame + bytes(1494))
    bench.round()
    assert [sent.data for sent in bench.sent(0)] == [frame, frame + bytes(1494)]
    assert bench.worker.counters()["control-sent"] == 2


def test_full_rings_say_so(bench: Bench) -> None:
    assert sum(bench.worker.send(0, bytes(60)) for _ in range(200)) == 128
    assert sum(bench.worker.delete(1 << 32 | 1, "deleted") for _ in range(5000)) == 4096
    bench.round()
    assert bench.worker.send(0, bytes(60)) and bench.worker.delete(1 << 32 | 1, "deleted")
    bench.round()
    assert bench.worker.counters()["stale"] == 4097


def test_punts_beyond_the_ring_are_dropped(bench: Bench) -> None:
    arp = bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP())
    bench.receive(0, *[arp] * 70)
    assert len(bench.punts()) == 64 and bench.drops() == {"punt-full": 6}
    bench.receive(0, arp)
    assert len(bench.punts()) == 1


def test_a_flood_of_icmp_errors_leaves_room_for_neighbours(bench: Bench) -> None:
    error = IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(type=3, code=1) / IP(src="10.0.0.2", dst="10.0.0.1") / UDP()
    bench.receive(0, *[error] * 70, bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP()))
    assert [punt.reason for punt in bench.punts()] == ["icmp-error"] * 48 + ["arp"]
    assert bench.drops() == {"punt-full": 22}


def test_a_punt_carries_at_most_1536_bytes(bench: Bench) -> None:
    frame = bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP()) + bytes(3000)
    bench.receive(0, frame)
    assert bench.punts()[0].frame == frame[:1536]


def test_what_cannot_be_is_refused() -> None:
    bench = Bench()
    worker, reply = bench.worker, tuple5("10.0.0.1", "10.0.0.2", 1, 2)
    pair = bench.cards[0][0].pair
    stranger = Card(bench, 7)
    wrong = [
        lambda: worker.install(1, 4, 17, reply, 256, 1, 1, 1, 1),
        lambda: worker.install(1, 4, 17, reply, 1, 65536, 1, 1, 1),
        lambda: worker.install(1, 4, 1, reply, 1, 1, 1, 1, 1),
        lambda: worker.install(1, 4, 47, reply, 1, 1, 1, 1, 1),
        lambda: worker.install(1, 5, 17, reply, 1, 1, 1, 1, 1),
        lambda: worker.install(1, 4, 17, reply, 1, 1, 1, 1, 1, nat=(0, 65536)),
        lambda: worker.nat_flows(65536),
        lambda: worker.deny(1, 1, 1, "because"),
        lambda: worker.deny(1, 1, 1, "policy", -1.0),
        lambda: worker.set_adjacency(1, 1, b"short"),
        lambda: worker.set_adjacency(70000, 1, None),
        lambda: worker.send(0, bytes(13)),
        lambda: worker.send(0, bytes(1537)),
        lambda: worker.send(256, bytes(60)),
        lambda: worker.set_mtu(5, 1500),
        lambda: worker.set_profiles(Profile((("udp", 1.0),)), {}, {}),
        lambda: worker.set_profiles(profile(udp=-1.0), {}, {}),
        lambda: worker.set_profiles(profile(), {65536: profile(udp=1.0)}, {}),
        lambda: worker.set_profiles(profile(), {number: profile(udp=100.0 + number) for number in range(256)}, {}),
        lambda: worker.add_nic(0, bytes(5), 1500, [pair]),
        lambda: worker.add_nic(1, bytes(6), 1500, [pair]),
        lambda: worker.program(stranger.pair),
        lambda: Worker(bench.executor, bench.pool, 63, bytes(16), TIMEOUTS),
        lambda: Worker(bench.executor, bench.pool, 64, bytes(16), {"udp": 1.0}),
    ]
    for call in wrong:
        with pytest.raises(UsageError):
            call()
    stranger.pair.stop()
    bench.close()


def test_a_closed_worker_takes_no_commands_and_keeps_no_buffers() -> None:
    bench = Bench()
    bench.worker.clear_adjacency(2, 1)
    bench.open(0, IP(src="10.0.0.1", dst="10.9.9.9") / UDP(sport=1, dport=2))
    bench.receive(0, IP(src="10.0.0.1", dst="10.9.9.9") / UDP(sport=3, dport=2))
    assert bench.worker.counters()["parked"] == 2
    bench.close()
    assert not bench.worker.delete(1, "deleted") and not bench.worker.send(0, bytes(60))
    assert bench.worker.counters()["parked"] == 0


PORTS = st.integers(1, 4)
HOSTS = st.sampled_from(["10.0.0.1", "10.0.0.2", "198.51.100.9"])
HOSTS6 = st.sampled_from(["2001:db8::1", "2001:db8::2"])
BODIES = st.one_of(
    st.builds(TCP, sport=PORTS, dport=PORTS, flags=st.sampled_from(["S", "SA", "A", "FA", "R", "", "SF"])),
    st.builds(UDP, sport=PORTS, dport=PORTS),
    st.builds(ICMP, type=st.sampled_from([0, 3, 8, 11, 13]), id=PORTS),
)
PACKETS = st.one_of(
    st.builds(lambda src, dst, ttl, body: IP(src=src, dst=dst, ttl=ttl) / body, HOSTS, HOSTS, st.sampled_from([0, 1, 64]), BODIES),
    st.builds(lambda src, dst, body: IPv6(src=src, dst=dst) / body, HOSTS6, HOSTS6, BODIES),
    st.binary(min_size=1, max_size=80),
    st.just(bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP())),
)
STEPS = st.one_of(
    st.tuples(st.just("burst"), st.integers(0, 2), st.lists(PACKETS, min_size=1, max_size=70), st.sampled_from([0, 0, 0, 1, 2, 4])),
    st.tuples(st.just("decide"), st.sampled_from(["allow", "translate", "deny", "delete"]), st.integers(0, 5), st.integers(0, 3)),
    st.tuples(st.just("neighbour"), st.integers(1, 3), st.sampled_from([b"\x02\0\0\0\0\x77", None, b""]), st.none()),
    st.tuples(st.just("wait"), st.floats(0, 100), st.none(), st.none()),
    st.tuples(st.just("sent"), st.integers(0, 2), st.none(), st.none()),
)


def decide(bench: Bench, how: str, misses: list[Miss], which: int, egress: int) -> None:
    if not misses:
        return
    miss = misses[which % len(misses)]
    source = miss.source if how == "allow" else tuple5("203.0.113.7" if miss.version == 4 else "2001:db8:1::2", "::", 0, 0)[0]
    if how in ("allow", "translate"):
        reply = (miss.destination, source, miss.dport, miss.sport)
        bench.worker.install(miss.flow, miss.version, miss.protocol, reply, egress, egress + 1, miss.nic + 1, which, 1)
    elif how == "deny":
        bench.worker.deny(miss.flow, which, 1, "policy")
    else:
        bench.worker.delete(miss.flow, "deleted")


@settings(max_examples=150)
@given(st.lists(STEPS, max_size=25))
def test_every_frame_and_every_buffer_is_accounted_for(script: list[tuple]) -> None:  # type: ignore[type-arg]
    bench, misses = Bench(flows=64, buffers=256), list[Miss]()
    for what, first, second, third in script:
        if what == "burst":
            bench.receive(first, *second[: bench.pool.free // 2], flags=third)
            misses += bench.misses(first)
        elif what == "decide":
            decide(bench, first, misses, second, third)
        elif what == "neighbour":
            if second == b"":
                bench.worker.clear_adjacency(first, first - 1)
            else:
                bench.worker.set_adjacency(first, first - 1, second)
        elif what == "wait":
            bench.round(first)
        else:
            bench.sent(first)
        bench.round()
        bench.check_conservation()
        census = bench.pool.census()
        assert census["parked"] == bench.worker.counters()["parked"] and census["pool"] == bench.pool.free
    assert bench.drops().get("internal", 0) == 0
    bench.close()


def test_frames_pass_while_flows_are_shown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes time, the records, is made after the barrier."""
    bench.open(0, IP(src="10.0.0.1", dst="198.51.100.9") / UDP(sport=4000, dport=53))
    passed = []

    def show(*fields: object, **named: object) -> object:
        step = Thread(target=lambda: bench.executor.round(bench.now), daemon=True)
        step.start()
        step.join(5.0)
        passed.append(not step.is_alive())
        return fields

    monkeypatch.setattr(records, "FlowView", show)
    flows, cursor = bench.worker.read(0, 10)
    assert (len(flows), cursor, passed) == (1, 0, [True])
