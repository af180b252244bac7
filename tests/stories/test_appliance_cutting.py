"""Packets that have to be cut for a way out that carries less."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP, IP, UDP, defragment
from scapy.packet import Raw

from tests.support.office import CLIENT, LAN, OFFICE, SERVER, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

LARGE = OFFICE.replace("lan: {", "lan: {mtu: 9000, ")
DATA = bytes(range(256)) * 5 + bytes(212)


@pytest.mark.parametrize("hops", [1, 64])
async def test_what_the_appliance_itself_is_told_is_cut_and_loses_no_hop(hops: int) -> None:
    async with office(LARGE) as o:
        own = o.bench.station("self", LAN[4])
        o.client.send(ip(4, CLIENT[4], LAN[4], ttl=hops, flags=0, id=7) / ICMP(type=8, id=9, seq=1) / DATA)
        await o.bench.settle()
        pieces = own.received(IP)
        assert len(pieces) == 2 and {piece.ttl for piece in pieces} == {hops}
        [whole] = defragment(pieces)  # type: ignore[no-untyped-call]
        assert whole[ICMP].id == 9 and bytes(whole[ICMP].payload) == DATA


async def test_what_passes_is_cut_one_hop_later() -> None:
    async with office(LARGE) as o:
        o.client.send(ip(4, CLIENT[4], SERVER[4], flags=0, id=7) / UDP(sport=5000, dport=7) / DATA)
        await o.bench.settle()
        pieces = o.server.received(IP)
        assert len(pieces) == 2 and {piece.ttl for piece in pieces} == {63}
        [whole] = defragment(pieces)  # type: ignore[no-untyped-call]
        assert whole[Raw].load == DATA
