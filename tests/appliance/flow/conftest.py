from collections.abc import Iterator

import pytest

from tests.appliance.flow.bench import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A worker with three cards; at the end every frame, flow and buffer must be accounted for."""
    bench = Bench()
    yield bench
    bench.close()
