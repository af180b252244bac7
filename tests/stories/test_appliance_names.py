"""Rules about domain names: what DNS answers on the way is in force before its client has read it, and nobody else's word is."""

from __future__ import annotations

import asyncio

import pytest
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from tests.support.office import CLIENT, NICS, SERVER, VERSIONS, Office, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

RULES = """
objects: {updates: {fqdn: .example.org, grace: 1m}}
policy:
  - dns: {from: [home], to: [internet], allow: dns}
  - updates: {from: [home], to: [internet], destination: updates, allow: udp/7}
"""
ALL = NICS + RULES
MASKED = ALL + """
nat:
  - hide4: {masquerade: {from: [home], to: [internet]}}
  - hide6: {masquerade: {from: [home], to: [internet], family: v6}}
"""


async def ask(o: Office, version: int, number: int = 7, name: str = "www.example.org") -> Packet:
    """The client asks; the query as the server saw it."""
    question = DNSQR(qname=name, qtype="A" if version == 4 else "AAAA")
    o.client.send(ip(version, CLIENT[version], SERVER[version]) / UDP(sport=5353, dport=53) / DNS(id=number, rd=1, qd=[question]))
    await o.bench.settle()
    return o.server.only(UDP)


def answer(query: Packet, version: int, address: str, **fields: object) -> Packet:
    asked = query[DNS]
    record = DNSRR(rrname=asked.qd[0].qname, type=asked.qd[0].qtype, rdata=address, ttl=30)
    message = DNS(**{"id": asked.id, "qr": 1, "qd": asked.qd, "an": [record], **fields})
    return ip(version, query.dst, query.src) / UDP(sport=53, dport=query[UDP].sport) / message


async def reaches(o: Office, version: int, port: int) -> bool:
    o.client.send(ip(version, CLIENT[version], SERVER[version]) / UDP(sport=port, dport=7) / b"question")
    await o.bench.settle()
    return bool(o.server.received(UDP))


def whole(packet: Packet) -> bool:
    """Whether its checksums are right, by scapy."""
    layer = IP if packet.haslayer(IP) else IPv6
    given = packet[UDP].chksum
    again = packet[layer].copy()
    del again[UDP].chksum
    return bool(given == layer(bytes(again))[UDP].chksum)


@pytest.mark.parametrize("text", [ALL, MASKED])
@pytest.mark.parametrize("version", VERSIONS)
async def test_an_address_is_let_through_from_its_answer_on_until_its_time_is_over(text: str, version: int) -> None:
    async with office(text) as o:
        assert not await reaches(o, version, 5000)
        query = await ask(o, version)
        assert query[UDP].dport == 53 and whole(query) and not await reaches(o, version, 5001)
        o.server.send(answer(query, version, SERVER[version]))
        await o.bench.settle()
        heard = o.client.only(UDP)
        assert heard[DNS].an[0].rdata == SERVER[version] and whole(heard) and heard.src == SERVER[version]
        assert await reaches(o, version, 5002)
        [learned] = o.bench.appliance.names()["objects"]
        assert [(each["address"], each["of"]) for each in learned["addresses"]] == [(SERVER[version], "www.example.org")]
        await asyncio.sleep(60)
        assert await reaches(o, version, 5003)
        await asyncio.sleep(31)
        assert not await reaches(o, version, 5004)


async def test_a_flow_outlives_the_name_that_let_it_begin() -> None:
    async with office(ALL + "timeouts: {udp-replied: 1d}\n") as o:
        o.server.send(answer(await ask(o, 4), 4, SERVER[4]))
        await o.bench.settle()
        o.client.received()
        await o.open_udp(4)
        await asyncio.sleep(120)
        await o.bench.appliance.refresh("a test")
        assert await reaches(o, 4, 5000)
        assert not await reaches(o, 4, 5001)


async def test_what_was_not_asked_is_passed_on_and_not_believed() -> None:
    async with office(ALL) as o:
        query = await ask(o, 4)
        o.server.send(answer(query, 4, SERVER[4], id=8))
        o.server.send(answer(query, 4, SERVER[4], qd=[DNSQR(qname="ftp.example.org")]))
        await o.bench.settle()
        assert len(o.client.received(UDP)) == 2
        assert not await reaches(o, 4, 5000)
        other = await ask(o, 4, 9, "www.example.com")
        o.server.send(answer(other, 4, SERVER[4]))
        await o.bench.settle()
        assert not await reaches(o, 4, 5001)


async def test_without_such_objects_nobody_reads_dns() -> None:
    async with office(NICS + RULES.replace("objects: {updates: {fqdn: .example.org, grace: 1m}}", "objects: {updates: 10.0.0.1}")) as o:
        await ask(o, 4)
        before = o.bench.appliance.worker.counters()["punted"]
        await ask(o, 4)
        assert o.bench.appliance.worker.counters()["punted"] == before
