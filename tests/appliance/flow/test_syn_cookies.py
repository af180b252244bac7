"""SYN cookies: nothing is remembered until an acknowledgement proves its sender; how many half-open flows there are says when."""

from ipaddress import ip_address
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from tests.appliance.flow.bench import Bench, tuple5
from tests.appliance.flow.syn_client import (
    ALIKE,
    ALWAYS,
    CLIENT,
    FAMILIES,
    ISN,
    OPTIONS,
    PRESSURE,
    SERVICE,
    TARGET,
    VARY,
    VIP,
    Client,
    configure,
    options_of,
    sound,
)


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """One that remembers decisions."""
    configure(bench)
    return bench


# -- SYN and SYN+ACK -------------------------------------------------------------------------------------------------------


@FAMILIES
def test_a_syn_is_answered_in_place_and_leaves_nothing_behind(bench: Bench, version: int) -> None:
    client = Client(bench, CLIENT[version])
    answer = sound(client.cookie())
    ip = answer[IP if version == 4 else IPv6]
    assert (answer.src, answer.dst, ip.src, ip.dst) == (bench.MACS[0].hex(":"), bench.HOSTS[0].hex(":"), VIP[version], CLIENT[version])
    tcp = answer[TCP]
    assert (tcp.sport, tcp.dport, tcp.flags, tcp.ack, tcp.window) == (80, 4000, "SA", (ISN + 1) % 2**32, 0)
    assert options_of(answer) == {"MSS": 1460 if version == 4 else 1440, "SAckOK": b"", "WScale": 7}
    assert bench.states() == {} and bench.sent(1) == []
    assert client.syn() is not None and client.cookies() == (2, 0, 0)
    assert bench.worker.counters()["misses"] == 1, "only the first of its kind was asked about"


def test_options_that_the_client_lacks_are_not_in_the_answer(bench: Bench) -> None:
    assert set(options_of(Client(bench, options=[]).cookie())) == {"MSS"}
    assert set(options_of(Client(bench, options=[("WScale", 3)]).cookie())) == {"MSS", "WScale"}


def test_who_is_denied_gets_no_cookie(bench: Bench) -> None:
    client = Client(bench)
    assert client.syn() is None
    [miss] = bench.misses()
    bench.worker.deny(miss.flow, 3, 1, "policy", alike=ALIKE)
    bench.round()
    assert Client(bench, sport=4001).syn() is None
    assert bench.drops() == {"policy": 2} and bench.states() == {"denied": 2}


def test_flows_that_are_decided_one_by_one_get_cookies_too(bench: Bench) -> None:
    client = Client(bench)
    client.connect(alike=0)
    assert bench.states() == {"established": 1} and client.cookies() == (1, 1, 0)
    assert Client(bench, sport=4001).syn() is not None and bench.misses() == []


def test_a_syn_in_fragments_gets_none(bench: Bench) -> None:
    Client(bench).cookie()
    whole = bytes(Client(bench, sport=4001).packet("S", 1, data=bytes(64)))[20:]
    bench.receive(0, IP(src=CLIENT[4], dst=VIP[4], proto=6, flags="MF", id=7) / whole[:64])
    assert bench.sent(0) == [] and bench.states() == {} and bench.drops() == {"fragment": 1}


# -- ACK -------------------------------------------------------------------------------------------------------------------


@FAMILIES
def test_the_right_ack_begins_the_flow_with_the_clients_own_syn(bench: Bench, version: int) -> None:
    syn = sound(Client(bench, CLIENT[version]).accept())
    ip = syn[IP if version == 4 else IPv6]
    assert (ip.src, ip.dst, syn[TCP].sport, syn[TCP].dport) == (CLIENT[version], TARGET[version], 4000, 8080)
    assert (syn[TCP].flags, syn[TCP].seq, syn[TCP].ack, syn[TCP].window) == ("S", ISN, 0, 65535)
    assert options_of(syn) == {"MSS": 1460, "SAckOK": b"", "WScale": 9}
    assert bench.states() == {"syn-sent": 1}


