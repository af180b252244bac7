"""What a card may not be."""

from __future__ import annotations

from typing import Any

import pytest

from ena_dev.abi.registers import Caps
from ena_dev.device.personality import Personality
from ena_dev.errors import UsageError

MAC = bytes.fromhex("025e00000001")


@pytest.mark.parametrize(
    "wrong",
    [
        {"mac": b"\2\0\0\0\0"},
        {"mac": bytes(6)},
        {"mac": b"\1\0\0\0\0\1"},
        {"max_queues": 0},
        {"max_queues": 129},
        {"tx_depth": 128},
        {"rx_depth": 1000},
        {"rx_depth": 1 << 16},
        {"max_mtu": 1000},
        {"default_mtu": 100},
        {"rss_table_log": 17},
        {"caps": Caps(0x3001)},
        {"moderation_resolution": 0},
    ],
    ids=str,
)
def test_values_no_driver_accepts_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="personality: "):
        Personality(**{"mac": MAC, **wrong})


def test_the_standard_card_offers_what_drivers_insist_on() -> None:
    card = Personality(mac=MAC)
    assert all(card.offers(feature) for feature in (1, 7, 11, 12, 14, 26, 28))
    assert not any(card.offers(feature) for feature in (2, 4, 24, 30, 31, 32, 255))
