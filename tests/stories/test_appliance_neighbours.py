"""ARP and ND as the links see them: whom the appliance answers, whom it asks, how long it waits, and whom it tells."""

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from tests.support.appliance_bench import ApplianceBench
from tests.support.office import CLIENT, HIDDEN, LAN, OFFICE, SERVER, VERSIONS, WAN, Office, back, ip, office
from tests.support.station import who_has

pytestmark = pytest.mark.usefixtures("virtual_time")

BROADCAST = "ff:ff:ff:ff:ff:ff"
MAC = "02:00:00:00:00:77"



def answers(frames: list[Packet]) -> list[tuple[str, str, str]]:
    """(address, mac it is at, to whom that was told)."""
    told = [(f[ARP].psrc, f[ARP].hwsrc, f.dst) for f in frames if f.haslayer(ARP) and f[ARP].op == 2]
    return told + [(f[ICMPv6ND_NA].tgt, f[ICMPv6NDOptDstLLAddr].lladdr, f.dst) for f in frames if f.haslayer(ICMPv6ND_NA)]


def questions(frames: list[Packet]) -> list[tuple[str, str]]:
    """(address, mac asked)."""
    asked = [(f[ARP].pdst, f.dst) for f in frames if f.haslayer(ARP) and f[ARP].op == 1]
    return asked + [(f[ICMPv6ND_NS].tgt, f.dst) for f in frames if f.haslayer(ICMPv6ND_NS)]


@pytest.mark.parametrize("version", VERSIONS)
async def test_it_answers_for_its_own_addresses_of_that_link_alone(version: int) -> None:
    async with office() as o:
        o.bench.seen("lan")
        for about in (LAN[version], WAN[version], CLIENT[version], SERVER[version]):
            o.bench.send("lan", who_has(about, MAC, {4: "192.168.1.77", 6: "2001:db8:1::77"}[version]))
        await o.bench.settle()
        assert answers(o.bench.seen("lan")) == [(LAN[version], o.bench.mac("lan").hex(":"), MAC)]


SERVICES = OFFICE + """
services:
  web:
    listen: [203.0.113.80:80/tcp, "[2001:db8:2::80]:80/tcp", 198.51.100.80:80/tcp]
    targets: [{name: a, address: 192.168.1.20:80}, {name: b, address: "[2001:db8:1::20]:80"}]
"""


@pytest.mark.parametrize("version", VERSIONS)
async def test_it_answers_for_service_addresses_of_the_links_networks(version: int) -> None:
    address = {4: "203.0.113.80", 6: "2001:db8:2::80"}[version]
    async with ApplianceBench(SERVICES) as bench:
        announced = [f[ARP].psrc for f in bench.seen("wan") if f.haslayer(ARP)] + [tgt for tgt, _, _ in answers(bench.seen("wan"))]
        assert version == 6 or {"203.0.113.1", "203.0.113.80"} <= set(announced)
        for nic in ("wan", "lan"):
            bench.seen(nic)
            bench.send(nic, who_has(address, MAC, SERVER[version]), who_has("198.51.100.80", MAC, SERVER[4]))
        await bench.settle()
        assert [told for told, _, _ in answers(bench.seen("wan"))] == [address]
        assert answers(bench.seen("lan")) == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_probe_for_a_duplicate_is_answered_to_all(version: int) -> None:
    async with office() as o:
        o.bench.seen("lan")
        o.bench.send("lan", who_has(LAN[version], MAC, "0.0.0.0" if version == 4 else "::"))
        await o.bench.settle()
        [(told, _, to)] = answers(o.bench.seen("lan"))
        assert (told, to) == (LAN[version], MAC if version == 4 else "33:33:00:00:00:01")


