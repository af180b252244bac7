"""What goes through the appliance, what is for itself, and what stops there: UDP, TCP and ICMP, both IP versions."""

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.packet import Packet

from tests.support.office import CLIENT, LAN, OTHER, SERVER, VERSIONS, WAN, back, echo, hops, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")


@pytest.mark.parametrize("version", VERSIONS)
async def test_udp_goes_there_and_back_one_hop_shorter(version: int) -> None:
    async with office() as o:
        question = await o.open_udp(version)
        assert (question.src, question.dst, hops(question)) == (CLIENT[version], SERVER[version], 63)
        assert (question[UDP].sport, question[UDP].dport, question[UDP].payload.load) == (5000, 7, b"question")
        [flow] = o.bench.flows
        assert (flow["state"], flow["rule"], flow["packets"]) == ("replied", "out", [1, 1])


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_echo_goes_there_and_back(version: int) -> None:
    async with office() as o:
        o.client.send(echo(version, CLIENT[version], SERVER[version], 77))
        await o.bench.settle()
        request = o.server.only()
        assert bytes(request.payload) == bytes(echo(version, CLIENT[version], SERVER[version], 77))[20 if version == 4 else 40 :]
        o.server.send(back(request))
        await o.bench.settle()
        assert hops(o.client.only()) == 63


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_nobody_allowed_is_denied_and_no_frame_leaves(version: int) -> None:
    async with office() as o:
        o.bench.seen("lan")
        for transport in (UDP(sport=9, dport=9), TCP(sport=9, dport=80, flags="S")):
            o.server.send(ip(version, SERVER[version], CLIENT[version]) / transport)
        o.server.send(echo(version, SERVER[version], CLIENT[version], 1))
        await o.bench.settle()
        assert o.bench.seen("lan") == []
        assert o.bench.drops == {"policy": 3}
        rules = {row["name"]: row["flows"] for row in o.bench.appliance.status()["rules"]}
        assert rules["default deny"] == 3


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_tcp_connection_opens_carries_data_and_closes(version: int) -> None:
    async with office() as o:
        await o.open_tcp(version)
        assert o.bench.flows[0]["state"] == "established"
        there = ip(version, CLIENT[version], SERVER[version])
        o.client.send(there / TCP(sport=5000, dport=80, flags="PA", seq=101, ack=901) / (b"x" * 1000))
        await o.bench.settle()
        request = o.server.only(TCP)
        assert request[TCP].payload.load == b"x" * 1000
        o.server.send(back(request, b"y" * 1200, flags="PA", seq=901, ack=1101), back(request, flags="FA", seq=2101, ack=1101))
        await o.bench.settle()
        assert [bytes(p[TCP].payload) for p in o.client.received(TCP)] == [b"y" * 1200, b""]
        o.client.send(there / TCP(sport=5000, dport=80, flags="FA", seq=1101, ack=2102))
        await o.bench.settle()
        o.server.send(back(o.server.only(TCP), flags="A", seq=2102, ack=1102))
        await o.bench.settle()
        assert o.client.only(TCP)[TCP].flags == "A"
        assert [flow["state"] for flow in o.bench.flows] == ["time-wait"]
        await o.bench.settle(250.0)
        assert o.bench.flows == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_reset_ends_a_connection_and_the_same_ports_may_begin_another(version: int) -> None:
    async with office() as o:
        last = await o.open_tcp(version)
        o.server.send(back(last, flags="R", seq=901))
        await o.bench.settle()
        assert o.client.only(TCP)[TCP].flags == "R"
        assert o.bench.flows[0]["state"] == "closed"
        await o.open_tcp(version)
        assert [flow["state"] for flow in o.bench.flows] == ["established"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("flags", ["A", "SA", "FA", "R", "PA", ""])
async def test_a_segment_of_no_connection_is_dropped(version: int, flags: str) -> None:
    async with office() as o:
        o.client.send(ip(version, CLIENT[version], SERVER[version]) / TCP(sport=5000, dport=80, flags=flags) / b"stray")
        await o.bench.settle()
        assert o.server.received() == []
        assert o.bench.drops == {"not-a-start": 1}


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_own_stack_is_reached_where_policy_says_so(version: int) -> None:
    async with office() as o:
        stack = o.bench.station("self")
        o.client.send(ip(version, CLIENT[version], LAN[version]) / TCP(sport=5000, dport=22, flags="S"))
        o.client.send(ip(version, CLIENT[version], LAN[version]) / TCP(sport=5000, dport=23, flags="S"))
        o.server.send(ip(version, SERVER[version], WAN[version]) / TCP(sport=5000, dport=22, flags="S"))
        await o.bench.settle()
        syn = stack.only(TCP)
        assert (syn.src, syn.dst, syn[TCP].dport, hops(syn)) == (CLIENT[version], LAN[version], 22, 64)
        stack.send(back(syn, flags="SA", seq=1, ack=1))
        await o.bench.settle()
        answer = o.client.only(TCP)
        assert (answer.src, answer[TCP].flags, hops(answer)) == (LAN[version], "SA", 64)
        assert o.bench.drops == {"policy": 2}


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_own_address_answers_on_every_nic_but_only_to_ours(version: int) -> None:
    """The address of the other side is ours all the same; nobody else may claim it."""
    async with office() as o:
        stack = o.bench.station("self")
        o.client.send(echo(version, CLIENT[version], WAN[version], 5))
        await o.bench.settle()
        stack.send(back(stack.only()))
        await o.bench.settle()
        assert o.client.only().src == WAN[version]
        o.server.send(ip(version, LAN[version], WAN[version]) / UDP(sport=1, dport=1))
        await o.bench.settle()
        assert o.bench.drops == {"bad-address": 1}


def from_self(version: int) -> Packet:
    return ip(version, WAN[version], SERVER[version]) / UDP(sport=4000, dport=53) / b"who"


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_own_stack_speaks_where_policy_says_so(version: int) -> None:
    async with office() as o:
        o.bench.station("self").send(from_self(version))
        await o.bench.settle()
        assert o.bench.drops == {"policy": 1}
    allowing = OFFICE_OUT
    async with office(allowing) as o:
        stack = o.bench.station("self")
        stack.send(from_self(version))
        await o.bench.settle()
        asked = o.server.only(UDP)
        assert hops(asked) == 64
        o.server.send(back(asked, b"me"))
        await o.bench.settle()
        assert stack.only(UDP).payload.load == b"me"


OFFICE_OUT = """
version: 1
nics:
  lan: {address: [192.168.1.1/24, "2001:db8:1::1/64"]}
  wan: {address: [203.0.113.1/24, "2001:db8:2::1/64"]}
zones: {home: {nics: [lan]}, internet: {nics: [wan]}}
policy: [{resolving: {from: [self], to: [internet], allow: [dns]}}]
"""


@pytest.mark.parametrize("version", VERSIONS)
async def test_routes_lead_over_gateways(version: int) -> None:
    text = OFFICE_OUT.replace("resolving: {from: [self], to: [internet], allow: [dns]}", "out: {from: [home], allow: any}").replace(
        '"2001:db8:2::1/64"]}', '"2001:db8:2::1/64"], gateway: [203.0.113.9, "2001:db8:2::9"]}')
    text += 'routes: [{to: 10.0.0.0/8, via: 192.168.1.10}, {to: "fd00::/8", via: "2001:db8:1::10"}]\n'
    far, inside = {4: "8.8.8.8", 6: "2001:4860::8"}[version], {4: "10.1.2.3", 6: "fd00::3"}[version]
    async with office(text) as o:
        router = o.bench.station("lan", *OTHER.values())
        router.send(ip(version, inside, far) / UDP(sport=1, dport=2) / b"out")
        await o.bench.settle()
        there = o.server.only(UDP)
        assert there.dst == far
        o.server.send(back(there, b"in"))
        await o.bench.settle()
        assert router.only(UDP).dst == inside
        assert o.client.received() == []
