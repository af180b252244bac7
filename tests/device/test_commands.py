"""Opcodes: what is unknown, and what breaks inside."""

from __future__ import annotations

import pytest

from tests.device.conftest import Bench


@pytest.mark.parametrize("opcode", [0, 5, 6, 7, 10, 12, 255])
def test_an_unknown_opcode_is_unsupported(bench: Bench, opcode: int) -> None:
    assert bench.driver.command(opcode).status == 3


def test_a_mistake_of_the_card_is_answered_and_logged(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("counters")

    monkeypatch.setattr(bench.engine, "statistics", broken)
    assert bench.driver.stats().status == 6
    assert "ZeroDivisionError: counters" in caplog.text
    assert bench.driver.get(1).status == 0
