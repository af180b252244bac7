"""Commands to the compiled path when its ring may be full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

PAUSE: Final = 0.0005
"""Seconds until the ring is tried again: its reader empties it within a round."""


async def until_told(tell: Callable[[], bool]) -> None:
    """Call `tell` until it succeeds. Others run meanwhile, so it has to look at the world anew each time."""
    while not tell():  # noqa: ASYNC110  the ring's reader is compiled and rings no bell when it has made room
        await asyncio.sleep(PAUSE)
