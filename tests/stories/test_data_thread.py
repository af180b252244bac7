"""The same bench with its executor in the data thread, in real time: the control plane works beside it, and resets under traffic."""

import asyncio

from ena_dev.abi.registers import ResetReason
from ena_dev.driver.adapter import ResetReport
from ena_dev.testbed import Testbed
from tests.support.traffic import ask, echoing, udp
from tests.support.waiting import until


async def all_are_answered(bench: Testbed) -> None:
    wanted, came = await ask(bench), set[bytes]()

    def there() -> bool:
        came.update(bench.wire.take())
        return wanted <= came

    await until(there, "each flow is answered")


async def test_traffic_and_resets_beside_the_data_thread() -> None:
    frames = [udp(port) for port in range(1024, 1056)]
    reports: list[ResetReport] = []

    async def flood() -> None:
        while True:
            for frame in frames:
                bench.wire.inject(frame)
            await asyncio.sleep(0.0005)
            bench.wire.take()

    async with Testbed(queues=2, threaded=True) as bench, echoing(bench):
        bench.adapter.on_reset.append(reports.append)
        await all_are_answered(bench)
        flooding = asyncio.create_task(flood())
        for _ in range(5):
            await bench.elapse(0.03)
            await bench.adapter.reset(ResetReason.USER_TRIGGER)
        flooding.cancel()
        await bench.elapse(0.1)
        await all_are_answered(bench)
    assert len(reports) == 5 and all(report.whole and report.census["pool"] == bench.pool.count for report in reports)
    assert bench.pool.free == bench.pool.count and bench.pool.mistakes == 0
