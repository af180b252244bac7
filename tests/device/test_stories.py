"""Whole driver lives, command by command, in the order each driver is known for."""

from __future__ import annotations

import struct

import pytest

from ena_dev.abi.registers import ResetReason
from tests.device.conftest import Bench, make_bench
from tests.support.scripted_driver import ACQ, AENQ, AQ, CAPS, CONTROLLER_VERSION, DEV_STS, INTR_MASK, VERSION

TX, RX = 1, 2
NONE = 0xFFFFFFFF


def set_table(bench: Bench, queues: list[int]) -> None:
    buffer = bench.memory.allocate(512)
    bench.memory.poke(buffer, b"".join(struct.pack("<HH", queues[entry % len(queues)], 0) for entry in range(128)))
    assert bench.driver.set(12, struct.pack("<HHHBBIHH", 0, 0, 7, 0, 0, NONE, 0, 0), buffer=(buffer, 512)).status == 0


def set_key(bench: Bench, key: bytes, initial: int) -> None:
    buffer = bench.memory.allocate(48)
    bench.memory.poke(buffer, struct.pack("<II", 10, 0) + key)
    assert bench.driver.get(10, buffer=(buffer, 48)).status == 0
    assert bench.memory.peek(buffer + 8, 40) == key, "the random key is not clobbered"
    assert bench.driver.get(10).u32(8) & 2
    assert bench.driver.set(10, struct.pack("<III", 0, 2, initial), buffer=(buffer, 48)).status == 0


def probe_like_linux(bench: Bench) -> None:
    driver, device = bench.driver, bench.device
    driver.reset()
    assert driver.register(VERSION) == 0x0A
    assert driver.register(CONTROLLER_VERSION) & 0x00FFFFFF >= 1
    assert 32 <= driver.register(CAPS) >> 8 & 0xFF <= 48
    assert driver.register(DEV_STS) & 1
    driver.set_up_admin()
    device.write(INTR_MASK, 1)
    fired = bench.vectors[0].fired
    host_info = bench.memory.allocate(4096)
    assert driver.set(28, struct.pack("<QQI", host_info, 0, 0)).status == 0
    features = driver.get(1).u32(16)
    limits = driver.get(7, version=1)
    assert limits.u32(8) & 0xFF == 1
    assert min(limits.u32(8 + at) for at in (20, 24, 28, 32)) >= 256
    groups = driver.get(26).u32(8) & 0xDF
    assert driver.get(11).status == 0
    assert driver.get(3).status == 0
    assert features & 1 << 4 == 0, "no LLQ: nothing more is asked of it"
    assert driver.get(26).u32(8) & 0xDF == groups
    assert driver.enable_groups(groups).status == 0
    assert driver.get(20).u16(8) >= 1
    assert bench.vectors[0].fired == fired, "polling"
    device.write(INTR_MASK, 0)
    driver.open_events()
    assert driver.get(12, version=1).u16(10) == 7
    set_key(bench, bytes(range(40)), 0xFFFFFFFF)
    hash_input = bench.memory.allocate(256)
    assert driver.get(18, buffer=(hash_input, 256)).status in (0, 3)
    assert driver.set(28, struct.pack("<QQI", host_info, host_info, 4096)).status == 0


def up_like_linux(bench: Bench, queues: int) -> list[int]:
    driver = bench.driver
    ring = bench.memory.allocate(1024 * 16)
    for queue in range(queues):
        cq = driver.create_cq(ring, words=2, depth=1024, vector=1 + queue)
        assert driver.create_sq(TX, cq.u16(8), ring, depth=1024).status == 0
    rx = []
    for queue in range(queues):
        cq = driver.create_cq(ring, words=4, depth=1024, vector=1 + queue)
        rx.append(driver.create_sq(RX, cq.u16(8), ring, depth=1024).u16(8))
    set_table(bench, rx)
    assert driver.get(10).status == 0
    assert driver.set(14, struct.pack("<I", 9001)).status == 0
    return rx


