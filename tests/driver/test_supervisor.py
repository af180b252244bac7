import asyncio
from itertools import islice

import pytest

from ena_dev.abi.registers import ResetReason
from ena_dev.driver.supervisor import patience, supervise
from ena_dev.driver.watchdog import Watchdog
from ena_dev.errors import ResetTimeout
from tests.driver.test_watchdog import Scene

pytestmark = pytest.mark.usefixtures("virtual_time")


async def run_for(seconds: float, watchdog: Watchdog, failures: int, error: Exception) -> list[tuple[float, ResetReason]]:
    """Supervise for a while; the first `failures` resets fail. Returns when which reset was tried."""
    loop = asyncio.get_running_loop()
    tried, begun = [], loop.time()

    async def reset(reason: ResetReason) -> None:
        tried.append((loop.time() - begun, reason))
        if len(tried) <= failures:
            raise error
        watchdog.start(loop.time(), [])

    task = asyncio.create_task(supervise(watchdog, reset))
    await asyncio.sleep(seconds)
    assert not task.done()
    task.cancel()
    return tried


def wanting() -> Watchdog:
    dog = Scene().watchdog()
    dog.want(ResetReason.USER_TRIGGER)
    return dog


async def test_a_reset_that_is_wanted_comes_at_the_next_tick_and_once() -> None:
    dog = wanting()
    dog.limits = dog.limits.__class__(keep_alive=None)
    assert await run_for(60.0, dog, 0, RuntimeError()) == [(1.0, ResetReason.USER_TRIGGER)]


@pytest.mark.parametrize("error", [ResetTimeout("begin", 3.1), ZeroDivisionError("a bug of ours")])
async def test_a_reset_that_fails_is_tried_again_with_growing_pauses(error: Exception) -> None:
    dog = wanting()
    dog.limits = dog.limits.__class__(keep_alive=None)
    tried = await run_for(200.0, dog, 7, error)
    assert [when for when, _ in tried] == pytest.approx([1, 2, 4, 8, 16, 32, 62, 92])
    assert {reason for _, reason in tried} == {ResetReason.USER_TRIGGER}


def test_patience_grows_to_half_a_minute_and_never_ends() -> None:
    assert list(islice(patience(), 8)) == [1, 2, 4, 8, 16, 30, 30, 30]


async def test_a_loop_that_stood_still_does_not_blame_the_card() -> None:
    loop = asyncio.get_running_loop()
    dog = Scene().watchdog()
    dog.start(loop.time(), [])
    task = asyncio.create_task(supervise(dog, lambda reason: pytest.fail(f"reset for {reason.name}")))
    await asyncio.sleep(0.5)
    loop._jumping.now += 60.0  # type: ignore[attr-defined]  # a minute in one callback
    await asyncio.sleep(4.0)
    dog.keep_alive(loop.time())
    await asyncio.sleep(1.0)
    assert not task.done()
    task.cancel()
