"""Each feature, asked and set in raw numbers."""

from __future__ import annotations

import struct

import pytest

from ena_dev.abi.features import FeatureId
from ena_dev.device.personality import Hints, Personality
from tests.device.conftest import MAC, Bench, make_bench

UNSUPPORTED, ILLEGAL = 3, 5


def started(personality: Personality) -> Bench:
    bench = make_bench(personality)
    bench.driver.reset()
    bench.driver.set_up_admin()
    return bench


def test_device_attributes(bench: Bench) -> None:
    fields = struct.unpack_from("<6I6sHI", bench.driver.get(1).payload)
    features = sum(1 << bit for bit in (3, 7, 10, 11, 12, 14, 18, 20, 24, 26, 28))
    assert fields == (1, 0x0A, features, 0b11101, 48, 48, MAC, 0, 9216)


def test_queue_limits_in_their_extended_version(bench: Bench) -> None:
    answer = bench.driver.get(7, version=1)
    assert struct.unpack_from("<B3x9I2H", answer.payload) == (1, 4, 4, 4, 4, 1024, 1024, 1024, 1024, 128, 19, 17)
    assert bench.driver.get(7, version=0).status == UNSUPPORTED


def test_offloads(bench: Bench) -> None:
    assert struct.unpack_from("<3I", bench.driver.get(11).payload) == (0xFF, 0x0F, 0)


def test_hints_are_the_drivers_own_unless_said(bench: Bench) -> None:
    assert bench.driver.get(3).payload == bytes(56)
    patient = started(Personality(mac=MAC, hints=Hints(driver_watchdog_timeout=30000, missing_tx_completion_timeout=9000)))
    assert struct.unpack_from("<8H", patient.driver.get(3).payload) == (0, 30000, 9000, 0, 0, 0, 0, 0)


def test_the_moderation_resolution_is_not_zero(bench: Bench) -> None:
    assert bench.driver.get(20).u16(8) == 1


def test_event_groups_are_reported_the_same_before_and_after_enabling(bench: Bench) -> None:
    assert (bench.driver.get(26).u32(8), bench.driver.get(26).u32(12)) == (0xD9, 0)
    assert bench.driver.enable_groups(0x11).status == 0
    assert (bench.driver.get(26).u32(8), bench.driver.get(26).u32(12)) == (0xD9, 0x11)
    assert bench.driver.enable_groups(0x13).status == ILLEGAL
    assert bench.driver.get(26).u32(12) == 0x11


@pytest.mark.parametrize(("mtu", "status"), [(128, 0), (1500, 0), (9216, 0), (127, ILLEGAL), (9217, ILLEGAL), (0xFFFFFFFF, ILLEGAL)])
def test_the_mtu_has_limits(bench: Bench, mtu: int, status: int) -> None:
    assert bench.driver.set(14, struct.pack("<I", mtu)).status == status
    assert bench.engine.mtu == (mtu if status == 0 else 1500)
    assert bench.device.mtu == bench.engine.mtu


def test_host_info_is_copied_when_it_is_set(bench: Bench) -> None:
    page = bench.memory.allocate(4096)
    bench.memory.poke(page, struct.pack("<I", 5))
    bench.memory.poke(page + 172, struct.pack("<I", 2))
    assert bench.driver.set(28, struct.pack("<QQI", page, 0, 0)).status == 0
    info = bench.device.host_info
    assert info is not None
    assert (info.os_type, info.driver_major) == (5, 2)
    bench.driver.reset()
    assert bench.device.host_info is None
    bench.driver.set_up_admin()
    bench.driver.set(28, struct.pack("<QQI", page, 0, 0))
    bench.memory.unmap(page)
    assert bench.driver.set(28, struct.pack("<QQI", page, 0, 0)).status == ILLEGAL
    assert bench.driver.set(28, bytes(20)).status == 0
    assert bench.device.host_info is None


def test_large_receive_is_offered_and_chosen(bench: Bench) -> None:
    assert struct.unpack_from("<II", bench.driver.get(24).payload) == (1, 65550)
    assert bench.engine.large_receive is False
    assert bench.driver.set(24, struct.pack("<I", 1)).status == 0
    assert bench.engine.large_receive is True
    assert bench.driver.set(24, struct.pack("<I", 3)).status == ILLEGAL
    assert bench.driver.set(24, struct.pack("<I", 0)).status == 0
    assert bench.engine.large_receive is False


def test_strangers_never_see_large_receive() -> None:
    plain = started(Personality(mac=MAC))
    assert plain.driver.get(1).u32(16) & 1 << 24 == 0
    assert plain.driver.get(24).status == UNSUPPORTED
    assert plain.driver.set(24, struct.pack("<I", 1)).status == UNSUPPORTED


@pytest.mark.parametrize("feature", sorted(set(range(256)) - {1, 3, 7, 10, 11, 12, 18, 20, 24, 26}))
def test_what_cannot_be_asked_is_unsupported(bench: Bench, feature: int) -> None:
    assert bench.driver.get(feature, version=1).status == UNSUPPORTED


@pytest.mark.parametrize("feature", sorted(set(range(256)) - {10, 12, 14, 18, 24, 26, 28}))
def test_what_cannot_be_set_is_unsupported(bench: Bench, feature: int) -> None:
    assert bench.driver.set(feature, bytes(44)).status == UNSUPPORTED


@pytest.mark.parametrize("feature", [3, 7, 10, 11, 12, 18, 20, 26])
def test_what_a_personality_lacks_is_unsupported(feature: int) -> None:
    bench = started(Personality(mac=MAC, features=frozenset({FeatureId.MTU})))
    assert bench.driver.get(feature, version=1).status == UNSUPPORTED
    assert bench.driver.set(feature, bytes(44)).status == UNSUPPORTED
    assert bench.driver.get(1).u32(16) == 1 << 14
