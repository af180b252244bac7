"""A lab in network namespaces of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from appliance.host.namespaces import Namespace
from tests.appliance.host.lab import missing


@pytest.fixture
def lab() -> Iterator[Callable[[str], Namespace]]:
    """Makes network namespaces by label, and deletes them at the end."""
    if what := missing():
        pytest.skip(what)
    with ExitStack() as stack:
        yield lambda label: stack.enter_context(Namespace(label, "sh"))