@pytest.mark.parametrize("version", VERSIONS)
async def test_frames_wait_for_an_answer_at_most_eight_and_go_in_order(version: int) -> None:
    async with office() as o:
        o.server.silent = True
        for number in range(12):
            o.client.send(ip(version, CLIENT[version], SERVER[version]) / UDP(sport=5000, dport=7) / bytes([number]))
        await o.bench.settle()
        assert questions(o.bench.seen("wan"))[-1][0] == SERVER[version]
        assert o.bench.drops == {"parking-full": 4}
        o.server.silent = False
        await o.bench.settle(1.2)  # asked again
        assert [packet[UDP].payload.load[0] for packet in o.server.received(UDP)] == list(range(8))


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_silent_neighbour_is_asked_for_three_times_and_its_sender_told(version: int) -> None:
    async with office() as o:
        o.server.silent = True
        o.bench.seen("wan")
        sent = ip(version, CLIENT[version], SERVER[version]) / UDP(sport=5000, dport=7) / b"hello?"
        o.client.send(sent)
        await o.bench.settle(4.0)
        assert len(questions(o.bench.seen("wan"))) == 3
        expect_unreachable(o, version, sent)
        o.client.send(sent)
        await o.bench.settle()
        assert o.bench.drops == {"no-neighbour": 2}


