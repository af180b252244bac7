"""Creating and destroying queues: indices, offsets, and every number that is refused."""

from __future__ import annotations

import struct

import pytest

from ena_dev.abi.admin import Direction
from tests.device.conftest import Bench

TX, RX = 1, 2
NO_RESOURCE, ILLEGAL = 1, 5
NONE = 0xFFFFFFFF


@pytest.fixture
def ring(bench: Bench) -> int:
    return bench.memory.allocate(1024 * 32)


def test_queue_pairs_in_the_order_of_a_driver(bench: Bench, ring: int) -> None:
    driver = bench.driver
    for pair in range(4):
        cq = driver.create_cq(ring, words=2, vector=1 + pair)
        assert (cq.u16(10), cq.u32(12), cq.u32(16), cq.u32(20)) == (256, 0, 0, 0x2000 + 4 * (1 + pair))
        sq = driver.create_sq(TX, cq.u16(8), ring)
        assert sq.u16(8) == cq.u16(8), "an index for the pair"
        assert (sq.u32(12), sq.u32(16), sq.u32(20)) == (0x1000 + 8 * sq.u16(8), 0, 0)
    for pair in range(4):
        cq = driver.create_cq(ring, words=4, vector=1 + pair)
        assert cq.u32(20) == 0x2000 + 4 * (1 + pair), "both directions share the vector's register"
        sq = driver.create_sq(RX, cq.u16(8), ring)
        assert (sq.u16(8), sq.u32(12)) == (cq.u16(8), 0x1004 + 8 * sq.u16(8))
    assert sorted(bench.engine.sqs) == list(range(8))
    assert bench.engine.sqs[0] == (Direction.TX, 0, 256, ring)
    assert bench.engine.cqs[7] == (4, 4, 256, ring)


def test_there_are_only_so_many_queues(bench: Bench, ring: int) -> None:
    cqs = [bench.driver.create_cq(ring, words=4).u16(8) for _ in range(8)]
    assert bench.driver.create_cq(ring, words=4).status == NO_RESOURCE
    for cq in cqs[:4]:
        assert bench.driver.create_sq(RX, cq, ring).status == 0
    assert bench.driver.create_sq(RX, cqs[4], ring).status == NO_RESOURCE
    assert bench.driver.create_sq(TX, cqs[4], ring).status == 0


@pytest.mark.parametrize(
    ("vector", "interrupts", "expected"), [(3, True, 3), (NONE, True, None), (5, True, None), (3, False, None), (NONE, False, None)]
)
def test_a_vector_out_of_range_never_interrupts(bench: Bench, ring: int, vector: int, interrupts: bool, expected: int | None) -> None:
    answer = bench.driver.create_cq(ring, words=4, vector=vector, interrupts=interrupts)
    assert answer.status == 0
    assert bench.engine.cqs[answer.u16(8)][0] == expected
    assert answer.u32(20) == (0x2000 + 4 * vector if expected else 0x3FFC)


def test_vector_0_is_not_for_queues(bench: Bench, ring: int) -> None:
    assert bench.driver.create_cq(ring, words=4, vector=0).status == ILLEGAL


@pytest.mark.parametrize("words", [0, 1, 3, 5, 16, 31])
def test_completions_have_2_4_or_8_words(bench: Bench, ring: int, words: int) -> None:
    assert bench.driver.create_cq(ring, words=words).status == ILLEGAL


@pytest.mark.parametrize(
    ("direction", "words", "status"), [(TX, 2, 0), (TX, 4, 0), (TX, 8, ILLEGAL), (RX, 2, ILLEGAL), (RX, 4, 0), (RX, 8, 0)]
)
def test_a_direction_has_its_completion_sizes(bench: Bench, ring: int, direction: int, words: int, status: int) -> None:
    cq = bench.driver.create_cq(ring, words=words).u16(8)
    assert bench.driver.create_sq(direction, cq, ring).status == status


@pytest.mark.parametrize("depth", [0, 1, 3, 255, 2048, 0x8000, 0xFFFF])
def test_a_depth_is_a_power_of_two_within_the_limit(bench: Bench, ring: int, depth: int) -> None:
    cq = bench.driver.create_cq(ring, words=4).u16(8)
    assert bench.driver.create_cq(ring, words=4, depth=depth).status == ILLEGAL
    assert bench.driver.create_sq(RX, cq, ring, depth=depth).status == ILLEGAL


