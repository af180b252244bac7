"""SYN cookies: nothing is remembered until an acknowledgement proves its sender; then two handshakes are one connection."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from appliance.flow.records import Profile
from tests.appliance.flow.bench import TIMEOUTS, Bench, tuple5

PRESSURE, ALWAYS = 1, 2
ALIKE, VARY = 1, 8
SERVICE = 5
VIP = {4: "192.0.2.1", 6: "2001:db8:f::1"}
TARGET = {4: "172.16.0.1", 6: "2001:db8:e::1"}
CLIENT = {4: "10.0.0.1", 6: "2001:db8::1"}
ISN, THEIRS = 0xFFFFFFF0, 0x7FFFFFF0
OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (77, 0)), ("NOP", None), ("WScale", 9)]
ANSWER = [("MSS", 1400), ("WScale", 5), ("SAckOK", b"")]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    configure(bench)
    yield bench
    bench.close()


def configure(bench: Bench, generation: int = 1) -> None:
    bench.worker.megaflows.configure(generation, {4: [], 6: []}, {4: [], 6: []}, [])


@dataclass
class Client:
    """The client's end of one connection to the service, by scapy."""

    bench: Bench
    source: str = CLIENT[4]
    sport: int = 4000
    isn: int = ISN
    options: list[Any] = field(default_factory=lambda: list(OPTIONS))
    nic: int = 0

    @property
    def version(self) -> int:
        return ip_address(self.source).version

    def packet(self, flags: str, seq: int, ack: int = 0, data: bytes = b"", **more: Any) -> Packet:
        ip = (IP if self.version == 4 else IPv6)(src=self.source, dst=VIP[self.version])
        tcp = TCP(sport=self.sport, dport=80, flags=flags, seq=seq % 2**32, ack=ack % 2**32, **more)
        return ip / tcp / data

    def sends(self, flags: str, seq: int, ack: int = 0, data: bytes = b"", **more: Any) -> None:
        self.bench.receive(self.nic, self.packet(flags, seq, ack, data, **more))

    def syn(self) -> Packet | None:
        """A SYN; what came back to the client."""
        self.sends("S", self.isn, options=self.options, window=1000)
        got = self.bench.sent(self.nic)
        return got[0].packet if got else None

    def decided(self, guard: int = ALWAYS, **more: Any) -> None:
        """Answer the questions about it as for a service."""
        for miss in self.bench.misses(self.nic):
            reply = tuple5(TARGET[self.version], self.source, 8080, self.sport)
            self.bench.allow(miss, reply, **({"alike": ALIKE | VARY} | more), guard=guard, service=SERVICE)

    def cookie(self, guard: int = ALWAYS, **more: Any) -> Packet:
        """The SYN+ACK of a SYN that gets a cookie."""
        if (answer := self.syn()) is None:
            self.decided(guard, **more)
            [answer] = [sent.packet for sent in self.bench.sent(self.nic)]
        return answer

    def accept(self, **more: Any) -> Packet:
        """Acknowledge a cookie; the SYN that the target gets."""
        cookie = self.cookie(**more)[TCP].seq
        self.sends("A", self.isn + 1, cookie + 1, window=500)
        self.decided(**more)
        [syn] = [sent.packet for sent in self.bench.sent(1)]
        return syn

    def target(self, flags: str, seq: int, ack: int, data: bytes = b"", **more: Any) -> None:
        """The target says something."""
        ip = (IP if self.version == 4 else IPv6)(src=TARGET[self.version], dst=self.source)
        tcp = TCP(sport=8080, dport=self.sport, flags=flags, seq=seq % 2**32, ack=ack % 2**32, **more)
        self.bench.receive(1, ip / tcp / data)

    def connect(self, options: list[Any] | None = None, **more: Any) -> int:
        """All of it; the number that the client knows the service's first byte by."""
        ours = self.cookie(**more)[TCP].seq + 1
        self.sends("A", self.isn + 1, ours, window=500)
        self.decided(**more)
        self.bench.sent(1)
        self.target("SA", THEIRS, self.isn + 1, window=65535, options=ANSWER if options is None else options)
        self.bench.sent(1)
        self.bench.sent(0)
        return int(ours)

    def cookies(self) -> tuple[int, int, int]:
        return self.bench.worker.service_cookies(SERVICE)[0]


def sound(packet: Packet) -> Packet:
    """The packet, if a stranger computes the same checksums."""
    again = packet.copy()
    if IP in again:
        del again[IP].chksum
    del again[TCP].chksum
    assert bytes(Ether(bytes(again))) == bytes(packet), packet.summary()
    return packet


def options_of(packet: Packet) -> dict[str, Any]:
    return {name: value for name, value in packet[TCP].options if name != "NOP"}


FAMILIES = pytest.mark.parametrize("version", [4, 6])


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


