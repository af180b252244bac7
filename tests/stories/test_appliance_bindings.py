"""Endpoint-independent mapping: one outside port for all flows of an inside one, and who is let in at it, in the words of RFC 4787."""

import pytest
from scapy.layers.inet import ICMP, TCP, UDP

from tests.support.office import CLIENT, OFFICE, OTHER, SERVER, VERSIONS, WAN, back, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

SECOND = {4: "203.0.113.10", 6: "2001:db8:2::10"}
FILTERINGS = ("endpoint-independent", "address-dependent", "address-and-port-dependent")


def binding(filtering: str, more: str = "") -> str:
    how = f"mapping: endpoint-independent, filtering: {filtering}"
    return OFFICE + f"""
nat:
  - four: {{masquerade: {{from: [home], to: [internet], {how}}}}}
  - six:  {{masquerade: {{from: [home], to: [internet], family: v6, {how}}}}}{more}
timeouts: {{udp: 120s}}
"""


@pytest.mark.parametrize("version", VERSIONS)
async def test_all_flows_of_an_inside_port_leave_by_one_outside_port(version: int) -> None:
    """RFC 4787, REQ-1; also for the second of two hosts with the same port. Parity stays (REQ-4), no port is shared (REQ-3)."""
    async with office(binding("address-and-port-dependent")) as o:
        other, second = o.bench.station("lan", *OTHER.values()), o.bench.station("wan", *SECOND.values())
        seen: dict[str, set[tuple[str, int]]] = {}
        for station, name in ((o.client, CLIENT), (other, OTHER)):
            for server, at in ((o.server, SERVER), (second, SECOND)):
                for port in (7, 8):
                    station.send(ip(version, name[version], at[version]) / UDP(sport=5001, dport=port))
                    await o.bench.settle()
                    packet = server.only(UDP)
                    seen.setdefault(name[version], set()).add((packet.src, packet[UDP].sport))
        assert seen[CLIENT[version]] == {(WAN[version], 5001)}
        [(address, port)] = seen[OTHER[version]]
        assert address == WAN[version] and port != 5001 and port % 2 == 1 and port >= 1024


@pytest.mark.parametrize("filtering", FILTERINGS)
@pytest.mark.parametrize("version", VERSIONS)
async def test_who_is_let_in_is_up_to_filtering(version: int, filtering: str) -> None:
    async with office(binding(filtering)) as o:
        second = o.bench.station("wan", *SECOND.values())
        question = await o.open_udp(version, 5000, 7)
        outside = question.src, question[UDP].sport
        came = []
        for station, at, port in ((o.server, SERVER, 7), (o.server, SERVER, 99), (second, SECOND, 7)):
            station.send(ip(version, at[version], outside[0]) / UDP(sport=port, dport=outside[1]) / b"hello")
            await o.bench.settle()
            got = o.client.received(UDP)
            came.append(len(got))
            assert all((packet.src, packet.dst, packet[UDP].dport) == (at[version], CLIENT[version], 5000) for packet in got)
        assert came == {FILTERINGS[0]: [1, 1, 1], FILTERINGS[1]: [1, 1, 0], FILTERINGS[2]: [1, 0, 0]}[filtering]
        second.send(ip(version, SECOND[version], outside[0]) / UDP(sport=7, dport=outside[1] + 1))
        await o.bench.settle()
        assert o.client.received() == [], "nobody is bound to this port"


async def test_the_answer_to_who_was_let_in_leaves_translated() -> None:
    async with office(binding("endpoint-independent")) as o:
        second = o.bench.station("wan", *SECOND.values())
        await o.open_udp(4)
        second.send(ip(4, SECOND[4], WAN[4]) / UDP(sport=7, dport=5000) / b"hello")
        await o.bench.settle()
        o.client.send(back(o.client.only(UDP), b"welcome"))
        await o.bench.settle()
        answer = second.only(UDP)
        assert (answer.src, answer[UDP].sport, answer[UDP].payload.load) == (WAN[4], 5000, b"welcome")
        assert "masquerade four" in {row["name"] for row in o.bench.appliance.status()["rules"] if row["flows"]}