def test_a_submission_queue_is_no_deeper_than_its_completions(bench: Bench, ring: int) -> None:
    cq = bench.driver.create_cq(ring, words=4, depth=256).u16(8)
    assert bench.driver.create_sq(RX, cq, ring, depth=512).status == ILLEGAL
    assert bench.driver.create_sq(RX, cq, ring, depth=128).status == 0


def test_rings_must_be_mapped_whole(bench: Bench, ring: int) -> None:
    short = bench.memory.allocate(256 * 16 - 1)
    for address in (0, 0xDEAD0000, ring + 3, short):
        assert bench.driver.create_cq(address, words=4).status == ILLEGAL
    cq = bench.driver.create_cq(ring, words=4).u16(8)
    for address in (0, 0xDEAD0000, ring + 3, short):
        assert bench.driver.create_sq(RX, cq, address).status == ILLEGAL
    assert len(bench.engine.cqs) == 1
    assert bench.driver.create_sq(RX, cq, ring).status == 0


@pytest.mark.parametrize("direction", [0, 3, 7])
def test_a_direction_is_tx_or_rx(bench: Bench, ring: int, direction: int) -> None:
    cq = bench.driver.create_cq(ring, words=4).u16(8)
    assert bench.driver.create_sq(direction, cq, ring).status == ILLEGAL
    assert bench.driver.destroy_sq(0, direction).status == ILLEGAL


def test_a_ring_is_contiguous(bench: Bench, ring: int) -> None:
    cq = bench.driver.create_cq(ring, words=4).u16(8)
    body = struct.pack("<BBBBHHQ", RX << 5, 0, 1, 0, cq, 256, ring)
    assert bench.driver.command(1, body).status == ILLEGAL
    assert bench.driver.command(1, body[:3] + b"\1" + body[4:]).status == 0


@pytest.mark.parametrize(("placement", "policy"), [(3, 0), (0, 0), (2, 0), (1, 1), (1, 3)])
def test_only_host_memory_and_a_completion_for_each(bench: Bench, ring: int, placement: int, policy: int) -> None:
    cq = bench.driver.create_cq(ring, words=4).u16(8)
    assert bench.driver.create_sq(RX, cq, ring, placement=placement, policy=policy).status == ILLEGAL


def test_a_completion_queue_serves_one_submission_queue(bench: Bench, ring: int) -> None:
    cq = bench.driver.create_cq(ring, words=4).u16(8)
    assert bench.driver.create_sq(RX, cq + 1, ring).status == ILLEGAL
    assert bench.driver.create_sq(RX, 0xFFFF, ring).status == ILLEGAL
    assert bench.driver.create_sq(RX, cq, ring).status == 0
    assert bench.driver.create_sq(RX, cq, ring).status == ILLEGAL


def test_queues_are_destroyed_in_order_and_come_back(bench: Bench, ring: int) -> None:
    driver = bench.driver
    cq = driver.create_cq(ring, words=4).u16(8)
    sq = driver.create_sq(RX, cq, ring).u16(8)
    assert driver.destroy_cq(cq).status == ILLEGAL, "still used"
    assert driver.destroy_sq(sq, TX).status == ILLEGAL, "of the other direction"
    assert driver.destroy_sq(sq, RX).status == 0
    assert driver.destroy_sq(sq, RX).status == ILLEGAL
    assert driver.create_sq(RX, cq, ring).u16(8) == sq
    assert driver.destroy_sq(sq, RX).status == 0
    assert driver.destroy_cq(cq).status == 0
    assert driver.destroy_cq(cq).status == ILLEGAL
    assert (bench.engine.cqs, bench.engine.sqs) == ({}, {})


def test_large_receive_needs_room_in_completions(bench: Bench, ring: int) -> None:
    driver = bench.driver
    small = driver.create_cq(ring, words=4).u16(8)
    queue = driver.create_sq(RX, small, ring).u16(8)
    assert driver.set(24, b"\1\0\0\0").status == ILLEGAL, "a queue without room exists"
    driver.destroy_sq(queue, RX)
    assert driver.set(24, b"\1\0\0\0").status == 0
    assert driver.create_sq(RX, small, ring).status == ILLEGAL
    assert driver.create_sq(RX, driver.create_cq(ring, words=8).u16(8), ring).status == 0
    assert driver.create_sq(TX, driver.create_cq(ring, words=2).u16(8), ring).status == 0
