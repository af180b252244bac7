"""The stock Linux driver with its Tx queues in the card's memory: entries of 128 and 256 bytes, checked by the far side's kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from ena_dev.abi.admin import Direction
from ena_dev.abi.features import FeatureId
from ena_dev.device.personality import STRANGERS_FEATURES, LlqLimits
from ena_dev.port.tap import TapPort
from tests.guest.cards import Cards, personality
from tests.guest.lab import KERNELS, Far, boot

LIMITS = {
    "plain": LlqLimits(),
    "demanding": LlqLimits(disable_meta_caching=True, max_tx_burst=0x4000, wide_depth=1024),
}


@pytest.mark.guest
@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_frames_begin_in_the_cards_memory(far: Far, cards: Cards, tmp_path: Path, kernel: str, limits: LlqLimits) -> None:
    wanted = personality(features=STRANGERS_FEATURES | {FeatureId.LLQ}, llq=limits)
    card = cards.serve(tmp_path / "card.sock", far.call(TapPort, "far", 4), wanted)
    far.use("far")
    memory = card.served.engine.device_memory
    assert memory is not None
    seen = [bytes(memory.size)]

    def lines(_: list[str]) -> str:
        """Whether anything was written there since the last time."""
        seen.append(cards.call(memory.read, 0, memory.size))
        assert seen[-1] != seen[-2], "no line was written"
        return "written"

    said = boot(kernel, "llq.sh", [card.socket], host={"lines": lines}, env={"FIRST": "128", "SECOND": "256"})
    assert said.well, said
    counters = cards.call(card.served.engine.counters, Direction.TX)
    assert {name: counters[name] for name in ("bad_doorbells", "long_bursts", "drop_malformed")} == dict.fromkeys(
        ("bad_doorbells", "long_bursts", "drop_malformed"), 0
    )
