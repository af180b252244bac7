"""A host with a scripted card in it, for tests of the driver alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.host import Host, build_host


@pytest.fixture
async def host(virtual_time: None) -> AsyncIterator[Host]:
    host = build_host()
    host.executor.attach(asyncio.get_running_loop())
    yield host
    host.executor.detach()
