"""A card misbehaves; its driver notices, resets it if it must, and traffic goes on. No fault ends the process."""

import asyncio

import pytest

from ena_dev.abi.features import FeatureId, Mtu
from ena_dev.abi.registers import ResetReason
from ena_dev.device.personality import Hints
from ena_dev.driver.adapter import ResetReport, State
from ena_dev.driver.watchdog import Limits
from ena_dev.errors import AdminError
from ena_dev.testbed import Testbed
from tests.support.traffic import answered, echoing, udp

NORMAL = ResetReason.NORMAL


@pytest.fixture
def reports(bench: Testbed) -> list[ResetReport]:
    """Every reset that the driver made; none of them may have lost a buffer."""
    reports: list[ResetReport] = []
    bench.adapter.on_reset.append(reports.append)
    return reports


async def test_missed_keep_alives_end_in_a_reset_and_traffic_resumes(bench: Testbed, reports: list[ResetReport]) -> None:
    async with echoing(bench):
        await bench.elapse(10.0)
        bench.device.faults.miss_keep_alives(100)
        await bench.elapse(5.5)
        assert await answered(bench) == 16  # the data path knows nothing of it
        await bench.elapse(3.0)
        assert bench.device.resets == [NORMAL, ResetReason.KEEP_ALIVE_TO, NORMAL]
        assert await answered(bench) == 16
        await bench.elapse(60.0)
    assert [report.reason for report in reports] == [ResetReason.KEEP_ALIVE_TO]
    assert reports[0].whole
    assert bench.adapter.counters.wd_expired == 1


async def test_a_withheld_tx_completion_ends_in_a_reset_and_traffic_resumes(bench: Testbed, reports: list[ResetReport]) -> None:
    async with echoing(bench):
        bench.device.faults.withhold_tx_completions(1)
        assert await answered(bench) == 16  # the packet itself was sent
        await bench.elapse(4.0)
        assert reports == []
        await bench.elapse(3.0)
        assert [report.reason for report in reports] == [ResetReason.MISS_TX_CMPL]
        assert reports[0].undone == 1 and reports[0].whole
        assert await answered(bench) == 16
    assert bench.device.resets == [NORMAL, ResetReason.MISS_TX_CMPL, NORMAL]
    assert bench.adapter.counters.missing_tx_cmpl == 1


async def test_a_lost_interrupt_is_asked_for_again_without_a_reset(bench: Testbed, reports: list[ResetReport]) -> None:
    async with echoing(bench):
        assert await answered(bench) == 16
        for vector in (1, 2):
            bench.device.faults.lose_interrupts(1, vector)
        assert await answered(bench) == 0  # both pairs sleep over their frames
        await bench.elapse(3.0)
        assert bench.adapter.watchdog.lost_interrupts == [1, 1]
        assert await answered(bench) == 16
        await bench.elapse(10.0)
    assert reports == []
    assert bench.device.resets == [NORMAL]


async def test_a_link_flap_is_told_and_frames_pass_again_after_it(bench: Testbed, reports: list[ResetReport]) -> None:
    await bench.adapter.wait_for_link()
    seen: list[bool] = []
    bench.adapter.link.observers.append(seen.append)
    async with echoing(bench):
        bench.device.faults.link_flap(2.0)
        await bench.elapse(1.0)
        assert not bench.adapter.link_up
        assert await answered(bench) == 0
        waiting = asyncio.create_task(bench.adapter.wait_for_link())
        await bench.elapse(0.5)
        assert not waiting.done()
        await waiting
        assert await answered(bench) == 16
        await bench.elapse(10.0)
    assert seen == [False, True]
    assert reports == []


async def test_a_link_that_fell_during_a_reset_is_known_after_it(bench: Testbed) -> None:
    await bench.adapter.wait_for_link()
    bench.device.set_link(False)
    await bench.adapter.reset()
    await bench.elapse(0.1)
    assert not bench.adapter.link_up
    bench.device.set_link(True)
    await bench.elapse(0.1)
    assert bench.adapter.link_up


async def test_lost_admin_interrupts_end_in_a_reset_for_them(bench: Testbed, reports: list[ResetReport]) -> None:
    async with echoing(bench):
        bench.device.faults.lose_admin_interrupts(1000)
        await bench.elapse(9.0)
        assert [report.reason for report in reports] == [ResetReason.MISSING_ADMIN_INTERRUPT]
        assert await answered(bench) == 16


async def test_an_admin_command_without_answer_ends_in_a_reset(bench: Testbed, reports: list[ResetReport]) -> None:
    async with echoing(bench):
        bench.card.bar.write(0x18, 0)  # AQ_CAPS = 0: the card hears no command any more
        with pytest.raises(AdminError, match="no answer"):
            await bench.adapter.control.commands.set(FeatureId.MTU, Mtu(mtu=1400))
        await bench.elapse(1.5)
        assert [report.reason for report in reports] == [ResetReason.ADMIN_TO]
        assert await answered(bench) == 16
    assert bench.device.resets == [NORMAL, ResetReason.ADMIN_TO, NORMAL]


