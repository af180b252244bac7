"""The appliance beside its data thread, in real time: the same stories, short; and commands from the loop while frames flow."""

import asyncio
from pathlib import Path

from scapy.layers.inet import UDP
from scapy.packet import Packet

from tests.support.office import CLIENT, HIDDEN, OFFICE, SERVER, Office, ip, office
from tests.support.waiting import PATIENCE


async def arriving(o: Office, count: int) -> list[Packet]:
    """The datagrams that the server gets: once there are `count`, and whatever comes right after."""
    found: list[Packet] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            await o.bench.settle()
            found += o.server.received(UDP)
    await o.bench.settle()
    return found + o.server.received(UDP)


async def first(o: Office) -> None:
    """A datagram, to know the neighbours."""
    o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=7) / b"first")
    assert len(await arriving(o, 1)) == 1


async def burst(o: Office, count: int, begin: int) -> list[int]:
    """Datagrams of one flow; which of them arrived."""
    for number in range(begin, begin + count):
        o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=7) / number.to_bytes(2, "big"))
        await asyncio.sleep(0)
    return [int.from_bytes(packet[UDP].payload.load, "big") for packet in await arriving(o, count)]


async def test_flows_pass_in_order_and_survive_reload_and_reset(tmp_path: Path) -> None:
    path = tmp_path / "office.yaml"
    path.write_text(HIDDEN)
    async with office(HIDDEN, threaded=True, path=path) as o:
        await first(o)
        assert await burst(o, 300, 0) == list(range(300))
        assert (await o.bench.appliance.reload())["ended"] == 0
        for nic in ("lan", "wan"):
            await o.bench.card(nic).adapter.reset()
        assert await burst(o, 300, 1000) == list(range(1000, 1300))
        assert len(o.bench.flows) == 1


async def test_many_flows_are_decided_while_others_flow() -> None:
    async with office(OFFICE, threaded=True) as o:
        await first(o)
        for port in range(10000, 10500):
            o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=port, dport=7))
            if port % 50 == 0:
                await o.bench.settle(0.01)
        assert sorted(packet[UDP].sport for packet in await arriving(o, 500)) == list(range(10000, 10500))
        assert len(o.bench.flows) == 501