SIZES = [(100, 216), (216, 216), (535, 216), (536, 536), (1300, 1220), (1459, 1440), (9000, 8940), (None, 536)]


@pytest.mark.parametrize(("said", "kept"), SIZES)
def test_an_mss_is_kept_rounded_down(bench: Bench, said: int | None, kept: int) -> None:
    options = [("MSS", said)] if said is not None else []
    assert options_of(Client(bench, options=options).accept()) == {"MSS": kept}


@pytest.mark.parametrize("scale", [*range(15), 15, 255])
def test_a_window_scale_is_kept(bench: Bench, scale: int) -> None:
    assert options_of(Client(bench, options=[("WScale", scale)]).accept())["WScale"] == min(scale, 14)


def test_a_probe_of_the_closed_window_proves_as_well(bench: Bench) -> None:
    """The first ACK was lost: what comes next is a probe, with the number before its next."""
    client = Client(bench)
    cookie = client.cookie()[TCP].seq
    client.sends("A", ISN, cookie + 1)
    assert bench.sent(1)[0].packet[TCP].seq == ISN


WRONG = st.one_of(
    st.tuples(st.just("ack"), st.integers(1, 2**32 - 1)),
    st.tuples(st.just("bit"), st.integers(0, 31)),
    st.tuples(st.just("seq"), st.integers(1, 2**32 - 2)),
    st.tuples(st.just("sport"), st.integers(1, 60000)),
    st.tuples(st.just("source"), st.integers(1, 200)),
    st.tuples(st.just("flags"), st.sampled_from(["SA", "FA", "R", "RA", "", "F"])),
    st.tuples(st.just("age"), st.floats(64.0, 1e5)),
)


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), WRONG, st.integers(0, 2**32 - 1))
def test_any_other_ack_is_refused(isn: int, wrong: tuple[str, Any], start: int) -> None:
    what, by = wrong
    bench = Bench()
    configure(bench)
    bench.round(start % 100000)
    client = Client(bench, isn=isn)
    cookie = client.cookie()[TCP].seq
    flags, seq, ack = "A", isn + 1, cookie + 1
    if what == "ack":
        ack += by
    elif what == "bit":
        ack = (cookie ^ 1 << by) + 1
    elif what == "seq":
        seq += by  # one less is a probe
    elif what == "sport":
        client.sport += by
    elif what == "source":
        client.source = f"10.0.0.{1 + by}"
    elif what == "flags":
        flags = by
    else:
        bench.round(by)
    client.sends(flags, seq, ack)
    for miss in bench.misses():
        assert miss.tcp_flags != 2, "it began a connection"
        bench.worker.deny(miss.flow, 0, 1, "not-a-start")
    bench.round()
    assert bench.sent(1) == [] and client.cookies()[1] == 0
    client.sport, client.source = 4000, CLIENT[4]
    if what != "age":
        client.sends("A", isn + 1, cookie + 1)
        assert [sent.packet[TCP].flags for sent in bench.sent(1)] == ["S"], "the right one is taken all the same"
    bench.close()


@pytest.mark.parametrize("seconds", [0.0, 31.0, 33.0, 63.0, 65.0, 97.0])
def test_a_cookie_is_good_for_half_a_minute_at_least_and_a_minute_at_most(bench: Bench, seconds: float) -> None:
    client = Client(bench)
    cookie = client.cookie()[TCP].seq
    bench.round(seconds)
    client.sends("A", ISN + 1, cookie + 1)
    began = len(bench.sent(1))
    for miss in bench.misses():
        bench.worker.delete(miss.flow, "deleted")
    bench.round()
    assert began == 1 if seconds <= 32 else began == 0 if seconds >= 64 else True


def test_a_cookie_belongs_to_its_nic(bench: Bench) -> None:
    client = Client(bench)
    cookie = client.cookie()[TCP].seq
    client.nic = 1
    client.sends("A", ISN + 1, cookie + 1)
    [miss] = bench.misses(1)
    assert miss.tcp_flags == 16
    bench.worker.delete(miss.flow, "deleted")
    bench.round()


