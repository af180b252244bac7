"""Masquerade and port forward: who hides behind the appliance, who is found there, and that nobody is confused with another."""

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest

from tests.support.office import CLIENT, HIDDEN, LAN, OFFICE, OTHER, SERVER, VERSIONS, WAN, back, echo, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

INSIDE = {4: "192.168.1.20", 6: "2001:db8:1::20"}
FORWARD = OFFICE + """
nat:
  - web: {forward: {on: internet, port: tcp/443, to: 192.168.1.20:8443}}
  - web6: {forward: {on: internet, port: tcp/443, to: "[2001:db8:1::20]:8443"}}
  - games: {forward: {on: internet, port: udp/7000-7010, to: 192.168.1.20}}
"""


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_hides_behind_the_address_of_the_way_out(version: int) -> None:
    async with office(HIDDEN) as o:
        question = await o.open_udp(version)
        assert (question.src, question[UDP].sport) == (WAN[version], 5000)
        [flow] = o.bench.flows
        assert flow["original"]["source"] == CLIENT[version]  # type: ignore[index]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_hidden_tcp_connection_carries_data_both_ways(version: int) -> None:
    async with office(HIDDEN) as o:
        last = await o.open_tcp(version)
        assert last.src == WAN[version]
        o.server.send(back(last, b"y" * 1000, flags="PA", seq=901, ack=101))
        await o.bench.settle()
        answer = o.client.only(TCP)
        assert (answer.dst, answer[TCP].dport, answer[TCP].payload.load) == (CLIENT[version], 5000, b"y" * 1000)


