"""Waiting for whichever comes first: an event, or a time."""

from __future__ import annotations

import asyncio
from contextlib import suppress


async def woken(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for an event, but no longer than so many seconds; None: as long as it takes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
