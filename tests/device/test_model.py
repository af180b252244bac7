"""The card as a whole: reset in both phases, what it ends and what it leaves."""

from __future__ import annotations

import logging

import pytest

from ena_dev.abi.registers import ResetReason
from ena_dev.device.interfaces import BasicStats, RssSpec
from ena_dev.device.lifecycle import State
from ena_dev.device.rss import DEFAULT_KEY
from tests.device.conftest import Bench, make_bench
from tests.support.scripted_driver import AQ_DB, DEV_CTL, DEV_STS, RESET_IN_PROGRESS

RX = 2


@pytest.mark.parametrize("readless", [True, False])
def test_the_reset_handshake_of_either_read_method(readless: bool) -> None:
    bench = make_bench(readless=readless)
    bench.driver.reset()
    bench.driver.reset()  # a second one without an admin queue between
    assert bench.device.resets == [ResetReason.NORMAL, ResetReason.NORMAL]


def test_the_short_reset_that_reads_one_bit(cold: Bench) -> None:
    cold.driver.short_reset()
    assert cold.device.state is State.READY


def test_a_reset_shows_until_it_is_cleared(cold: Bench) -> None:
    cold.device.write(DEV_CTL, 1)
    for second in range(100):
        cold.device.poll(float(second))
        assert cold.device.read(DEV_STS) & RESET_IN_PROGRESS
    cold.device.write(DEV_CTL, 0)
    assert cold.device.read(DEV_STS) == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [(0x30000001, "MISS_TX_CMPL"), (0x01000001, "RX_DESCRIPTOR_MALFORMED"), (0xD0000001, "GENERIC"), (0xFF000001, "GENERIC")],
)
def test_the_reason_is_kept_and_logged(cold: Bench, caplog: pytest.LogCaptureFixture, value: int, reason: str) -> None:
    with caplog.at_level(logging.INFO):
        cold.device.write(DEV_CTL, value)
    assert [kept.name for kept in cold.device.resets] == [reason]
    assert f"reset by the driver: {reason}" in caplog.text


def test_all_dma_has_ended_before_the_reset_shows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(bench.engine, "stop", lambda: seen.append(bench.device.read(DEV_STS)))
    bench.device.write(DEV_CTL, 1)
    assert seen == [1]


def test_no_dma_follows_a_reset(bench: Bench) -> None:
    bench.driver.enable_groups(0x11)
    bench.driver.open_events()
    bench.driver.submit(8, bytes(12) + b"\0\1")  # announced, never executed
    bench.device.write(DEV_CTL, 1)
    bench.memory.writes.clear()
    bench.memory.reads.clear()
    bench.driver.program((0x10, 0x14, 0x18), bench.driver.aq, 32)
    bench.driver.program((0x20, 0x24, 0x28), bench.driver.acq, 32)
    bench.device.write(AQ_DB, 1)
    bench.driver.elapse(5)
    bench.device.write(DEV_CTL, 0)
    bench.driver.elapse(5)
    assert (bench.memory.writes, bench.memory.reads) == ([], [])


def test_a_reset_frees_everything_and_restores_defaults(bench: Bench) -> None:
    driver, engine = bench.driver, bench.engine
    ring = bench.memory.allocate(16 * 4096)
    for _ in range(4):
        cq = driver.create_cq(ring, words=8).u16(8)
        driver.create_sq(RX, cq, ring)
    driver.set(14, (9001).to_bytes(4, "little"))
    driver.set(24, b"\1\0\0\0")
    assert (engine.mtu, engine.large_receive, len(engine.sqs)) == (9001, True, 4)

    driver.reset(reason=3)
    driver.set_up_admin()

    assert (engine.mtu, engine.large_receive, engine.cqs, engine.sqs) == (1500, False, {}, {})
    assert engine.rss == RssSpec(key=DEFAULT_KEY, initial=0, table=())
    assert driver.get(26).u32(12) == 0, "no group stays enabled"
    for _ in range(4):
        assert driver.create_sq(RX, driver.create_cq(ring, words=4).u16(8), ring).status == 0


def test_mac_and_largest_mtu_survive_a_reset(bench: Bench) -> None:
    before = bench.driver.get(1).payload
    bench.driver.reset()
    bench.driver.set_up_admin()
    assert bench.driver.get(1).payload == before
    assert before[24:30] == bytes.fromhex("025e00000001")


def test_counters_start_over_at_a_reset(bench: Bench) -> None:
    bench.engine.stats = BasicStats(tx_bytes=1 << 40, rx_overruns=3)
    assert (bench.driver.stats().u32(12), bench.driver.stats().u32(56)) == (1 << 8, 3)
    bench.driver.reset()
    bench.driver.set_up_admin()
    assert bench.driver.stats().payload == bytes(56)
    bench.engine.stats = BasicStats(tx_bytes=(1 << 40) + 5, rx_overruns=3)
    assert bench.driver.stats().u32(8) == 5


def test_a_function_reset_stops_all_without_a_driver(bench: Bench) -> None:
    bench.device.write(DEV_CTL, 1)
    bench.device.function_reset()
    assert bench.device.read(DEV_STS) == 1
    bench.driver.reset()
    bench.driver.set_up_admin()
    assert bench.driver.get(1).status == 0


def test_a_broken_contract_shows_and_only_a_reset_helps(bench: Bench) -> None:
    bench.device.write(AQ_DB, 1000)
    bench.device.poll(1.0)
    assert bench.device.read(DEV_STS) == 0x21
    bench.driver.submit(8, bytes(12) + b"\0\1")
    bench.device.poll(2.0)
    assert bench.driver.collect() is None
    bench.driver.reset(reason=2)
    bench.driver.set_up_admin()
    assert bench.driver.get(1).status == 0
    assert bench.device.resets[-1] is ResetReason.ADMIN_TO


def test_a_queue_that_leads_nowhere_stops_the_card(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.driver.enable_groups(0x10)
    bench.driver.open_events()
    bench.driver.elapse(0.5)
    bench.engine.fatal_address = 0xDEAD000
    bench.driver.elapse(5)
    assert bench.device.read(DEV_STS) == 0x21
    assert "a queue led to bus address 0xdead000" in caplog.text
    assert bench.driver.events() == [], "the driver's watchdog notices"
    bench.driver.reset(reason=1)
    assert bench.device.read(DEV_STS) == 1


def test_registers_of_work_call_for_a_poll(bench: Bench) -> None:
    bench.calls.clear()
    bench.driver.submit(8, bytes(12) + b"\0\1")
    assert bench.calls == ["work"]
    bench.driver.open_events()
    assert bench.calls == ["work", "work"]
    assert bench.driver.collect() is None, "nothing is executed inside the write"


def test_an_idle_card_asks_for_no_poll(cold: Bench) -> None:
    cold.device.poll(0.0)
    assert cold.device.deadline() is None
