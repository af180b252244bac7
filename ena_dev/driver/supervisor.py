"""The watchdog's shell: a tick each second, a reset when one is due, and patience when resets fail.

Source: ENA interface, Watchdogs and Reset (self-healing).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain, repeat

from ena_dev.abi.registers import ResetReason
from ena_dev.driver.watchdog import PERIOD, Watchdog

log = logging.getLogger(__name__)

FIRST_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
LONGEST_PAUSE = 30.0


def patience() -> Iterator[float]:
    """Seconds to wait after the first failed reset, after the second, and so on."""
    return chain(FIRST_PAUSES, repeat(LONGEST_PAUSE))


async def supervise(watchdog: Watchdog, reset: Callable[[ResetReason], Awaitable[None]]) -> None:
    """Until cancelled. A reset that fails is tried again: an unresponsive card never ends the process."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PERIOD
        await asyncio.sleep(PERIOD)
        now = loop.time()
        if now - due > PERIOD:
            watchdog.excuse(now - due)  # this loop stood still, so it heard no event either: not the card's fault
        reason = watchdog.tick(now)
        if reason is not None:
            await _reset_until_done(reset, reason)


async def _reset_until_done(reset: Callable[[ResetReason], Awaitable[None]], reason: ResetReason) -> None:
    for pause in patience():
        try:
            await reset(reason)
            return
        except Exception as error:  # also a bug of ours: traffic of other cards must go on
            log.error("reset for %s failed, next try in %.0f s: %s", reason.name, pause, error)
        await asyncio.sleep(pause)
