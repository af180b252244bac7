"""The bench of the stories: one card on a wire, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ena_dev.testbed import Testbed


@pytest.fixture
async def bench(virtual_time: None) -> AsyncIterator[Testbed]:
    """Two queue pairs, up; at the end every buffer must be in its place."""
    async with Testbed(queues=2) as bench:
        yield bench
    assert bench.pool.free == bench.pool.count and bench.pool.mistakes == 0
