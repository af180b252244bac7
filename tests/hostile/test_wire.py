"""A network that sends nonsense, in frames and in what its port says of them: through a driven card, and through a whole appliance.

Meanwhile interrupts get lost, completions are withheld, links flap and cards are reset. No frame is lost track of, no buffer is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from scapy.layers.l2 import Ether

from ena_dev.abi.registers import ResetReason
from ena_dev.device.interfaces import DataFaults
from ena_dev.device.model import Device
from ena_dev.device.personality import Personality
from ena_dev.driver.adapter import Adapter
from ena_dev.driver.negotiation import Wishes
from ena_dev.driver.queue import QueuePair
from ena_dev.errors import SoftenaError, UsageError
from ena_dev.port.wire import WirePort
from ena_dev.testbed import MAC, Testbed
from tests.hostile.nonsense import Nonsense, good
from tests.support.office import CLIENT, HIDDEN, LAN, OTHER, SERVER, WAN, Office, office
from tests.support.traffic import answered, echoing
from tests.support.virtual_time import VirtualTimeLoop

PEER = "02:00:00:00:00:10"
CARD_FRAMES = good(Ether(src=PEER, dst=MAC.hex(":")), [("192.0.2.1", "198.51.100.2"), ("2001:db8::1", "2001:db8:1::2")])
SIDES = {
    "lan": [(CLIENT, SERVER), (OTHER, SERVER), (CLIENT, LAN), ({4: "192.168.1.77", 6: "2001:db8:1::77"}, SERVER)],
    "wan": [(SERVER, WAN), (SERVER, CLIENT)],
    "self": [(WAN, SERVER), (LAN, CLIENT), (LAN, {4: "192.168.1.78", 6: "2001:db8:1::78"})],
}


def in_virtual_time(story: Callable[[int, int], Awaitable[None]], seed: int, steps: int) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(story(seed, steps))  # type: ignore[arg-type]


async def trouble(dice: Nonsense, device: Device, adapter: Adapter) -> None:
    """Something else that goes wrong."""
    match dice.random.randrange(6):
        case 0:
            device.faults.lose_interrupts(dice.random.randrange(3))
        case 1:
            device.faults.withhold_tx_completions(dice.random.randrange(2))
        case 2:
            device.faults.link_flap(dice.random.random())
        case 3:
            device.faults.set_data(DataFaults(dice.random.getrandbits(60), 0.05, 0.05, 0.001, 0.002, 0.1))
        case 4:
            device.faults.set_data(DataFaults())
        case 5:
            with suppress(SoftenaError):
                await adapter.reset(ResetReason.USER_TRIGGER)


# -- a card and its driver -----------------------------------------------------------------------------------------------


async def send_back(dice: Nonsense, pair: QueuePair) -> None:
    """Everything that comes, with any offload asked for."""
    while True:
        for received in pair.receive_nowait():
            with suppress(UsageError):
                pair.send_nowait(received.data, partial=dice.chance(0.4), segment=dice.random.choice((0, 0, 8, 1400, dice.number(0xFFFF))))
        pair.flush()
        pair.replenish()
        pair.reap_nowait()
        await pair.wait_for_interrupt()


async def driven(seed: int, steps: int) -> None:
    dice = Nonsense(seed)
    wire = WirePort(2, checksum=dice.chance(0.5), segmentation=dice.chance(0.5))
    large = dice.chance(0.5)
    wishes = Wishes(queues=2, rx_depth=dice.random.choice((32, 256)), tx_depth=dice.random.choice((32, 256)), large_receive=large)
    async with Testbed(queues=2, port=wire, personality=Personality(mac=MAC, max_queues=2, large_receive=large), wishes=wishes) as bench:
        tasks = [asyncio.create_task(send_back(dice, pair)) for pair in bench.adapter.pairs]
        for _ in range(steps):
            for _ in range(dice.random.randrange(20)):
                frame = dice.frame(CARD_FRAMES)
                wire.inject(frame, queue=dice.random.randrange(2), meta=dice.meta(frame))
            await bench.elapse(dice.random.choice((0.0, 0.00001, 0.001, 0.1)))
            for queue in range(2):
                wire.take(queue=queue)
            if dice.chance(0.05):
                await trouble(dice, bench.device, bench.adapter)
            assert not any(task.done() for task in tasks)
        bench.device.faults.set_data(DataFaults())
        await bench.elapse(20.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(pair.fault == 0 for pair in bench.adapter.pairs)
    assert bench.pool.free == bench.pool.count and bench.pool.mistakes == 0
    again = Testbed()
    async with again, echoing(again):
        assert await answered(again, 2) == 2


@pytest.mark.parametrize("seed", range(6))
def test_no_frame_and_no_word_about_it_harms_a_driven_card(seed: int) -> None:
    in_virtual_time(driven, seed, 120)


# -- an appliance --------------------------------------------------------------------------------------------------------


async def served(o: Office, version: int) -> None:
    """A question and its answer, in the end: neighbours may have been lied about, which takes a while to be found out."""
    for attempt in range(4):
        with suppress(ValueError):
            await o.open_udp(version, 6000 + attempt)
            return
        await o.bench.settle(20.0)
        for host in (o.client, o.server):
            host.received()
    raise AssertionError(f"IPv{version} does not pass any more")


async def routed(seed: int, steps: int) -> None:
    dice = Nonsense(seed)
    text = HIDDEN.replace("lan: {", f"lan: {{mtu: {dice.random.choice((1280, 1500, 9000))}, ")
    async with office(text, capable=dice.chance(0.7)) as o:  # at its end: no failure, frames and buffers accounted for
        for version in (4, 6):
            await o.open_udp(version)
        bench = o.bench
        frames = {
            nic: good(Ether(src=PEER, dst=bench.mac(nic).hex(":")), [(a[v], b[v]) for a, b in hosts for v in (4, 6)])
            for nic, hosts in SIDES.items()
        }
        for segment in bench.segments.values():
            segment.judging = False
        for _ in range(steps):
            nic = dice.random.choice(list(SIDES))
            for _ in range(dice.random.randrange(30)):
                frame = dice.frame(frames[nic])
                bench.segments[nic].inject(frame, meta=dice.meta(frame))
            await bench.elapse(dice.random.choice((0.0, 0.00001, 0.001, 0.1)))
            for segment in bench.segments.values():
                segment.poll()
            if dice.chance(0.03):
                card = bench.card(dice.random.choice(("lan", "wan", "self")))
                await trouble(dice, card.device, card.adapter)
        for name in SIDES:
            bench.card(name).device.faults.set_data(DataFaults())
        await bench.settle(20.0)
        for segment in bench.segments.values():
            segment.judging = True
        await bench.settle(60.0)
        for host in (o.client, o.server):
            host.received()
        for version in (4, 6):
            await served(o, version)


@pytest.mark.parametrize("seed", range(4))
def test_no_frame_and_no_word_about_it_harms_an_appliance(seed: int) -> None:
    in_virtual_time(routed, seed, 60)
