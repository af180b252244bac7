"""The PROXY header: the target reads who its client is before the client's first byte, and neither end's stream shows a seam.

haproxy's own reader is in the end-to-end tests; here a reader written from the specification takes it apart.
"""

from ipaddress import ip_address
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from tests.appliance.flow.bench import Bench, tuple5
from tests.appliance.flow.syn_client import (
    ALIKE,
    ALWAYS,
    CLIENT,
    FAMILIES,
    ISN,
    TARGET,
    THEIRS,
    VARY,
    VIP,
    Client,
    configure,
    options_of,
    sound,
)

SIZE = {4: 28, 6: 52}


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """One that remembers decisions."""
    configure(bench)
    return bench


def read(data: bytes) -> tuple[str, str, int, int, bytes]:
    """(client, destination, ports) of a version 2 header, and what follows it."""
    assert data[:12] == b"\r\n\r\n\x00\r\nQUIT\n" and data[12] == 0x21
    size = {0x11: 4, 0x21: 16}[data[13]]
    length = int.from_bytes(data[14:16])
    assert length == 2 * size + 4
    body, rest = data[16 : 16 + length], data[16 + length :]
    source, destination = (str(ip_address(body[n * size : (n + 1) * size])) for n in range(2))
    return source, destination, int.from_bytes(body[2 * size : 2 * size + 2]), int.from_bytes(body[2 * size + 2 :]), rest


class Proxied(Client):
    """A client whose target is told."""

    @property
    def size(self) -> int:
        return SIZE[self.version]

    def begin(self, data: bytes = b"", **more: Any) -> Packet:
        """Its SYN; what the target gets."""
        self.sends("S", self.isn, options=self.options, data=data, window=1000)
        for miss in self.bench.misses():
            reply = tuple5(TARGET[self.version], self.source, 8080, self.sport)
            self.bench.allow(miss, reply, alike=ALIKE | VARY, proxy=True, **more)
        [sent] = self.bench.sent(1)
        return sent.packet

    def answered(self, **more: Any) -> Packet:
        """The target's SYN+ACK; what the client gets."""
        self.target("SA", THEIRS, self.isn + 1 - self.size, window=1000, options=[("MSS", 1400), ("WScale", 5)], **more)
        [sent] = self.bench.sent(0)
        return sent.packet

    def open(self) -> list[Packet]:
        """All of it; what the target got last."""
        self.begin()
        self.answered()
        self.sends("A", self.isn + 1, THEIRS + 1, window=500)
        return [sound(sent.packet) for sent in self.bench.sent(1)]


@FAMILIES
def test_the_header_comes_first_and_all_that_follows_has_its_own_numbers(bench: Bench, version: int) -> None:
    client = Proxied(bench, CLIENT[version])
    syn = sound(client.begin())
    assert (syn[TCP].seq, syn[TCP].window) == ((ISN - client.size) % 2**32, 1000)
    assert options_of(syn) == {"MSS": 1460, "SAckOK": b"", "WScale": 9}, "no timestamps: the header's would not be the client's"
    answer = sound(client.answered())
    assert (answer[TCP].seq, answer[TCP].ack, answer[TCP].flags) == (THEIRS, (ISN + 1) % 2**32, "SA")
    client.sends("A", ISN + 1, THEIRS + 1, window=500)
    header, ack = (sound(sent.packet) for sent in bench.sent(1))
    ip = header[IP if version == 4 else IPv6]
    assert (ip.src, ip.dst, header[TCP].sport, header[TCP].dport) == (CLIENT[version], TARGET[version], 4000, 8080)
    assert (header[TCP].seq, header[TCP].ack, header[TCP].window) == ((ISN + 1 - client.size) % 2**32, THEIRS + 1, 500)
    assert read(bytes(header[TCP].payload)) == (CLIENT[version], VIP[version], 4000, 80, b"")
    assert (ack[TCP].seq, ack[TCP].ack, ack[TCP].flags) == ((ISN + 1) % 2**32, THEIRS + 1, "A")
    client.sends("PA", ISN + 1, THEIRS + 1, b"hello", window=500)
    assert bench.sent(1)[0].packet[TCP].seq == (ISN + 1) % 2**32
    client.target("PA", THEIRS + 1, ISN + 6, b"world")
    assert (seen := sound(bench.sent(0)[0].packet)[TCP]).seq == THEIRS + 1 and seen.ack == (ISN + 6) % 2**32
    bench.check_conservation()


