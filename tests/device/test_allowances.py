from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ena_dev.device.allowances import Allowances
from ena_dev.errors import UsageError


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", Allowances()),
        ("bw-in=100M,bw-out=1G,pps=10k,conntrack=1000,linklocal=1024", Allowances(10**8, 10**9, 10**4, 1000, 1024)),
        (" bw-in = 2.5G , max-wait = 20ms ", Allowances(bw_in=25 * 10**8, max_wait=0.02)),
        ("max-wait=1.5", Allowances(max_wait=1.5)),
        ("max-wait=0", Allowances(max_wait=0)),
        ("max-wait=250us,pps=0", Allowances(max_wait=0.00025)),
    ],
)
def test_allowances_are_written_as_people_write_numbers(text: str, meant: Allowances) -> None:
    assert Allowances.parse(text) == meant


@pytest.mark.parametrize(
    "text", ["bw-in", "bw-in=", "bw=1M", "pps=10X", "pps=1ms", "max-wait=1k", "pps=-1", "pps=1 k", "pps=1,,pps=2", "bw_in=1"]
)
def test_what_means_nothing_is_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(
        UsageError, match=r"write KEY=NUMBER as in bw-in=100M, KEY is one of bw-in, bw-out, pps, conntrack, linklocal, max-wait"
    ):
        Allowances.parse(text)


@pytest.mark.parametrize("text", ["bw-in=1001G", "pps=1001M", "conntrack=5M", "max-wait=11"])
def test_what_no_card_can_do_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"an allowance is 0 to \d+"):
        Allowances.parse(text)


@given(st.text(max_size=30))
def test_any_text_is_allowances_or_a_mistake(text: str) -> None:
    try:
        Allowances.parse(text)
    except UsageError:
        return