def test_cookies_outlive_a_reload(bench: Bench) -> None:
    client = Client(bench)
    cookie = client.cookie()[TCP].seq
    configure(bench, 2)
    client.sends("A", ISN + 1, cookie + 1)
    [miss] = bench.misses()
    assert miss.tcp_flags == 2
    bench.allow(miss, tuple5(TARGET[4], CLIENT[4], 8080, 4000), guard=ALWAYS, service=SERVICE)
    assert [sent.packet[TCP].flags for sent in bench.sent(1)] == ["S"]


def test_what_is_refused_is_counted_at_the_service(bench: Bench) -> None:
    client = Client(bench)
    client.cookie()
    client.sends("A", ISN + 1, 12345)
    [miss] = bench.misses()
    bench.worker.deny(miss.flow, 0, 1, "not-a-start")
    bench.round()
    assert client.cookies() == (1, 0, 1)


# -- pressure --------------------------------------------------------------------------------------------------------------


def test_pressure_of_a_service_begins_and_ends_with_its_half_open_flows(bench: Bench) -> None:
    """1,024 flows: 64 half-open ones of a service are too many, 32 are not any more."""
    seen = []
    for sport in range(1, 80):
        client = Client(bench, sport=sport)
        client.syn()
        client.decided(PRESSURE)
        seen.append(bool(bench.sent(1)))
    assert seen == [True] * 64 + [False] * 15
    assert bench.worker.service_cookies(SERVICE) == ((15, 0, 0), 64, True)
    assert bench.worker.service_cookies(SERVICE + 1)[1:] == (0, False)
    for sport in range(1, 34):
        client = Client(bench, sport=sport)
        client.target("RA", 0, ISN + 1)
    assert bench.worker.service_cookies(SERVICE)[1:] == (31, False)
    bench.sent(0)
    assert Client(bench, sport=500).syn() is None and len(bench.sent(1)) == 1


def test_a_table_full_of_others_half_open_flows_is_pressure_for_all(bench: Bench) -> None:
    for sport in range(256):
        Client(bench, sport=1000 + sport).syn()
        for miss in bench.misses():
            bench.allow(miss, tuple5(TARGET[4], CLIENT[4], 8080, miss.sport), service=0, alike=ALIKE | VARY)
    assert bench.worker.service_cookies(SERVICE)[2] and bench.worker.usage()["opening"] == 256
    configure(bench)
    assert Client(bench, sport=1).cookie(PRESSURE)[TCP].flags == "SA"


def test_a_flood_takes_no_place_and_an_honest_client_gets_through(bench: Bench) -> None:
    honest, random = Client(bench), Random(5)
    ours = honest.connect()
    before = bench.worker.usage()
    for _ in range(40):
        sources = [str(ip_address(random.randrange(0x0B000000, 0x7E000000))) for _ in range(50)]
        flood = [Client(bench, source, random.randrange(1, 65536), random.randrange(2**32)) for source in sources]
        bench.receive(0, *[client.packet("S", client.isn, options=OPTIONS) for client in flood])
        assert len(bench.sent(0)) == 50
        bench.receive(0, *[client.packet("A", client.isn + 1, random.randrange(2**32)) for client in flood[:5]])
        for miss in bench.misses():
            bench.worker.deny(miss.flow, 0, 1, "not-a-start", alike=ALIKE)
        bench.round()
    usage = bench.worker.usage()
    assert {name: usage[name] for name in ("used", "pending", "opening")} == {name: before[name] for name in ("used", "pending", "opening")}
    assert bench.worker.megaflows.count() == 2 and bench.worker.counters()["evicted-opening"] == 0
    second = Client(bench, sport=4001)
    second.connect()
    assert bench.states()["established"] == 2
    honest.sends("A", ISN + 1, ours, b"still here")
    assert len(bench.sent(1)) == 1
    assert honest.cookies()[0] == 2002 and honest.cookies()[1] == 2 and honest.cookies()[2] == 200
