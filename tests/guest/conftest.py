"""What guest tests share: a far side in a namespace, and cards in the test's own process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.host.namespaces import sweep
from tests.e2e.host import PREFIX, missing
from tests.guest.cards import Cards
from tests.guest.lab import Far, card_process


@pytest.fixture
def far() -> Iterator[Far]:
    """The network behind a card: a namespace, empty but for its loopback."""
    if what := missing():
        pytest.skip(what)
    sweep(PREFIX)
    with Far("guest") as made:
        assert isinstance(made, Far)
        yield made


@pytest.fixture
def card(far: Far, tmp_path: Path) -> Iterator[Path]:
    """The socket of a card of four queues, from `softena card serve`; its TAP is `far` in the far side."""
    with card_process(far, tmp_path / "card.sock", "--tap", "far", "--queues", "4") as socket:
        far.use("far")
        yield socket


@pytest.fixture
def cards() -> Iterator[Cards]:
    """Cards in the test's own process."""
    with Cards() as made:
        yield made
