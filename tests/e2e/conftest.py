"""End-to-end tests: what they need, and the appliance's log beside a failure."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from appliance.host.namespaces import sweep
from tests.e2e.host import PREFIX, missing
from tests.e2e.lab import Lab


@pytest.fixture(scope="session")
def machine() -> None:
    """Skips, saying what is missing; clears what killed runs left."""
    if what := missing():
        pytest.skip(what)
    sweep(PREFIX)


@pytest.fixture(scope="module")
def lab(machine: None) -> Iterator[Lab]:
    """A lab for all tests of a module."""
    with Lab() as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    given = getattr(item, "funcargs", {}).values()
    labs = {lab for each in given if isinstance(lab := getattr(each, "lab", each), Lab)}
    for appliance in (appliance for lab in labs for appliance in lab.appliances) if report.failed else ():
        report.sections.append((f"log of {appliance.host.name}", appliance.log()))
    return report
