"""Waiting in real time for what happens beside a test: for as long as a busy machine may take, and no longer than it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which it never happens."""
LOOK = 0.01


async def until(look: Callable[[], T], what: str) -> T:
    """The first true result of `look`, asked again and again. Raises AssertionError if it never comes."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while not (found := look()):
        assert loop.time() < end, f"did not happen in {PATIENCE:g} s: {what}"
        await asyncio.sleep(LOOK)
    return found
