"""The stock Linux driver on the card: a virtual machine with Debian's kernel, nothing of it changed, its counters as the witness."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.lab import KERNELS, boot


@pytest.mark.guest
@pytest.mark.parametrize("kernel", KERNELS)
def test_an_unmodified_driver_does_a_days_work(card: Path, kernel: str) -> None:
    said = boot(kernel, "ena-tour.sh", [card])
    assert said.well, said
    assert len(said.verdicts) >= 30, said