async def test_an_ignored_admin_command_ends_in_a_reset(bench: Testbed, reports: list[ResetReport]) -> None:
    async with echoing(bench):
        bench.device.faults.ignore_admin(1)
        with pytest.raises(AdminError, match="no answer"):
            await bench.adapter.control.commands.set(FeatureId.MTU, Mtu(mtu=1400))
        await bench.elapse(1.5)
        assert [report.reason for report in reports] == [ResetReason.ADMIN_TO]
        assert await answered(bench) == 16


SPOILAGE = {
    ResetReason.INV_TX_REQ_ID: lambda faults: faults.spoil_tx_completions(1),
    ResetReason.INV_RX_REQ_ID: lambda faults: faults.spoil_rx_completions(1),
    ResetReason.TX_DESCRIPTOR_MALFORMED: lambda faults: faults.malform_tx_completions(1),
    ResetReason.RX_DESCRIPTOR_MALFORMED: lambda faults: faults.malform_rx_completions(1),
}


@pytest.mark.parametrize("reason", SPOILAGE, ids=lambda reason: reason.name)
async def test_a_completion_that_makes_no_sense_ends_in_a_reset_that_says_so(
    bench: Testbed, reports: list[ResetReport], reason: ResetReason
) -> None:
    async with echoing(bench):
        SPOILAGE[reason](bench.device.faults)
        await answered(bench)
        await bench.elapse(2.0)
        assert [report.reason for report in reports] == [reason]
        assert reports[0].whole
        assert await answered(bench) == 16
    assert bench.device.resets == [NORMAL, reason, NORMAL]


async def test_a_card_that_asks_for_a_reset_gets_one(bench: Testbed, reports: list[ResetReport]) -> None:
    async with echoing(bench):
        await bench.elapse(1.5)
        bench.device.request_reset()
        await bench.elapse(1.5)
        assert [report.reason for report in reports] == [ResetReason.DEVICE_REQUEST]
        assert await answered(bench) == 16


async def test_hints_change_while_the_card_runs_and_are_kept_to(bench: Testbed, reports: list[ResetReport]) -> None:
    await bench.elapse(1.5)
    bench.device.set_hints(Hints(driver_watchdog_timeout=2000, missing_tx_completion_timeout=1000))
    await bench.elapse(0.1)
    assert bench.adapter.watchdog.limits == Limits(keep_alive=2.0, tx_completion=1.0)
    bench.device.faults.miss_keep_alives(100)
    await bench.elapse(4.0)
    assert [report.reason for report in reports] == [ResetReason.KEEP_ALIVE_TO]
    assert bench.adapter.watchdog.limits == Limits(keep_alive=2.0, tx_completion=1.0), "asked for anew"


async def test_a_word_about_the_configuration_is_logged(bench: Testbed, caplog: pytest.LogCaptureFixture) -> None:
    await bench.elapse(1.5)
    bench.device.notify_configuration([3, 64])
    await bench.elapse(0.1)
    assert [record.args for record in caplog.records if "sub-optimal" in record.message] == [(3,), (64,)]


async def test_resets_under_traffic_lose_frames_but_never_a_buffer(bench: Testbed, reports: list[ResetReport]) -> None:
    frames = [udp(port) for port in range(1024, 1088)]

    async def flood() -> None:
        while True:
            for number, frame in enumerate(frames):
                bench.wire.inject(frame)
                if number % 8 == 0:
                    await asyncio.sleep(0.0005)
                    bench.wire.take()

    async with echoing(bench):
        flooding = asyncio.create_task(flood())
        for _ in range(8):
            await bench.elapse(0.05)
            await bench.adapter.reset(ResetReason.USER_TRIGGER)
        flooding.cancel()
        await bench.elapse(0.5)
        assert await answered(bench) == 16
    assert len(reports) == 8 and all(report.whole for report in reports)
    assert all(report.census == {"pool": bench.pool.count, "posted": 0, "burst": 0, "parked": 0, "sent": 0} for report in reports)
    assert bench.adapter.state is State.UP


async def test_settings_survive_a_reset_on_the_card_itself(bench: Testbed) -> None:
    await bench.adapter.set_mtu(9000)
    await bench.adapter.set_rss(table=[1] * 128)
    await bench.adapter.reset()
    assert bench.device.mtu == 9000
    for port in range(3000, 3032):
        bench.wire.inject(udp(port))
    await bench.elapse(0.01)
    assert [len(pair.receive_nowait()) for pair in bench.adapter.pairs] == [0, 32]
