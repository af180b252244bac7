"""The fast path on real cards, in the data thread: frames in on one wire and out on the other, decided by the pairs' coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from appliance.flow.program import Worker
from ena_dev.abi.registers import ResetReason
from ena_dev.bus.executor import Executor
from ena_dev.bus.memory import Memory
from ena_dev.device.personality import Personality
from ena_dev.device.plugged import PluggedCard
from ena_dev.driver.adapter import Adapter
from ena_dev.driver.negotiation import Wishes
from ena_dev.driver.pool import BufferPool
from ena_dev.driver.queue import QueuePair
from ena_dev.port.meta import FrameMeta
from ena_dev.port.wire import WirePort
from tests.appliance.flow.bench import TIMEOUTS, pseudo_sum

MACS = (bytes.fromhex("02000000aa00"), bytes.fromhex("02000000aa01"))
HOSTS = (bytes.fromhex("02000000bb00"), bytes.fromhex("02000000bb01"))
OWN = 0xCB007107  # 203.0.113.7


class Router:
    """Two cards of two queues and a worker between them; who asks from the first is translated towards the second."""

    def __init__(self) -> None:
        self.memory, self.executor = Memory(), Executor()
        self.pool = BufferPool(self.memory, 4096)
        self.worker = Worker(self.executor, self.pool, 4096, bytes(range(16)), TIMEOUTS)
        self.wires = [WirePort(2, checksum=True, segmentation=True) for _ in MACS]
        self.cards = [
            PluggedCard(Personality(mac=mac, max_queues=2, large_receive=True), wire, self.memory, self.executor)
            for mac, wire in zip(MACS, self.wires, strict=True)
        ]
        wishes = Wishes(queues=2, rx_depth=256, tx_depth=256)
        self.adapters = [
            Adapter(self.memory, card.bar, card.vectors, self.pool, self.executor, wishes, nic) for nic, card in enumerate(self.cards)
        ]

    async def decide(self, pair: QueuePair) -> None:
        async for work in pair.run(self.worker.program(pair)):
            for miss in work.misses:
                source, sport = (OWN, miss.sport + 20000) if miss.nic == 0 else (miss.source, miss.sport)
                reply = (miss.destination, source, miss.dport, sport)
                self.worker.install(miss.flow, 4, miss.protocol, reply, 1 - miss.nic, 2 - miss.nic, miss.nic + 1, 1, 1)

    async def take(self, nic: int, count: int) -> list[tuple[bytes, FrameMeta]]:
        """All that leaves a card, until `count` frames have, or three seconds have passed."""
        frames: list[tuple[bytes, FrameMeta]] = []
        for _ in range(3000):
            frames += [frame for queue in range(2) for frame in self.wires[nic].take_with_meta(queue=queue)]
            if len(frames) >= count:
                break
            await asyncio.sleep(0.001)
        return frames


@asynccontextmanager
async def running(threaded: bool) -> AsyncIterator[Router]:
    router = Router()
    if threaded:
        router.executor.start()
    else:
        router.executor.attach(asyncio.get_running_loop())
    tasks = []
    for nic, (card, adapter) in enumerate(zip(router.cards, router.adapters, strict=True)):
        card.start()
        await adapter.bring_up()
        router.worker.add_nic(nic, MACS[nic], 1500, adapter.pairs)
        router.worker.set_adjacency(nic + 1, nic, HOSTS[nic])
        tasks += [asyncio.create_task(router.decide(pair)) for pair in adapter.pairs]
    await asyncio.sleep(0.01)
    try:
        yield router
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        router.worker.close()
        for card, adapter in zip(router.cards, router.adapters, strict=True):
            await adapter.tear_down()
            card.stop()
        router.executor.stop()
        router.executor.detach()
    count = router.worker.counters()
    drops = sum(value for name, value in count.items() if name.startswith("drop:"))
    assert count["received"] + count["made"] == count["sent"] + count["punted"] + count["parked"] + drops
    assert router.pool.free == router.pool.count and router.pool.mistakes == 0


def datagram(n: int, flow: int) -> bytes:
    packet = IP(src="10.0.0.1", dst="198.51.100.9") / UDP(sport=1000 + flow, dport=53) / n.to_bytes(4, "big")
    return bytes(Ether(src=HOSTS[0], dst=MACS[0]) / packet)


async def both_ways(router: Router) -> None:
    """32 flows of 8 datagrams, each flow answered."""
    for n in range(8):
        for flow in range(32):
            assert router.wires[0].inject(datagram(n, flow))
        await asyncio.sleep(0.003)
    there = [Ether(frame) for frame, _ in await router.take(1, 256)]
    assert len(there) == 256
    for flow in range(32):
        mine = [packet[UDP].payload.load[3] for packet in there if packet[UDP].sport == 21000 + flow]
        assert mine == list(range(8)), "in order, none lost"
        back = IP(src="198.51.100.9", dst="203.0.113.7") / UDP(sport=53, dport=21000 + flow) / b"answer"
        assert router.wires[1].inject(bytes(Ether(src=HOSTS[1], dst=MACS[1]) / back))
    answers = [Ether(frame) for frame, _ in await router.take(0, 32)]
    assert sorted(packet[UDP].dport for packet in answers) == list(range(1000, 1032))
    assert {(packet.dst, packet[IP].dst) for packet in answers} == {(HOSTS[0].hex(":"), "10.0.0.1")}
    assert router.worker.usage()["answered"] == 32


async def large_segment(router: Router) -> None:
    """A connection, then 20,000 bytes with a partial checksum over several buffers: they leave as they came, translated."""

    def frame(sender: int, packet: IP) -> bytes:
        return bytes(Ether(src=HOSTS[sender], dst=MACS[sender]) / packet)

    there, back = {"src": "10.0.0.1", "dst": "198.51.100.9"}, {"src": "198.51.100.9", "dst": "203.0.113.7"}
    router.wires[0].inject(frame(0, IP(**there) / TCP(sport=9, dport=80, flags="S")))
    assert len(await router.take(1, 1)) == 1
    router.wires[1].inject(frame(1, IP(**back) / TCP(sport=80, dport=20009, flags="SA", ack=1)))
    assert len(await router.take(0, 1)) == 1
    payload = bytes(range(250)) * 80
    large = frame(0, IP(**there) / TCP(sport=9, dport=80, flags="A", chksum=pseudo_sum(*there.values(), 20 + len(payload))) / payload)
    meta = FrameMeta(partial=True, csum_start=34, csum_offset=16, segment=1448, header_length=54)
    router.wires[0].inject(large, meta=meta)
    [(out, seen)] = await router.take(1, 1)
    packet = Ether(out)
    assert (seen.partial, seen.segment, seen.csum_start, seen.csum_offset) == (True, 1448, 34, 16)
    assert packet[TCP].payload.load == payload and (packet[IP].src, packet[TCP].sport) == ("203.0.113.7", 20009)
    assert packet[TCP].chksum == pseudo_sum("203.0.113.7", "198.51.100.9", 20 + len(payload))


async def over_resets(router: Router) -> None:
    """The egress card is reset under traffic: flows stay, and frames pass again afterwards."""
    for n in range(30):
        router.wires[0].inject(datagram(n, n % 4))
        if n == 10:
            await router.adapters[1].reset(ResetReason.USER_TRIGGER)
        await asyncio.sleep(0.001)
    await router.take(1, 20)
    router.wires[0].inject(datagram(99, 0))
    came: list[int] = []
    while 99 not in came:  # some of those before may be late
        frames = await router.take(1, 1)
        assert frames, came
        came += [Ether(frame)[UDP].payload.load[3] for frame, _ in frames]
    assert router.worker.usage()["used"] == 4


async def test_flows_pass_in_order_beside_their_decisions_in_the_data_thread() -> None:
    async with running(threaded=True) as router:
        await both_ways(router)


async def test_the_same_in_the_event_loop() -> None:
    async with running(threaded=False) as router:
        await both_ways(router)


async def test_a_large_segment_crosses_both_cards_as_one() -> None:
    async with running(threaded=True) as router:
        await large_segment(router)


async def test_flows_survive_a_reset_of_their_card() -> None:
    async with running(threaded=True) as router:
        await over_resets(router)