@pytest.mark.parametrize("readless", [True, False])
def test_the_linux_driver_probes_comes_up_recovers_and_leaves(readless: bool) -> None:
    bench = make_bench(readless=readless)
    driver = bench.driver
    probe_like_linux(bench)
    assert bench.vectors[0].fired > 0, "admin commands rely on the vector from here"
    rx = up_like_linux(bench, queues=4)
    assert bench.engine.rss is not None
    assert set(bench.engine.rss.table) == set(rx)
    driver.elapse(10)
    events = driver.events()
    assert [event[0] for event in events].count(4) in (9, 10)
    assert events[0][0] == 0
    assert events[0][2][0] == 1, "carrier"

    driver.reset(reason=3)  # a missing completion: queues are not destroyed, the reset frees them
    probe_like_linux(bench)
    up_like_linux(bench, queues=4)
    for index, (direction, cq, _, _) in list(bench.engine.sqs.items()):
        assert driver.destroy_sq(index, int(direction)).status == 0
        assert driver.destroy_cq(cq).status == 0
    driver.reset(reason=11)

    reasons = [ResetReason.NORMAL, ResetReason.MISS_TX_CMPL, ResetReason.NORMAL, ResetReason.SHUTDOWN]
    assert bench.device.resets == reasons
    assert (bench.engine.sqs, bench.engine.cqs) == ({}, {})


def test_the_dpdk_driver_starts_polls_and_closes_without_a_reset() -> None:
    bench = make_bench()
    driver = bench.driver
    driver.reset()
    driver.set_up_admin()
    bench.device.write(INTR_MASK, 1)  # control path poll mode: for ever
    for feature, version in ((1, 0), (7, 1), (26, 0), (11, 0), (3, 0), (12, 1)):
        assert driver.get(feature, version).status == 0
    driver.open_events()
    driver.elapse(2)
    assert driver.events() == [], "no group enabled yet"
    assert driver.enable_groups(driver.get(26).u32(8) & 0x51).status == 0
    ring = bench.memory.allocate(1024 * 16)
    rx = [driver.create_sq(RX, driver.create_cq(ring, words=4, vector=NONE).u16(8), ring).u16(8) for _ in range(2)]
    for _ in range(2):
        assert driver.create_sq(TX, driver.create_cq(ring, words=2, vector=NONE).u16(8), ring).status == 0
    assert all(vector is None for vector, _, _, _ in bench.engine.cqs.values())
    set_table(bench, rx)
    driver.elapse(3)
    events = driver.events()
    assert events[0][0] == 0, "the link, though enabled late"
    assert [event[0] for event in events[1:]] == [4] * len(events[1:])
    assert len(events) >= 3
    assert driver.stats(0).status == 0
    assert bench.vectors[0].fired == 0

    # closed: nobody consumes events any more, and no reset comes
    driver.elapse(60)
    assert len(driver.events(consume=False)) == 16


def test_the_boot_rom_lives_with_two_entries_and_direct_reads() -> None:
    bench = make_bench(readless=False)
    driver, device = bench.driver, bench.device
    driver.short_reset()
    driver.set_up_admin(depth=2, aenq_depth=2)
    assert driver.enable_groups(0).status == 0
    host_info = bench.memory.allocate(4096)
    bench.memory.poke(host_info, struct.pack("<I", 5))
    assert driver.set(28, struct.pack("<QQI", host_info, 0, 0)).status == 0
    assert driver.get(1).payload[24:30] == bytes.fromhex("025e00000001")
    ring = bench.memory.allocate(32 * 16)
    for direction, words in ((TX, 2), (RX, 4)):
        cq = driver.create_cq(ring, words=words, depth=32, interrupts=False)
        assert driver.create_sq(direction, cq.u16(8), ring, depth=32).status == 0
    driver.elapse(5)
    assert driver.stats(0).status == 0
    for direction, index in ((RX, 1), (TX, 0)):
        assert driver.destroy_sq(index, direction).status == 0
        assert driver.destroy_cq(index).status == 0
    for registers in (AENQ, AQ, ACQ):
        device.write(registers[2], 0)
    for ring in (driver.aq, driver.acq, driver.aenq):
        bench.memory.unmap(ring)
    driver.elapse(5)
    driver.short_reset()
    assert device.read(DEV_STS) == 1
