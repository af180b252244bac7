"""A card held to allowances, and its driver: what waited arrives, what was dropped is told by keep-alives and statistics."""

from __future__ import annotations

import asyncio

from ena_dev.device.allowances import Allowances
from ena_dev.testbed import Testbed
from tests.support.traffic import echoing, udp

LARGE = bytes(1400)


def flood(bench: Testbed, count: int) -> None:
    for port in range(count):
        assert bench.wire.inject(udp(1000 + port, LARGE))


async def test_what_is_beyond_an_allowance_waits_then_is_dropped_and_the_driver_hears_of_it(bench: Testbed) -> None:
    bench.device.set_allowances(Allowances(bw_in=1_000_000, max_wait=0.2))
    async with echoing(bench):
        flood(bench, 100)  # 1,442 bytes each: 45 at once, 86.7 in a second
        await bench.elapse(0.05)
        first = len(bench.wire.take())
        await bench.elapse(0.2)
        later = len(bench.wire.take())
        await bench.elapse(1.0)
        assert (first, later) == (49, 13)
        assert bench.wire.take() == []
        told = await bench.adapter.control.commands.allowance_statistics()
        basic = await bench.adapter.control.commands.basic_statistics()
    assert (told.bw_in_allowance_exceeded, told.bw_out_allowance_exceeded) == (55, 0)
    assert basic.rx_drops == bench.adapter.drops.rx_drops == 38
    assert bench.device.resets[1:] == [], "nobody was alarmed"


async def test_counters_of_allowances_go_on_when_the_card_is_reset(bench: Testbed) -> None:
    bench.device.set_allowances(Allowances(bw_in=1_000_000, max_wait=0))
    flood(bench, 50)
    await bench.elapse(2.0)
    await bench.adapter.reset()
    told = await bench.adapter.control.commands.allowance_statistics()
    basic = await bench.adapter.control.commands.basic_statistics()
    assert (told.bw_in_allowance_exceeded, basic.rx_drops, bench.adapter.drops.rx_drops) == (5, 0, 5)


async def test_limits_can_be_lifted_amid_traffic(bench: Testbed) -> None:
    bench.device.set_allowances(Allowances(pps=1000, max_wait=10))
    async with echoing(bench):
        flood(bench, 200)
        await asyncio.sleep(0)
        bench.device.set_allowances(Allowances())
        await bench.elapse(0.01)
        assert len(bench.wire.take()) == 200
