"""Timeouts by rule, service and file, and connections whose ends are told when they were idle for too long. In virtual time."""

from typing import Any

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.packet import Packet

from tests.support.office import CLIENT, HIDDEN, OFFICE, SERVER, VERSIONS, Office, ip, office
from tests.support.station import Station

pytestmark = pytest.mark.usefixtures("virtual_time")

OWN = OFFICE.replace(
    "policy:", "policy:\n  - long: {from: [home], to: [internet], allow: [tcp/22, udp/9000], timeouts: {tcp-established: 8h, udp: 10s}}"
)
TOLD = HIDDEN + "timeouts: {tcp-established: 10m, on-expiry: reset}\n"
WEB = OFFICE + """
services:
  web:
    listen: [203.0.113.1:80/tcp]
    from: [home]
    targets: [{name: only, address: 203.0.113.9:80}]
    timeouts: {tcp-established: 5m, on-expiry: reset}
"""


def resets(station: Station) -> list[Packet]:
    return [packet for packet in station.received(TCP) if "R" in str(packet[TCP].flags)]


def remaining(o: Office, dport: int) -> Any:
    flows: list[Any] = list(o.bench.flows)
    [flow] = [flow for flow in flows if flow["original"]["dport"] == dport]
    return round(flow["expires"])


async def test_a_rule_has_timeouts_of_its_own_and_the_rest_from_the_file() -> None:
    async with office(OWN + "timeouts: {udp: 3m}\n") as o:
        await o.open_tcp(4, 5001, to=22)
        await o.open_tcp(4, 5002, to=80)
        for port in (9000, 9001, 53):
            o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=port) / b"?")
        await o.bench.settle()
        assert {port: remaining(o, port) for port in (22, 80, 9000, 9001, 53)} == {22: 28800, 80: 7440, 9000: 10, 9001: 180, 53: 30}


@pytest.mark.parametrize("version", VERSIONS)
async def test_ends_of_an_idle_connection_are_told_through_the_translation(version: int) -> None:
    async with office(TOLD) as o:
        last = await o.open_tcp(version)
        await o.bench.settle(599.0)
        assert resets(o.client) == resets(o.server) == []
        await o.bench.settle(3.0)
        [here], [there] = resets(o.client), resets(o.server)
        assert (here.src, here.dst, here[TCP].sport, here[TCP].dport) == (SERVER[version], CLIENT[version], 80, 5000)
        assert (there.src, there.dst, there[TCP].sport, there[TCP].dport) == (last.src, last.dst, last[TCP].sport, 80)
        assert (here[TCP].seq, there[TCP].seq) == (901, 101)  # exactly what each waits for: RFC 5961, 3.2
        assert o.bench.flows == []


async def test_ends_whose_neighbours_are_forgotten_are_asked_for_and_told() -> None:
    async with office(OFFICE + "timeouts: {tcp-established: 20m, on-expiry: reset}\n") as o:
        await o.open_tcp(4)
        await o.bench.settle(1195.0)
        for station in (o.client, o.server):
            station.questions.clear()
        await o.bench.settle(10.0)
        assert o.client.questions and o.server.questions
        assert len(resets(o.client)) == len(resets(o.server)) == 1


async def test_without_a_word_an_idle_connection_ends_in_silence() -> None:
    async with office(OFFICE + "timeouts: {tcp-established: 5m}\n") as o:
        await o.open_tcp(4)
        await o.bench.settle(290.0)
        assert len(o.bench.flows) == 1
        await o.bench.settle(15.0)
        assert o.bench.flows == [] and resets(o.client) == resets(o.server) == []


async def test_a_service_has_its_own() -> None:
    async with office(WEB) as o:
        there = ip(4, CLIENT[4], "203.0.113.1")
        o.client.send(there / TCP(sport=5000, dport=80, flags="S", seq=100))
        await o.bench.settle()
        seen = o.server.only(TCP)
        o.server.send(ip(4, seen.dst, seen.src) / TCP(sport=80, dport=seen[TCP].sport, flags="SA", seq=900, ack=101))
        await o.bench.settle()
        o.client.only(TCP)
        o.client.send(there / TCP(sport=5000, dport=80, flags="A", seq=101, ack=901))
        await o.bench.settle()
        assert remaining(o, 80) == 300
        o.server.only(TCP)
        await o.bench.settle(302.0)
        [here], [_] = resets(o.client), resets(o.server)
        assert (here.src, here[TCP].seq) == ("203.0.113.1", 901)


FORWARD = OFFICE.replace("policy:", "policy:\n  - in: {from: [internet], to: [home], allow: [tcp, udp], timeouts: {udp: 40s}}") + """
timeouts: {udp: 3m}
nat:
  - games: {forward: {on: internet, port: udp/700, to: 192.168.1.9:7, timeouts: {udp: 10s, udp-replied: 20s}}}
  - shell: {forward: {on: internet, port: tcp/700, to: 192.168.1.9:80, timeouts: {tcp-opening: 77s}, mss-clamp: 1000}}
services:
  names:
    listen: [203.0.113.1:701/udp]
    targets: [{name: only, address: 192.168.1.9:7}]
    timeouts: {udp: 30s, udp-replied: 50s}
"""


async def test_a_forward_and_a_service_keep_flows_as_they_say_whichever_rule_lets_them_through() -> None:
    async with office(FORWARD) as o:
        outside = ip(4, SERVER[4], "203.0.113.1")
        for port in (700, 701):
            o.server.send(outside / UDP(sport=5000, dport=port) / b"?")
        o.server.send(outside / TCP(sport=5000, dport=700, flags="S", options=[("MSS", 1460)]))
        await o.bench.settle()
        assert {str(flow["rule"]) for flow in o.bench.flows} == {"in"}
        assert remaining(o, 701) == 40  # what the rule says comes first
        asked = o.client.received()
        for packet in asked:
            if packet.haslayer(UDP):
                o.client.send(ip(4, packet.dst, packet.src) / UDP(sport=7, dport=packet[UDP].sport) / b"!")
        [opening] = [packet for packet in asked if packet.haslayer(TCP)]
        assert dict(opening[TCP].options)["MSS"] == 1000
        await o.bench.settle()
        flows: list[Any] = list(o.bench.flows)
        left = {(flow["protocol"], flow["forward"], flow["service"]): round(flow["expires"]) for flow in flows}
        # what it doesn't say is the forward's or the service's
        assert left == {("udp", "games", ""): 20, ("udp", "", "names"): 50, ("tcp", "shell", ""): 77}