def expect_unreachable(o: Office, version: int, sent: Packet) -> None:
    error = o.client.only()
    assert error.src == LAN[version]
    if version == 4:
        assert (error[ICMP].type, error[ICMP].code) == (3, 1)
        quoted = error[ICMP].payload
        assert (quoted.src, quoted.dst, quoted.sport, quoted.dport) == (CLIENT[4], SERVER[4], 5000, 7)
    else:
        assert error[ICMPv6DestUnreach].code == 3
        quoted = error[ICMPv6DestUnreach].payload
        assert (quoted.src, quoted.dst, quoted.sport, quoted.dport) == (CLIENT[6], SERVER[6], 5000, 7)
    assert bytes(quoted)[-6:] == b"hello?"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_hidden_sender_is_told_in_its_own_terms(version: int) -> None:
    async with office(HIDDEN) as o:
        o.server.silent = True
        sent = ip(version, CLIENT[version], SERVER[version]) / UDP(sport=5000, dport=7) / b"hello?"
        o.client.send(sent)
        await o.bench.settle(4.0)
        expect_unreachable(o, version, sent)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_new_flow_to_a_silent_neighbour_is_refused_at_once_and_told(version: int) -> None:
    async with office() as o:
        o.server.silent = True
        o.client.send(ip(version, CLIENT[version], SERVER[version]) / UDP(sport=4000, dport=7) / b"first")
        await o.bench.settle(4.0)
        o.client.received()
        sent = ip(version, CLIENT[version], SERVER[version]) / UDP(sport=5000, dport=7) / b"hello?"
        o.client.send(sent)
        await o.bench.settle()
        expect_unreachable(o, version, sent)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_neighbour_that_was_away_is_found_again_by_the_traffic_of_an_old_flow(version: int) -> None:
    async with office() as o:
        question = await o.open_udp(version)
        o.server.silent = True
        for _ in range(60):  # long enough to be stale, probed, and forgotten; each second a frame
            o.client.send(ip(version, CLIENT[version], SERVER[version]) / UDP(sport=5000, dport=7) / b"there?")
            await o.bench.settle(1.0)
        o.server.received()
        o.client.received()
        o.client.send(ip(version, CLIENT[version], SERVER[version]) / UDP(sport=5000, dport=7) / b"lost")
        await o.bench.settle(1.0)
        assert o.server.received() == []
        o.server.silent = False
        for _ in range(8):
            o.client.send(ip(version, CLIENT[version], SERVER[version]) / UDP(sport=5000, dport=7) / b"back!")
            await o.bench.settle(1.0)
        assert o.server.received(UDP)[-1][UDP].payload.load == b"back!"
        o.server.send(back(question, b"hello again"))
        await o.bench.settle(1.0)
        assert UDP in o.client.received()[-1]
        assert len(o.bench.flows) == 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_neighbour_in_use_is_verified_alone_and_a_moved_one_followed(version: int) -> None:
    async with office() as o:
        await o.open_udp(version)
        await o.bench.settle(50.0)
        o.bench.seen("wan")
        o.client.send(ip(version, CLIENT[version], SERVER[version]) / UDP(sport=5000, dport=7) / b"x")
        await o.bench.settle(7.0)
        assert (SERVER[version], o.server.mac) in questions(o.bench.seen("wan"))
        moved = o.bench.station("wan", SERVER[version], mac="02:00:00:00:00:99")
        o.server.silent = True
        o.server.addresses.clear()
        o.server.received()
        if version == 4:
            moved.send(Ether(src=moved.mac, dst=BROADCAST) / ARP(op=1, hwsrc=moved.mac, psrc=SERVER[4], pdst=SERVER[4]))
        else:
            packet = IPv6(src=SERVER[6], dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=SERVER[6], R=0, S=0, O=1)
            moved.send(Ether(src=moved.mac, dst="33:33:00:00:00:01") / packet / ICMPv6NDOptDstLLAddr(lladdr=moved.mac))
        await o.bench.settle()
        o.client.send(ip(version, CLIENT[version], SERVER[version]) / UDP(sport=5000, dport=7) / b"y")
        await o.bench.settle()
        assert moved.only(UDP)[UDP].payload.load == b"y"


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_claims_our_address_is_not_believed(version: int) -> None:
    async with office() as o:
        await o.open_udp(version)
        thief = o.bench.station("lan", LAN[version], mac="02:00:00:00:00:66")
        thief.send(thief.arp_reply(CLIENT[4], LAN[4], o.bench.mac("lan").hex(":")) if version == 4
                   else thief.advertisement(LAN[6], LAN[6], o.bench.mac("lan").hex(":")))
        await o.bench.settle()
        assert [n for n in o.bench.appliance.status()["neighbours"] if n["mac"] == thief.mac] == []
        await o.open_udp(version, port=6000)


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_asks_from_another_network_is_not_remembered(version: int) -> None:
    stranger = {4: "8.8.8.8", 6: "2001:4860::8"}[version]
    async with office() as o:
        o.bench.send("lan", who_has(LAN[version], MAC, stranger), who_has(LAN[version], MAC, CLIENT[version]))
        await o.bench.settle()
        known = {row["address"] for row in o.bench.appliance.status()["neighbours"]}
        assert stranger not in known and CLIENT[version] in known


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_unroutable_destination_is_told_to_the_sender(version: int) -> None:
    far = {4: "8.8.8.8", 6: "2001:4860::8"}[version]
    async with office() as o:
        o.client.send(ip(version, CLIENT[version], far) / UDP(sport=5000, dport=7) / b"far")
        await o.bench.settle()
        error = o.client.only()
        assert error.src == LAN[version]
        kind, code = (error[ICMP].type, error[ICMP].code) if version == 4 else (error[IPv6].payload.type, error[IPv6].payload.code)
        assert (kind, code) == ((3, 0) if version == 4 else (1, 0))
        assert (error[ICMP] if version == 4 else error[ICMPv6DestUnreach]).payload.dst == far


async def test_silent_neighbours_without_end_take_no_numbers_for_good() -> None:
    """A scan of a network whose hosts are not there, over and over: numbers of adjacencies come back."""
    async with office() as o:
        numbers = o.bench.appliance.adjacencies
        for lap in range(3):
            for host in range(20 + 70 * lap, 90 + 70 * lap):
                o.client.send(IP(src=CLIENT[4], dst=f"203.0.113.{host}") / UDP(sport=5000, dport=7))
                await o.bench.elapse(0.002)
            await o.bench.settle(180.0)
            o.client.received()
        assert numbers._next <= 2 + 1 + 70