def test_flows_alike_have_one_each(bench: Bench) -> None:
    Proxied(bench).open()
    header, _ = Proxied(bench, sport=4001).open()
    assert read(bytes(header[TCP].payload))[2] == 4001 and bench.worker.counters()["alike"] == 1


def test_a_cookies_connection_has_one_too(bench: Bench) -> None:
    client = Proxied(bench)
    ours = client.cookie(ALWAYS, proxy=True)[TCP].seq + 1
    client.sends("A", ISN + 1, ours, window=500)
    [syn] = bench.sent(1)
    assert syn.packet[TCP].seq == (ISN - 28) % 2**32
    client.target("SA", THEIRS, ISN + 1 - 28, window=1000, options=[("MSS", 1400), ("WScale", 5)])
    header, ack = (sound(sent.packet) for sent in bench.sent(1))
    assert (header[TCP].seq, header[TCP].ack) == ((ISN - 27) % 2**32, THEIRS + 1) and ack[TCP].seq == (ISN + 1) % 2**32
    assert read(bytes(header[TCP].payload)) == (CLIENT[4], VIP[4], 4000, 80, b"")
    [news] = [sound(sent.packet) for sent in bench.sent(0)]
    assert (news[TCP].seq, news[TCP].ack) == (ours, (ISN + 1) % 2**32)
    client.sends("PA", ISN + 1, ours, b"hello", window=500)
    seen = sound(bench.sent(1)[0].packet)[TCP]
    assert (seen.seq, seen.ack) == ((ISN + 1) % 2**32, THEIRS + 1)


def test_a_lost_header_is_sent_again_until_it_is_acknowledged(bench: Bench) -> None:
    client = Proxied(bench)
    first, _ = client.open()
    again = []
    for _ in range(20):
        bench.round(0.1)
        again += [sound(sent.packet) for sent in bench.sent(1)]
    assert len(again) == 3 and all(bytes(each[TCP]) == bytes(first[TCP]) for each in again)
    client.target("A", THEIRS + 1, ISN + 1 - 10)
    assert bench.sent(0)[0].packet[TCP].ack == (ISN + 1) % 2**32, "what the header needs is none of the client's business"
    client.target("A", THEIRS + 1, ISN + 1)
    bench.sent(0)
    bench.round(40.0)
    assert bench.sent(1) == []


def test_a_client_cannot_write_its_own_header(bench: Bench) -> None:
    """Data in a SYN would come before ours."""
    syn = Proxied(bench).begin(b"\r\n\r\n\x00\r\nQUIT\n!")
    assert bytes(sound(syn)[TCP].payload) == b"" and syn[TCP].seq == (ISN - 28) % 2**32


def test_a_first_ack_that_was_lost_lets_data_bring_the_header(bench: Bench) -> None:
    client = Proxied(bench)
    client.begin()
    client.answered()
    client.sends("PA", ISN + 1, THEIRS + 1, b"hello")
    header, data = (sound(sent.packet) for sent in bench.sent(1))
    assert header[TCP].seq == (ISN - 27) % 2**32 and bytes(data[TCP].payload) == b"hello"


def test_a_syn_said_again_has_the_same_number(bench: Bench) -> None:
    client = Proxied(bench)
    client.begin()
    assert client.begin()[TCP].seq == (ISN - 28) % 2**32
    client.isn += 5
    assert client.begin()[TCP].seq == (ISN + 5 - 28) % 2**32, "another try"


def test_a_client_that_gives_up_resets_what_the_target_knows(bench: Bench) -> None:
    client = Proxied(bench)
    client.begin()
    client.answered()
    client.sends("R", ISN + 1)
    assert bench.sent(1)[0].packet[TCP].seq == (ISN - 27) % 2**32


def test_a_target_that_refuses_is_believed(bench: Bench) -> None:
    client = Proxied(bench)
    client.begin()
    client.target("RA", 0, ISN + 1 - 28)
    seen = sound(bench.sent(0)[0].packet)[TCP]
    assert (seen.flags, seen.ack) == ("RA", (ISN + 1) % 2**32) and bench.states() == {}
