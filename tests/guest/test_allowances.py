"""A card held to allowances under a stock driver, which shows them by the names that EC2 gave them."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import pytest

from ena_dev.device.allowances import Allowances
from ena_dev.port.tap import TapPort
from tests.guest.cards import Cards, personality
from tests.guest.lab import KERNELS, Far, boot


@pytest.mark.guest
@pytest.mark.parametrize("kernel", KERNELS)
def test_an_unmodified_driver_shows_what_exceeded_an_allowance(far: Far, cards: Cards, tmp_path: Path, kernel: str) -> None:
    card = cards.serve(tmp_path / "card.sock", far.call(TapPort, "far", 4), personality())
    far.use("far")

    def allow(words: list[str]) -> None:
        cards.call(card.device.set_allowances, Allowances.parse("".join(words)))

    def counted(words: list[str]) -> None:
        exceeded = astuple(cards.call(card.device.allowance_statistics))[:5]
        assert [int(word) for word in words] == list(exceeded)

    said = boot(kernel, "allowances.sh", [card.socket], host={"allow": allow, "counted": counted})
    assert said.well, said
    assert len(said.verdicts) >= 20, said
