"""GET_STATS byte by byte, as drivers ask: what may be asked is told by the capabilities word."""

from __future__ import annotations

import struct

import pytest

from ena_dev.abi.features import Capability
from ena_dev.device.allowances import Allowances, AllowanceStats
from ena_dev.device.interfaces import BasicStats
from ena_dev.device.personality import Personality
from tests.device.conftest import MAC, Bench, make_bench
from tests.support.scripted_driver import control

BASIC, EXTENDED, ENI, SRD, METRICS = range(5)
NUMBERS = AllowanceStats(1, 2, 3, 4, 5 << 33, 6)


def metrics(bench: Bench, buffer: tuple[int, int], requested: int = 0x3F, flags: int = 0) -> tuple[int, int]:
    """Ask for customer metrics; the status, and the map."""
    body = control(buffer) + bytes((METRICS, 0, 0, 0)) + struct.pack("<HHQ", 0, 0, requested)
    answer = bench.driver.command(11, body, flags)
    return answer.status, struct.unpack_from("<Q", answer.payload)[0]


def test_the_basic_counters_stand_in_the_contracts_order(bench: Bench) -> None:
    bench.engine.stats = BasicStats(tx_bytes=1, tx_packets=2, rx_bytes=3, rx_packets=4, rx_drops=5, tx_drops=6, rx_overruns=7 << 33)
    assert struct.unpack("<7Q", bench.driver.stats(BASIC).payload) == (1, 2, 3, 4, 5, 6, 7 << 33)


@pytest.mark.parametrize("kind", [EXTENDED, SRD, 5, 255])
def test_what_the_card_does_not_count_is_unsupported(bench: Bench, kind: int) -> None:
    assert bench.driver.stats(kind).status == 3


def test_the_capabilities_tell_of_allowances_and_of_no_express_network(bench: Bench) -> None:
    assert bench.driver.get(1).u32(20) & 0b111 == 0b101


@pytest.mark.parametrize(("lacking", "kind"), [(Capability.ENI_STATS, ENI), (Capability.CUSTOMER_METRICS, METRICS)])
def test_a_card_without_the_capability_refuses_the_statistics(lacking: Capability, kind: int) -> None:
    personality = Personality(mac=MAC)
    bench = make_bench(Personality(mac=MAC, capabilities=personality.capabilities & ~lacking))
    bench.driver.reset()
    bench.driver.set_up_admin()
    assert bench.driver.stats(kind).status == 3
    assert bench.driver.stats(ENI + METRICS - kind).status == 0


def test_five_allowances_fit_into_the_answer(bench: Bench) -> None:
    bench.engine.shaper.stats = NUMBERS
    assert struct.unpack("<7Q", bench.driver.stats(ENI).payload) == (1, 2, 3, 4, 5 << 33, 0, 0)


def test_asked_without_a_buffer_the_card_only_tells_which_metrics_there_are(bench: Bench) -> None:
    bench.memory.writes.clear()
    assert metrics(bench, (0, 0)) == (0, 0x3F)
    completions = range(bench.driver.acq, bench.driver.acq + 64 * bench.driver.depth)
    assert [address for address, _ in bench.memory.writes if address not in completions] == []


@pytest.mark.parametrize("flags", [0, 2, 4])
def test_six_metrics_go_to_the_buffer_in_the_order_of_their_bits(bench: Bench, flags: int) -> None:
    bench.engine.shaper.stats = NUMBERS
    address = bench.memory.allocate(512)
    bench.memory.poke(address, b"\xee" * 512)
    assert metrics(bench, (address, 512), flags=flags) == (0, 0x3F)
    assert bench.memory.peek(address, 512) == struct.pack("<6Q", 1, 2, 3, 4, 5 << 33, 6) + b"\xee" * 464


def test_whatever_is_asked_for_all_metrics_are_reported(bench: Bench) -> None:
    address = bench.memory.allocate(512)
    assert metrics(bench, (address, 512), requested=0x11) == (0, 0x3F)


@pytest.mark.parametrize("length", [1, 8, 47])
def test_a_buffer_for_fewer_than_all_metrics_is_refused(bench: Bench, length: int) -> None:
    address = bench.memory.allocate(512)
    assert metrics(bench, (address, length)) == (4, 0)
    assert bench.memory.peek(address, 64) == bytes(64)


def test_a_buffer_that_is_nobodys_is_refused(bench: Bench) -> None:
    address = bench.memory.allocate(16)
    assert metrics(bench, (address, 512)) == (5, 0)
    assert metrics(bench, ((1 << 48) - 8, 512)) == (5, 0)


def test_allowance_counters_outlive_a_reset_and_basic_ones_do_not(bench: Bench) -> None:
    bench.engine.shaper.stats, bench.engine.stats = NUMBERS, BasicStats(rx_drops=9)
    bench.driver.reset()
    bench.driver.set_up_admin()
    assert struct.unpack_from("<5Q", bench.driver.stats(ENI).payload) == (1, 2, 3, 4, 5 << 33)
    assert bench.driver.stats(BASIC).payload == bytes(56)


def test_allowances_may_be_set_at_any_time_and_outlive_a_reset(bench: Bench) -> None:
    bench.device.set_allowances(Allowances(bw_in=1000, conntrack=5))
    bench.driver.reset()
    assert bench.engine.shaper.allowances == bench.device.allowances == Allowances(bw_in=1000, conntrack=5)
    assert bench.device.allowance_statistics() == bench.engine.shaper.stats
