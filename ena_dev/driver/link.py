"""The carrier as the driver knows it: told by events alone. Source: ENA interface, Link."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


class Link:
    """Up or down. `observers` are called with each new state."""

    def __init__(self) -> None:
        self.up = False
        self.changes = 0
        self.observers: list[Callable[[bool], None]] = []
        self._is_up = asyncio.Event()

    def set(self, up: bool) -> None:
        """What an event told; the same state again changes nothing."""
        if up == self.up:
            return
        self.up = up
        self.changes += 1
        if up:
            self._is_up.set()
        else:
            self._is_up.clear()
        for observer in self.observers:
            observer(up)

    async def wait_up(self) -> None:
        await self._is_up.wait()
