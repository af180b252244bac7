"""What all tests share: the loop they run on, a running garbage collector, and properties that nobody holds a watch against.

A test that asks for `virtual_time` (or a module with `pytestmark = pytest.mark.usefixtures("virtual_time")`) runs on a loop whose
clock jumps; all others run on a plain asyncio loop.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.virtual_time import VirtualTimeLoop

settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


def pytest_asyncio_loop_factories(config: pytest.Config, item: Any) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if "virtual_time" in item._fixtureinfo.names_closure:
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.new_event_loop}


@pytest.fixture
def virtual_time() -> None:
    """Run this test's coroutine in virtual time."""


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    """The garbage collector runs in every test: a command run in this process has switched it off."""
    yield
    gc.enable()


@pytest.fixture
def collected() -> Iterator[None]:
    """Cards that this test throws away are gone before another test counts descriptors."""
    yield
    gc.collect()