@settings(max_examples=200, deadline=None)
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


# -- the connection --------------------------------------------------------------------------------------------------------


@FAMILIES
def test_the_targets_answer_is_acknowledged_and_opens_the_clients_window(bench: Bench, version: int) -> None:
    client = Client(bench, CLIENT[version])
    ours = client.cookie()[TCP].seq + 1
    client.sends("A", ISN + 1, ours, window=500)
    bench.sent(1)
    client.target("SA", THEIRS, ISN + 1, window=64000, options=[("MSS", 1400), ("WScale", 5), ("SAckOK", b"")])
    [ack], [news] = bench.sent(1), bench.sent(0)
    ack, news = sound(ack.packet), sound(news.packet)
    assert (ack[TCP].flags, ack[TCP].seq, ack[TCP].ack, ack[TCP].window) == ("A", (ISN + 1) % 2**32, THEIRS + 1, 500)
    assert (news[TCP].flags, news[TCP].seq, news[TCP].ack) == ("A", ours, (ISN + 1) % 2**32)
    assert news[TCP].window << 7 == 64000
    assert bench.states() == {"established": 1}
    assert options_of(Client(bench, CLIENT[version], 4001).cookie())["MSS"] == 1400, "others are told what the target takes"
    bench.check_conservation()


def test_numbers_are_shifted_both_ways_sack_and_windows_too(bench: Bench) -> None:
    client = Client(bench)
    ours = client.connect()
    client.sends("PA", ISN + 1, ours, b"question", window=500)
    [sent] = bench.sent(1)
    seen = sound(sent.packet)[TCP]
    assert (seen.seq, seen.ack, seen.window, bytes(seen.payload)) == ((ISN + 1) % 2**32, THEIRS + 1, 500, b"question")
    for n in range(3):
        client.target("PA", THEIRS + 1 + 100 * n, ISN + 9, bytes([n]) * 100, window=2048)
        [sent] = bench.sent(0)
        seen = sound(sent.packet)[TCP]
        assert (seen.seq, seen.ack, seen.window) == ((ours + 100 * n) % 2**32, (ISN + 9) % 2**32, 2048 * 32 // 128)
    edges = tuple((ours + n) % 2**32 for n in (100, 200, 250, 300))
    client.sends("A", ISN + 9, ours, window=500, options=[("NOP", None), ("NOP", None), ("SAck", edges)])
    packet = sound(bench.sent(1)[0].packet)
    assert packet[TCP].ack == THEIRS + 1 and options_of(packet)["SAck"] == tuple(THEIRS + n for n in (101, 201, 251, 301))
    client.sends("A", ISN + 9, ours + 301)
    assert bench.sent(1) == [] and bench.drops()["tcp-window"] == 1, "nothing beyond 300 was sent"


@pytest.mark.parametrize(("options", "window"), [([("WScale", 0)], 65535 >> 7), ([("WScale", 14)], 65535), ([], 65535 >> 7)])
def test_windows_are_told_in_the_scale_that_their_reader_knows(bench: Bench, options: list[Any], window: int) -> None:
    client = Client(bench)
    ours = client.connect(options)
    client.target("A", THEIRS + 1, ISN + 1, window=65535)
    assert bench.sent(0)[0].packet[TCP].window == window
    client.target("A", THEIRS + 1, ISN + 1, window=1)
    assert bench.sent(0)[0].packet[TCP].window == (128 if options == [("WScale", 14)] else 1), "open is open"
    client.target("A", THEIRS + 1, ISN + 1, window=0)
    assert bench.sent(0)[0].packet[TCP].window == 0
    client.sends("A", ISN + 1, ours, window=100)
    assert bench.sent(1)[0].packet[TCP].window == (100 if options else 100 << 9), "a target without scaling is told octets"


def test_a_partial_checksum_and_a_large_segment_stay_what_they_are(bench: Bench) -> None:
    client = Client(bench)
    ours = client.connect()
    packet = client.packet("A", ISN + 1, ours, bytes(4000))
    raw = bytearray(bytes(packet))
    raw[36:38] = b"\x12\x34"
    bench.receive(0, bytes(Ether(src=bench.HOSTS[0], dst=bench.MACS[0], type=0x800)) + bytes(raw), flags=1, segment=1400)
    [sent] = bench.sent(1)
    assert (sent.tso, sent.mss, sent.packet[TCP].ack, len(sent.packet[TCP].payload)) == (True, 1400, THEIRS + 1, 4000)


def test_a_syn_that_is_lost_is_sent_again_and_the_client_is_told_in_the_end(bench: Bench) -> None:
    client = Client(bench)
    first = client.accept()
    again = []
    for _ in range(320):
        bench.round(0.1)
        again += [(bench.now, sent.packet) for sent in bench.sent(1)]
    assert [round(when - 1000.0) for when, _ in again] == [1, 3, 7, 15]
    assert all((packet[IP].src, packet[IP].dst, packet[TCP].dport) == (first[IP].src, first[IP].dst, 8080) for _, packet in again)
    assert all(sound(packet)[TCP].seq == ISN and packet[TCP].options == first[TCP].options for _, packet in again)
    [reset] = [sound(sent.packet)[TCP] for sent in bench.sent(0)]
    assert (reset.flags, reset.ack) == ("RA", (ISN + 1) % 2**32) and bench.states() == {}


def test_the_client_is_told_after_two_minutes_however_long_half_open_flows_may_last(bench: Bench) -> None:
    bench.worker.set_profiles(Profile(tuple({**TIMEOUTS, "tcp-opening": 3600.0}.items())), {}, {})
    Client(bench).accept()
    times = []
    for _ in range(300):
        bench.round(1.0)
        times += [round(bench.now - 1000.0) for sent in bench.sent(1)]
        if told := bench.sent(0):
            break
    assert len(times) == 6 and 62 <= times[-1] <= 70 and 126 <= bench.now - 1000.0 <= 136
    assert told[0].packet[TCP].flags == "RA" and bench.states() == {}


def test_once_the_target_has_answered_nothing_is_sent_again(bench: Bench) -> None:
    Client(bench).connect()
    bench.round(20.0)
    assert bench.sent(1) == bench.sent(0) == []


def test_a_lost_last_ack_is_said_again(bench: Bench) -> None:
    client = Client(bench)
    client.connect()
    client.target("SA", THEIRS, ISN + 1, window=65535, options=[("MSS", 1400), ("WScale", 5)])
    assert bench.sent(1)[0].packet[TCP].ack == THEIRS + 1 and bench.sent(0)[0].packet[TCP].flags == "A"


def test_a_target_that_refuses_resets_the_client_with_the_number_it_waits_for(bench: Bench) -> None:
    client = Client(bench)
    ours = client.cookie()[TCP].seq + 1
    client.sends("A", ISN + 1, ours)
    bench.sent(1)
    client.target("RA", 0, ISN + 1)
    seen = sound(bench.sent(0)[0].packet)[TCP]
    assert (seen.flags, seen.seq, seen.ack) == ("RA", ours, (ISN + 1) % 2**32) and bench.states() == {}


def test_a_target_with_an_older_connection_is_reset_and_asked_again(bench: Bench) -> None:
    client = Client(bench)
    client.accept()
    client.target("A", 99, 7777)
    assert bench.sent(0) == []
    seen = sound(bench.sent(1)[0].packet)
    assert (seen[IP].dst, seen[TCP].flags, seen[TCP].seq) == (TARGET[4], "R", 7777)
    bench.round(1.2)
    assert [sent.packet[TCP].flags for sent in bench.sent(1)] == ["S"]


def test_data_before_the_target_is_there_comes_again(bench: Bench) -> None:
    client = Client(bench)
    client.accept()
    client.sends("PA", ISN + 1, 1, b"early")
    assert bench.sent(1) == [] and bench.drops() == {"not-open": 1}


def test_resets_of_ours_would_have_the_numbers_that_each_end_knows(bench: Bench) -> None:
    client = Client(bench)
    ours = client.connect()
    client.target("A", THEIRS + 1, ISN + 1, bytes(50))
    [flow], _ = bench.worker.read(0, 1)
    assert flow.said == ((ISN + 1) % 2**32, THEIRS + 51) and (flow.said[1] + flow.shift) % 2**32 == (ours + 50) % 2**32


def test_data_in_fragments_may_be_acknowledged(bench: Bench) -> None:
    client = Client(bench)
    ours = client.connect()
    segment = TCP(sport=8080, dport=4000, flags="A", seq=THEIRS + 1, ack=(ISN + 1) % 2**32, window=100)
    whole = bytes(IP(src=TARGET[4], dst=CLIENT[4], id=9) / segment / bytes(60))[20:]
    bench.receive(1, IP(src=TARGET[4], dst=CLIENT[4], id=9, proto=6, flags="MF") / whole[:40])
    bench.receive(1, IP(src=TARGET[4], dst=CLIENT[4], id=9, proto=6, frag=5) / whole[40:])
    first, second = (sent.packet for sent in bench.sent(0))
    joined = IP(src=VIP[4], dst=CLIENT[4], proto=6) / (bytes(first[IP].payload) + bytes(second[IP].payload))
    seen = sound(Ether(bytes(Ether(type=0x800) / joined)))[TCP]
    assert seen.seq == ours and len(seen.payload) == 60
    client.sends("A", ISN + 1, ours + 60, window=500)
    assert bench.sent(1)[0].packet[TCP].ack == THEIRS + 61


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
