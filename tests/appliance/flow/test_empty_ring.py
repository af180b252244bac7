"""A ring that has run out of buffers while the pool had none: no interrupt will ever come for it, and it must recover all the same."""

from __future__ import annotations

import asyncio
import struct

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from appliance.flow.program import FlowProgram
from ena_dev.driver.queue import QueuePair
from tests.appliance.flow.bench import Bench

pytestmark = pytest.mark.usefixtures("virtual_time")
POSTED = 15  # of each of the bench's three pairs
BUFFERS = 64


def complete_all(bench: Bench, pair: QueuePair) -> None:
    """Fill every posted buffer with the first datagram of another flow."""
    memory, rings = bench.memory, pair.rings
    for n in range(POSTED):
        frame = bytes(Ether(src=bench.HOSTS[0], dst=bench.MACS[0]) / IP(src="10.0.0.1", dst="198.51.100.9") / UDP(sport=n + 1, dport=53))
        _, _, req_id, _, low, high = struct.unpack("<HBBHHIH2x", memory.read(rings.rx_sq + 16 * n, 16))[1:]
        memory.write(low | high << 32, frame)
        memory.write(rings.rx_cq + 16 * n, struct.pack("<IHHIHBB", 0x4D010D08, len(frame), req_id, 0, 0, 0, 0))


async def lend(pair: QueuePair, program: FlowProgram) -> None:
    async for _ in pair.run(program):
        pass


async def test_a_pair_that_found_the_pool_empty_asks_again() -> None:
    bench = Bench(buffers=BUFFERS)
    card, hog = bench.cards[0][0], bench.cards[2][0].pair
    while hog.send_nowait(bytes(60)):
        pass
    assert bench.pool.free == 0
    complete_all(bench, card.pair)
    task = asyncio.create_task(lend(card.pair, card.program))
    await asyncio.sleep(0)
    bench.round()
    assert bench.pool.census() == {"pool": 0, "posted": 2 * POSTED, "burst": 0, "parked": POSTED, "sent": BUFFERS - 3 * POSTED}
    bench.round(1.2)  # nobody decides: the flows end, and their buffers are free again
    bench.round(0.02)
    assert bench.pool.census()["posted"] == 3 * POSTED
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    bench.close()
