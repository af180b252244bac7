"""End-to-end tests: what they need, and the appliance's log beside a failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.host.namespaces import sweep
from tests.e2e.lab import PREFIX, Lab, missing


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab for all tests of a module."""
    if what := missing():
        pytest.skip(what)
    sweep(PREFIX)
    with Lab() as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    found = getattr(item, "funcargs", {}).get("lab")
    if report.failed and isinstance(found, Lab):
        for appliance in found.appliances:
            report.sections.append((f"log of {appliance.host.name}", appliance.log()))
    return report
