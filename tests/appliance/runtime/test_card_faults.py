"""Faults as people write them, and what a card does of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.runtime.card_faults import FaultOrder, read, read_packets
from ena_dev.device.interfaces import DataFaults
from ena_dev.errors import UsageError


def test_packet_faults_are_told_by_name_and_unit() -> None:
    assert read_packets("") == DataFaults()
    assert read_packets("loss=0.25, delay=10ms,duplicate=100%,seed=9") == DataFaults(seed=9, loss=0.25, delay=0.01, duplication=1.0)
    assert read_packets("jitter=500us,reorder=0,delay=1") == DataFaults(jitter=0.0005, delay=1.0)


def test_what_an_order_does_not_name_stays() -> None:
    before = DataFaults(seed=3, loss=0.5, delay=0.1)
    assert read("loss=0.1").data(before) == DataFaults(seed=3, loss=0.1, delay=0.1)
    assert read("none").data(before) == DataFaults(seed=3)
    assert read("none,delay=1s").data(before) == DataFaults(seed=3, delay=1.0)


def test_faults_spent_once_are_read_with_their_counts() -> None:
    order = read("miss-keep-alives=8,link-flap=2s,withhold-completions=3")
    assert order == FaultOrder({}, False, (("miss-keep-alives", 8), ("withhold-completions", 3)), 2.0)


@pytest.mark.parametrize("once", ["miss-keep-alives=1", "link-flap=2s"])
def test_a_card_that_begins_takes_no_fault_that_its_first_reset_would_end(once: str) -> None:
    with pytest.raises(UsageError, match="softena card fault PATH"):
        read_packets(f"loss=1%,{once}")


@pytest.mark.parametrize("text", [
    "", "loss", "loss=", "loss=2", "loss=101%", "loss=-1", "loss=nan", "loss=1e3", "loss=1s", "delay=5%", "delay=inf", "delay=99999",
    "seed=1.5", "miss-keep-alives=0.5", "miss-keep-alives=99999999999", "link-flap=0", "x=1", "none=1", "loss=0.1,,delay=1",
])  # fmt: skip
def test_what_is_no_fault_is_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(UsageError, match="write"):
        read(text)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        order = read(text)
    except UsageError:
        return
    assert 0 <= order.data(DataFaults()).loss <= 1
