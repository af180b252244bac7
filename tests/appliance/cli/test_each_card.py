"""How the arguments of several cards are told apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.cli.each_card import pieces


@pytest.mark.parametrize(("arguments", "cards"), [
    ("", [""]),
    ("--tap t", ["--tap t"]),
    ("--vfio-user a --tap t", ["--vfio-user a --tap t"]),
    ("--vfio-user a --tap t --vfio-user=b --cable a", ["--vfio-user a --tap t", "--vfio-user=b --cable a"]),
    ("--queues 2 --vfio-user a --vfio-user b", ["--queues 2 --vfio-user a", "--queues 2 --vfio-user b"]),
    ("--vfio-user a --log-level x --tap t --vfio-user b", ["--log-level x --vfio-user a --tap t", "--log-level x --vfio-user b"]),
    ("--vfio-user a --log-level=debug --tap t", ["--log-level=debug --vfio-user a --tap t"]),
    ("--vfio-user a --log-level", ["--log-level --vfio-user a"]),
    ("--vfio-user a --help", ["--vfio-user a --help"]),
    ("--polled a --tap t --vfio-user b --polled=c", ["--polled a --tap t", "--vfio-user b", "--polled=c"]),
])  # fmt: skip
def test_each_card_begins_with_its_socket(arguments: str, cards: list[str]) -> None:
    assert [" ".join(card) for card in pieces(arguments.split())] == cards


OPTIONS = st.lists(st.sampled_from(["--tap=x", "--queues", "2", "--record=f"]), max_size=4)


@given(shared=OPTIONS, cards=st.lists(OPTIONS, min_size=1, max_size=5))
def test_no_argument_is_lost_or_given_to_another_card(shared: list[str], cards: list[list[str]]) -> None:
    given_arguments = [*shared, *(word for n, card in enumerate(cards) for word in ("--vfio-user", f"{n}", *card))]
    assert pieces(given_arguments) == [[*shared, "--vfio-user", f"{n}", *card] for n, card in enumerate(cards)]