@pytest.mark.parametrize("choice", ["", "exceptions: {invalid: pass}\n"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_whatever_is_said_in_a_hidden_connection_or_behind_it_leaves_translated_or_not_at_all(version: int, choice: str) -> None:
    odd = ("PA", 101, 901), ("PA", 1 << 30, 5), ("SF", 7, 0), ("S", 7, 0), ("", 101, 901), ("FA", 101, 901), ("R", 102, 0), ("PA", 102, 901)
    async with office(HIDDEN + choice + "timeouts: {tcp-opening: 5s, tcp-closing: 5s}\n") as o:
        await o.open_tcp(version)
        seen: list[str] = []
        for pause in (0.05, 6.0, 0.0):  # in it; reset; forgotten
            for flags, seq, ack in odd:
                segment = TCP(sport=5000, dport=80, flags=flags, seq=seq, ack=ack) / b"data"
                o.client.send(ip(version, CLIENT[version], SERVER[version]) / segment)
                await o.bench.settle()
            seen += [packet.src for packet in o.server.received()]
            await o.bench.elapse(pause)
        assert set(seen) == {WAN[version]} and len(seen) < 3 * len(odd)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
async def test_two_clients_with_the_same_port_are_told_apart(version: int, together: bool) -> None:
    """Also when both are decided before either is installed."""
    async with office(HIDDEN) as o:
        other = o.bench.station("lan", *OTHER.values())
        for station, name in ((o.client, CLIENT), (other, OTHER)):
            station.send(ip(version, name[version], SERVER[version]) / UDP(sport=5000, dport=7) / name[version].encode())
            if not together:
                await o.bench.settle()
        await o.bench.settle()
        questions = o.server.received(UDP)
        assert len({question[UDP].sport for question in questions}) == 2
        for question in questions:
            o.server.send(back(question, question[UDP].payload.load))
        await o.bench.settle()
        for station, name in ((o.client, CLIENT), (other, OTHER)):
            answer = station.only(UDP)
            assert (answer.dst, answer[UDP].dport, answer[UDP].payload.load) == (name[version], 5000, name[version].encode())


@pytest.mark.parametrize("version", VERSIONS)
async def test_two_clients_with_the_same_echo_identifier_are_told_apart(version: int) -> None:
    kind = ICMP if version == 4 else ICMPv6EchoRequest
    async with office(HIDDEN) as o:
        other = o.bench.station("lan", *OTHER.values())
        o.client.send(echo(version, CLIENT[version], SERVER[version], 77))
        other.send(echo(version, OTHER[version], SERVER[version], 77))
        await o.bench.settle()
        requests = o.server.received(kind)
        assert {request.src for request in requests} == {WAN[version]}
        assert len({request[kind].id for request in requests}) == 2
        o.server.send(*map(back, requests))
        await o.bench.settle()
        for station, name in ((o.client, CLIENT), (other, OTHER)):
            answer = station.only()
            assert (answer.dst, answer.payload.id) == (name[version], 77)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_low_port_of_ours_is_not_lent_to_others(version: int) -> None:
    async with office(HIDDEN) as o:
        question = await o.open_udp(version, port=123, to=123)
        assert question[UDP].sport >= 1024


async def test_own_traffic_and_hidden_traffic_share_an_address_without_confusion() -> None:
    text = HIDDEN.replace("policy:", "policy:\n  - me: {from: [self], to: [internet], allow: any}")
    async with office(text) as o:
        stack = o.bench.station("self")
        await o.open_udp(4)
        stack.send(ip(4, WAN[4], SERVER[4]) / UDP(sport=5000, dport=7) / b"mine")
        await o.bench.settle()
        mine = o.server.only(UDP)
        assert mine[UDP].sport != 5000
        o.server.send(back(mine, b"yours"))
        await o.bench.settle()
        assert stack.only(UDP)[UDP].dport == 5000
        assert o.client.received() == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_forwarded_port_leads_inside_and_its_neighbours_do_not(version: int) -> None:
    async with office(FORWARD) as o:
        inside = o.bench.station("lan", *INSIDE.values())
        syn = TCP(sport=5000, dport=443, flags="S", seq=1)
        o.server.send(ip(version, SERVER[version], WAN[version]) / syn)
        o.server.send(ip(version, SERVER[version], WAN[version]) / TCP(sport=5000, dport=444, flags="S"))
        await o.bench.settle()
        seen = inside.only(TCP)
        assert (seen.src, seen.dst, seen[TCP].sport, seen[TCP].dport) == (SERVER[version], INSIDE[version], 5000, 8443)
        inside.send(back(seen, flags="SA", seq=7, ack=2))
        await o.bench.settle()
        answer = o.server.only(TCP)
        assert (answer.src, answer[TCP].sport) == (WAN[version], 443)
        assert o.bench.drops == {"policy": 1}
        assert o.bench.flows[0]["rule"] == f"forward web{'6' if version == 6 else ''}"


async def test_a_forwarded_range_keeps_its_ports() -> None:
    async with office(FORWARD) as o:
        inside = o.bench.station("lan", INSIDE[4])
        for port in (6999, 7000, 7010, 7011):
            o.server.send(ip(4, SERVER[4], WAN[4]) / UDP(sport=5000, dport=port))
        await o.bench.settle()
        assert [packet[UDP].dport for packet in inside.received(UDP)] == [7000, 7010]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_forward_is_reached_from_home_by_its_outside_address_and_answers_come_back(version: int) -> None:
    async with office(FORWARD) as o:
        inside = o.bench.station("lan", *INSIDE.values())
        o.client.send(ip(version, CLIENT[version], WAN[version]) / TCP(sport=5000, dport=443, flags="S", seq=7))
        await o.bench.settle()
        opening = inside.only(TCP)
        assert (opening.src, opening[TCP].dport) == (LAN[version], 8443)
        inside.send(back(opening, flags="SA", seq=1, ack=8))
        await o.bench.settle()
        answer = o.client.only(TCP)
        assert (answer.src, answer[TCP].sport, answer[TCP].dport, answer[TCP].flags) == (WAN[version], 443, 5000, "SA")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_forward_without_hairpin_is_none_for_those_at_home(version: int) -> None:
    async with office(FORWARD.replace("{forward: {on", "{forward: {hairpin: off, on")) as o:
        inside, stack = o.bench.station("lan", *INSIDE.values()), o.bench.station("self")
        o.client.send(ip(version, CLIENT[version], LAN[version]) / TCP(sport=5000, dport=443, flags="S"))
        o.client.send(ip(version, CLIENT[version], WAN[version]) / TCP(sport=5000, dport=443, flags="S"))
        await o.bench.settle()
        assert inside.received() == stack.received() == []
        assert o.bench.drops == {"policy": 2}