async def test_a_connection_is_let_in_by_tcp_too() -> None:
    """RFC 5382, REQ-1 and 3."""
    async with office(binding("endpoint-independent")) as o:
        second = o.bench.station("wan", *SECOND.values())
        last = await o.open_tcp(4)
        second.send(ip(4, SECOND[4], last.src) / TCP(sport=9, dport=last[TCP].sport, flags="S", seq=1))
        await o.bench.settle()
        assert (o.client.received(TCP)[-1].src) == SECOND[4]


async def test_what_the_appliance_itself_allows_comes_first_and_a_forwards_port_is_not_bound() -> None:
    more = """
  - web: {forward: {on: internet, port: udp/5000, to: 192.168.1.20}}"""
    text = binding("endpoint-independent", more).replace("policy:", "policy:\n  - mine: {from: [internet], to: [self], allow: udp/6001}")
    async with office(text) as o:
        server = o.bench.station("lan", "192.168.1.20")
        own = o.bench.station("self", WAN[4])
        question = await o.open_udp(4, 5000)
        assert question[UDP].sport != 5000
        o.server.send(ip(4, SERVER[4], WAN[4]) / UDP(sport=9, dport=5000))
        await o.bench.settle()
        assert server.only(UDP).src == SERVER[4]
        assert (await o.open_udp(4, 6001))[UDP].sport == 6001
        o.server.send(ip(4, SERVER[4], WAN[4]) / UDP(sport=9, dport=6001))
        await o.bench.settle()
        assert o.client.received() == []
        assert own.received(UDP)


async def test_neighbours_meet_by_their_outside_ports() -> None:
    """RFC 4787, REQ-9: hairpinned, and seen by the outside address and port of the sender."""
    async with office(binding("endpoint-independent")) as o:
        other = o.bench.station("lan", *OTHER.values())
        await o.open_udp(4, 5000)
        other.send(ip(4, OTHER[4], SERVER[4]) / UDP(sport=6000, dport=7))
        await o.bench.settle()
        assert o.server.only(UDP)[UDP].sport == 6000
        other.send(ip(4, OTHER[4], WAN[4]) / UDP(sport=6000, dport=5000) / b"hello")
        await o.bench.settle()
        seen = o.client.only(UDP)
        assert (seen.src, seen[UDP].sport) == (WAN[4], 6000)
        o.client.send(back(seen, b"welcome"))
        await o.bench.settle()
        answer = other.only(UDP)
        assert (answer.src, answer[UDP].sport, answer[UDP].payload.load) == (WAN[4], 5000, b"welcome")


async def test_a_binding_ends_with_its_last_flow_and_nobody_outside_keeps_it() -> None:
    """RFC 4787, REQ-6, and RFC 7857, section 7."""
    async with office(binding("endpoint-independent")) as o:
        second = o.bench.station("wan", *SECOND.values())
        await o.open_udp(4)
        assert o.bench.appliance.status()["bindings"] == 1
        for _ in range(12):
            await o.bench.elapse(60)
            second.send(ip(4, SECOND[4], WAN[4]) / UDP(sport=7, dport=5000) / b"hello")
            await o.bench.settle(4)  # neighbours are asked for again
        assert len(o.client.received()) == 12
        assert o.bench.appliance.status()["bindings"] == 0
        second.send(ip(4, SECOND[4], WAN[4]) / UDP(sport=8, dport=5000) / b"hello")
        await o.bench.settle()
        assert o.client.received() == []


async def test_an_error_about_who_was_let_in_goes_out_translated() -> None:
    async with office(binding("endpoint-independent")) as o:
        second = o.bench.station("wan", *SECOND.values())
        await o.open_udp(4)
        second.send(ip(4, SECOND[4], WAN[4]) / UDP(sport=7, dport=5000) / b"hello")
        await o.bench.settle()
        question = o.client.only(UDP)
        o.client.send(ip(4, CLIENT[4], SECOND[4]) / ICMP(type=3, code=3) / bytes(question)[:28])
        await o.bench.settle()
        error = second.only(ICMP)
        assert (error.src, error.payload.payload.dst) == (WAN[4], WAN[4])
