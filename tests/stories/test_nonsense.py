"""A driver gone mad writes anything anywhere in BAR 0. The card neither raises nor stays broken: the next driver finds it whole."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ena_dev.abi.registers import Register
from ena_dev.driver.adapter import State
from ena_dev.testbed import Testbed
from tests.support.traffic import answered, echoing

pytestmark = pytest.mark.usefixtures("virtual_time")

KNOWN = [register.offset for register in Register] + [0x1000, 0x1004, 0x1008, 0x100C, 0x2004, 0x2008, 0x3FFC]
offsets = st.sampled_from(KNOWN) | st.integers(0, 0xFFF).map(lambda word: 4 * word)
values = st.sampled_from([0, 1, 2, 0xFFFFFFFF, 64 << 16 | 32, 64 << 16 | 0xFFFF]) | st.integers(0, 0xFFFFFFFF)
nonsense = st.lists(st.tuples(offsets, values), min_size=1, max_size=40)
few = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def scribble(bench: Testbed, writes: list[tuple[int, int]]) -> None:
    for number, (offset, value) in enumerate(writes):
        bench.card.bar.write(offset, value)
        bench.card.bar.read(offset)
        if number % 5 == 4:
            await bench.elapse(0.01)
    await bench.elapse(0.1)


@few
@given(nonsense)
async def test_a_card_that_was_scribbled_on_comes_up_as_if_new(writes: list[tuple[int, int]]) -> None:
    bench = Testbed()
    bench.card.start()
    bench.executor.attach(asyncio.get_running_loop())
    await scribble(bench, writes)
    bench.executor.detach()
    async with bench:
        await bench.adapter.wait_for_link()
        async with echoing(bench):
            assert await answered(bench, 4) == 4


@few
@given(nonsense)
async def test_scribbling_on_a_card_at_work_is_healed_by_one_reset(writes: list[tuple[int, int]]) -> None:
    async with Testbed(queues=2) as bench, echoing(bench):
        await scribble(bench, writes)
        await bench.adapter.reset()
        assert await answered(bench, 4) == 4
        assert bench.adapter.state is State.UP
    assert bench.pool.free == bench.pool.count and bench.pool.mistakes == 0


@settings(few, max_examples=15)
@given(nonsense)
async def test_the_driver_itself_finds_out_and_recovers(writes: list[tuple[int, int]]) -> None:
    """Without help: within two minutes the card is up and quiet, whatever was written."""
    async with Testbed() as bench:
        await scribble(bench, writes)
        bench.card.bar.write(Register.AQ_CAPS.offset, 0)
        bench.card.bar.write(Register.AENQ_CAPS.offset, 0)  # no sign of life any more
        await bench.elapse(120.0)
        assert bench.adapter.state is State.UP
        resets = len(bench.device.resets)
        await bench.elapse(120.0)
        assert len(bench.device.resets) == resets
