"""The connection behind a SYN cookie: two handshakes are one connection, whose numbers, windows and options fit at both ends."""

from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from appliance.flow.records import Profile
from tests.appliance.flow.bench import TIMEOUTS, Bench
from tests.appliance.flow.syn_client import CLIENT, FAMILIES, ISN, TARGET, THEIRS, VIP, Client, configure, options_of, sound


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """One that remembers decisions."""
    configure(bench)
    return bench


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
