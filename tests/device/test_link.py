"""The carrier: an operator's wish, a flap, and whether somebody is at the far end of the cable."""

from __future__ import annotations

import pytest

from ena_dev.device.link import Link
from tests.device.conftest import Bench, make_bench

RX = 2


def test_the_link_is_up_only_if_all_agree() -> None:
    link = Link()
    for wanted, carrier, flap in ((False, True, 0.0), (True, False, 0.0), (True, True, 1.0), (True, True, 0.0)):
        link.set(wanted)
        link.set_carrier(carrier)
        if flap:
            link.flap(flap)
        assert link.poll(0.0) == (wanted and carrier and not flap)
        link.poll(10.0)
    assert link.up


@pytest.fixture
def ends() -> tuple[Bench, Bench]:
    """Two cards on a cable; the first looks at the second."""
    near, far = make_bench(), make_bench()
    near.device.follow(far.device)
    near.device.poll(0.0)
    far.driver.reset()
    far.driver.set_up_admin()
    return near, far


def receive(bench: Bench) -> int:
    """Have the driver make an Rx queue; its index."""
    ring = bench.memory.allocate(4096)
    cq = bench.driver.create_cq(ring, words=4).u16(8)
    return bench.driver.create_sq(RX, cq, ring).u16(8)


def up(bench: Bench) -> bool:
    asked, bench.calls[:] = bool(bench.calls), []
    bench.device.poll(bench.driver.now)
    assert asked, "nobody asked for the poll"
    return bench.engine.link


def test_a_card_has_a_carrier_while_the_driver_at_the_far_end_receives(ends: tuple[Bench, Bench]) -> None:
    near, far = ends
    assert not near.device.link_up
    assert not near.engine.link
    near.calls.clear()
    queue = receive(far)
    assert up(near)
    assert far.driver.destroy_sq(queue, RX).status == 0
    assert not up(near)
    receive(far)
    assert up(near)


@pytest.mark.parametrize("end", ["driver", "function", "broken contract"])
def test_whatever_ends_the_far_driver_ends_the_carrier(ends: tuple[Bench, Bench], end: str) -> None:
    near, far = ends
    receive(far)
    assert up(near)
    match end:
        case "driver":
            far.driver.reset()
        case "function":
            far.device.function_reset()
        case "broken contract":
            far.engine.fatal_address = 0xDEAD000
            far.device.poll(far.driver.now)
    assert not up(near)


def test_a_far_driver_that_was_there_first_is_seen() -> None:
    near, far = make_bench(), make_bench()
    far.driver.reset()
    far.driver.set_up_admin()
    receive(far)
    near.device.follow(far.device)
    assert near.device.link_up
