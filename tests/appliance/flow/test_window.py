"""Sequence numbers that a connection can have and those it can't: as in life, and as somebody would guess them."""

from collections.abc import Sequence
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from tests.appliance.flow.bench import Bench

SYN = {"o": 0xFFFFFF00, "r": 0x7FFFFFFF}
"""Both ends' first numbers: one wraps soon, the other changes its sign."""
WINDOW = 1000


def segment(bench: Bench, who: str, flags: str, seq: int, ack: int | None = None, size: int = 0, window: int = WINDOW, **more: Any) -> bool:
    """Whether a segment passes. Numbers count from each end's SYN."""
    other = "r" if who == "o" else "o"
    numbers = {"seq": (SYN[who] + seq) % 2**32, "ack": 0 if ack is None else (SYN[other] + ack) % 2**32, "window": window, "flags": flags}
    if who == "o":
        packet = IP(src="10.0.0.1", dst="10.9.9.9") / TCP(sport=1000, dport=80, **numbers, **more)
    else:
        packet = IP(src="10.9.9.9", dst="10.0.0.1") / TCP(sport=80, dport=1000, **numbers, **more)
    before = bench.drops().get("tcp-window", 0)
    bench.receive(0 if who == "o" else 1, packet / bytes(size))
    for miss in bench.misses():
        bench.allow(miss)
    passed = len(bench.sent(1 if who == "o" else 0))
    assert passed == (before == bench.drops().get("tcp-window", 0)), bench.drops()
    return bool(passed)


def connect(bench: Bench, scale: Sequence[int | None] = (None, None), window: int = WINDOW) -> None:
    """A handshake, each end with its window scale if it has one."""
    options = [[("WScale", each)] if each is not None else [] for each in scale]
    assert segment(bench, "o", "S", 0, window=window, options=options[0])
    assert segment(bench, "r", "SA", 0, 1, window=window, options=options[1])
    assert segment(bench, "o", "A", 1, 1, window=window)


def state(bench: Bench) -> str:
    [name] = bench.states()
    return name


def test_data_is_taken_as_far_as_the_window_was_offered(bench: Bench) -> None:
    connect(bench)
    assert segment(bench, "o", "A", 1, 1, 500)
    assert segment(bench, "o", "A", 1001, 1, 500), "it begins where the window ends: the receiver takes none of it, and says so"
    assert not segment(bench, "o", "A", 1002, 1, 500)
    assert not segment(bench, "o", "A", 70000, 1)
    assert segment(bench, "r", "A", 1, 501)
    assert segment(bench, "o", "A", 1501, 1, 500)


def test_retransmissions_pass_and_what_nobody_would_answer_does_not(bench: Bench) -> None:
    connect(bench)
    for at in range(1, 5001, 500):
        assert segment(bench, "o", "A", at, 1, 500)
        assert segment(bench, "r", "A", 1, at + 500)
    assert segment(bench, "o", "A", 4501, 1, 500)
    assert segment(bench, "o", "A", 4002, 1, 1), "just within a window of the last"
    assert segment(bench, "o", "A", 3501, 1, 500) and not segment(bench, "o", "A", 3500, 1, 500)


def test_a_keep_alive_passes(bench: Bench) -> None:
    connect(bench)
    assert segment(bench, "r", "A", 1, 1, 300) and segment(bench, "o", "A", 1, 301)
    for _ in range(3):
        assert segment(bench, "o", "A", 0, 301) and segment(bench, "r", "A", 301, 1)
        assert segment(bench, "r", "A", 300, 1, 1) and segment(bench, "o", "A", 1, 301)


def test_only_what_was_sent_is_acknowledged(bench: Bench) -> None:
    connect(bench)
    assert segment(bench, "o", "A", 1, 1, 500)
    assert not segment(bench, "r", "A", 1, 502)
    assert not segment(bench, "r", "A", 1, 501 + 2**31 - 5)
    assert segment(bench, "r", "A", 1, 501)
    assert segment(bench, "r", "A", 1, 1), "a late one"
    assert not segment(bench, "r", "A", 1, -66000)


def test_selective_acknowledgements_are_of_what_was_sent_too(bench: Bench) -> None:
    connect(bench)
    assert segment(bench, "o", "A", 1, 1, 100) and segment(bench, "o", "A", 501, 1, 500)

    def sack(left: int, right: int) -> bool:
        edges = tuple((SYN["o"] + edge) % 2**32 for edge in (left, right))
        return segment(bench, "r", "A", 1, 101, options=[("NOP", None), ("NOP", None), ("SAck", edges)])

    assert sack(501, 1001)
    assert not sack(501, 1002)
    assert sack(1, 51), "a duplicate one"


def test_windows_are_scaled_if_both_ends_say_so(bench: Bench) -> None:
    connect(bench, (0, 7))
    assert segment(bench, "r", "A", 1, 1)
    assert segment(bench, "o", "A", 1 + 127 * WINDOW, 1, 10) and not segment(bench, "o", "A", 2 + 128 * WINDOW, 1, 10)
    assert segment(bench, "r", "A", 1 + WINDOW, 1, 1) and not segment(bench, "r", "A", 2 + WINDOW, 1, 10)


def test_nor_if_one_end_does_not(bench: Bench) -> None:
    connect(bench, (None, 7))
    assert segment(bench, "r", "A", 1, 1)
    assert segment(bench, "o", "A", 1 + WINDOW, 1, 1) and not segment(bench, "o", "A", 2 + WINDOW, 1, 1)


def test_the_window_of_a_syn_is_not_scaled(bench: Bench) -> None:
    connect(bench, (7, 7))
    assert not segment(bench, "o", "A", 2 + WINDOW, 1, 10)


def test_a_scale_beyond_fourteen_is_fourteen(bench: Bench) -> None:
    connect(bench, (0, 200))
    assert segment(bench, "r", "A", 1, 1, window=1)
    assert segment(bench, "o", "A", 1 + (1 << 14), 1, 1) and not segment(bench, "o", "A", 3 + (1 << 14), 1, 1)


def test_a_closed_window_is_probed_with_one_byte(bench: Bench) -> None:
    connect(bench, window=0)
    assert segment(bench, "o", "A", 1, 1, 1) and segment(bench, "r", "A", 1, 1, window=0)
    assert segment(bench, "o", "A", 1, 1, 1) and segment(bench, "r", "A", 1, 2, window=0)
    assert not segment(bench, "o", "A", 4, 1, 10)


@pytest.mark.parametrize(("who", "seq", "passes", "closes"), [
    ("o", 501, True, True),  # what the receiver waits for
    ("r", 301, True, True),
    ("o", 801, True, True),  # behind the last that was sent
    ("o", 802, True, False),  # in the window: a challenge
    ("o", 1500, True, False),
    ("o", 1501, False, False),  # right behind it
    ("o", -1000, False, False),
    ("r", 1302, False, False),
])  # fmt: skip
@pytest.mark.parametrize("flags", ["R", "RA"])
def test_a_reset_closes_by_its_exact_number(bench: Bench, who: str, seq: int, passes: bool, closes: bool, flags: str) -> None:
    connect(bench)
    assert segment(bench, "o", "A", 1, 1, 500) and segment(bench, "r", "A", 1, 501, 300) and segment(bench, "o", "A", 501, 301, 300)
    assert segment(bench, who, flags, seq, (301 if who == "o" else 501) if "A" in flags else None) is passes
    assert state(bench) == ("closed" if closes else "established")


def test_a_reset_that_answers_a_syn_acknowledges_it(bench: Bench) -> None:
    assert segment(bench, "o", "S", 0)
    for ack in (None, 0, 2, 500):
        assert not segment(bench, "r", "R" if ack is None else "RA", 0, ack) and state(bench) == "syn-sent"
    assert segment(bench, "r", "RA", 0, 1) and bench.states() == {}
    assert not bench.worker.counters()["misses"] - 1 and segment(bench, "o", "S", 0), "the next one is another connection"


def test_a_reset_that_answers_a_syn_again_needs_no_number_of_its_own(bench: Bench) -> None:
    assert segment(bench, "o", "S", 0) and segment(bench, "r", "SA", 0, 1)
    assert segment(bench, "o", "S", 0)
    assert not segment(bench, "r", "RA", 1 << 30, 2) and state(bench) == "syn-received"
    assert segment(bench, "r", "RA", 1 << 30, 1) and state(bench) == "closed"


def test_what_a_reset_acknowledges_is_of_no_interest(bench: Bench) -> None:
    connect(bench)
    assert segment(bench, "r", "RA", 1, 70000) and state(bench) == "closed"


def test_a_window_that_was_closed_from_the_start_is_probed_with_one_byte(bench: Bench) -> None:
    assert segment(bench, "o", "S", 0) and segment(bench, "r", "SA", 0, 1, window=0)
    assert segment(bench, "o", "A", 1, 1, 1) and segment(bench, "r", "A", 1, 1, window=0)
    assert segment(bench, "o", "A", 2, 1), "what the prober says next has the number behind its probe"
    assert not segment(bench, "o", "A", 3, 1, 1)


def test_data_may_follow_an_answer_to_a_syn_at_once(bench: Bench) -> None:
    assert segment(bench, "o", "S", 0) and segment(bench, "r", "SA", 0, 1)
    assert segment(bench, "r", "A", 1, 1, 500) and segment(bench, "r", "A", 501, 1, 500)
    assert not segment(bench, "r", "A", 1002, 1, 500), "the SYN offered no more"


def test_a_syn_begins_a_connection_after_something_else_that_could_not(bench: Bench) -> None:
    packet = IP(src="10.0.0.1", dst="10.9.9.9") / TCP(sport=1000, dport=80, seq=7, ack=9, flags="A")
    bench.receive(0, packet)
    [miss] = bench.misses()
    bench.worker.deny(miss.flow, 0, 1, "not-a-start")
    bench.round()
    bench.receive(0, packet)
    assert bench.sent(1) == [] and bench.misses() == []
    connect(bench)


def test_a_syn_into_a_connection_passes_to_be_challenged_and_changes_nothing(bench: Bench) -> None:
    connect(bench)
    assert segment(bench, "o", "S", 1 << 30)
    assert segment(bench, "r", "A", 1, 1) and segment(bench, "o", "A", 1, 1, 10)
    assert not segment(bench, "o", "A", 1 + (1 << 30), 1, 10)


def test_an_answer_to_a_syn_in_a_connection_passes_to_be_challenged_and_changes_nothing(bench: Bench) -> None:
    connect(bench)
    assert segment(bench, "r", "SA", 0, 1) and segment(bench, "r", "SA", 500, 1)
    assert not segment(bench, "o", "A", 1, 501), "nobody has sent what it acknowledges"
    assert not segment(bench, "r", "SA", 2 + WINDOW, 1)


def test_an_answer_to_a_syn_acknowledges_it(bench: Bench) -> None:
    assert segment(bench, "o", "S", 0)
    assert not segment(bench, "r", "SA", 0, 500) and not segment(bench, "r", "SA", 0, 2)
    assert segment(bench, "r", "SA", 0, 1)


def test_an_end_that_remembers_an_older_connection_is_reset_and_the_syn_said_again(bench: Bench) -> None:
    """RFC 9293, 3.5.1, figure 9: half open, and the flow of the older connection is forgotten here."""
    assert segment(bench, "o", "S", 0)
    assert segment(bench, "r", "A", 1 << 20, -5000)
    assert not segment(bench, "o", "R", -5001) and not segment(bench, "o", "R", -4999)
    assert segment(bench, "o", "R", -5000) and state(bench) == "syn-sent"
    connect(bench)
    assert not segment(bench, "o", "R", -5000) and state(bench) == "established"


def test_an_end_takes_its_syn_back_whatever_its_number(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9293, 3.10.7.4: a RST right behind a SYN ends it, at 0 as well: nobody has asked for another."""
    monkeypatch.setitem(SYN, "o", 2**32 - 1)
    assert segment(bench, "o", "S", 0) and segment(bench, "o", "R", 1)
    assert bench.states() == {}


def test_an_answer_to_an_older_syn_answers_none(bench: Bench) -> None:
    assert segment(bench, "o", "S", 0)
    assert not segment(bench, "r", "SA", 7000, 0) and not segment(bench, "r", "SA", 7000, -500)
    assert state(bench) == "syn-sent"
    assert segment(bench, "r", "SA", 0, 1) and segment(bench, "o", "A", 1, 1)


def test_an_answer_may_acknowledge_a_syn_without_its_data(bench: Bench) -> None:
    assert segment(bench, "o", "S", 0, size=100)
    assert not segment(bench, "r", "SA", 0, 0) and segment(bench, "r", "SA", 0, 1) and segment(bench, "o", "A", 1, 1, 100)


def test_data_of_an_answer_to_a_syn_is_in_its_window(bench: Bench) -> None:
    """RFC 7413, 3: what comes with a SYN+ACK is counted from the SYN's number as all else."""
    assert segment(bench, "o", "S", 0) and segment(bench, "r", "SA", 0, 1, 600)
    assert segment(bench, "r", "A", 601, 1, 400) and segment(bench, "r", "A", 1001, 1)
    assert not segment(bench, "r", "A", 1002, 1)


@pytest.mark.parametrize("ends", [[], [("o", "FA", 1, 1)], [("r", "FA", 1, 1)], [("o", "FA", 1, 1), ("r", "FA", 1, 1)]])
def test_a_connection_that_both_ends_have_lost_begins_anew(bench: Bench, ends: list[tuple[str, str, int, int]]) -> None:
    """RFC 9293, 3.5.1: half-open, or closed without a word. The SYN passes to be challenged; it is answered by another instead."""
    connect(bench)
    assert all(segment(bench, *each) for each in ends)
    new, other = 1 << 30, 1 << 29
    assert segment(bench, "o", "S", new, options=[("WScale", 2)])
    assert not segment(bench, "r", "SA", other, new) and not segment(bench, "r", "SA", other, new + 2)
    assert segment(bench, "r", "SA", other, new + 1, options=[("WScale", 3)]) and state(bench) == "syn-received"
    assert segment(bench, "r", "SA", other, new + 1, options=[("WScale", 3)]), "again"
    assert segment(bench, "o", "A", new + 1, other + 1) and state(bench) == "established"
    assert segment(bench, "r", "A", other + 1 + 4 * WINDOW, new + 1, 1) and not segment(bench, "r", "A", other + 3 + 4 * WINDOW, new + 1, 1)
    assert not segment(bench, "o", "A", 1, 1), "the old numbers are over"


def test_an_originator_that_goes_on_has_not_begun_anew(bench: Bench) -> None:
    connect(bench)
    assert segment(bench, "o", "S", 1 << 30) and segment(bench, "o", "A", 1, 1, 10)
    assert not segment(bench, "r", "SA", 1 << 29, (1 << 30) + 1) and state(bench) == "established"
    assert segment(bench, "o", "S", 1 << 30) and segment(bench, "r", "A", 1, 11)
    assert not segment(bench, "r", "SA", 1 << 29, (1 << 30) + 1), "it was challenged, so there is a connection"


def test_nobody_begins_anew_by_an_answer_alone(bench: Bench) -> None:
    connect(bench)
    assert not segment(bench, "r", "SA", 1 << 29, (1 << 30) + 1)


def test_another_syn_before_an_answer_is_another_try(bench: Bench) -> None:
    assert segment(bench, "o", "S", 0) and segment(bench, "o", "S", 1 << 20)
    assert not segment(bench, "r", "SA", 0, 1)
    assert segment(bench, "r", "SA", 0, 1 + (1 << 20))


def test_simultaneous_open(bench: Bench) -> None:
    steps = [("o", "S", 0, None), ("r", "S", 0, None), ("o", "SA", 0, 1), ("r", "SA", 0, 1), ("o", "A", 1, 1), ("r", "A", 1, 1)]
    assert all(segment(bench, *step) for step in steps) and state(bench) == "established"
    assert not segment(bench, "r", "A", 2 + WINDOW, 1, 10)


def test_both_ends_close_one_after_the_other(bench: Bench) -> None:
    connect(bench)
    assert segment(bench, "o", "FA", 1, 1) and segment(bench, "r", "A", 1, 2) and segment(bench, "r", "A", 1, 2, 400)
    assert not segment(bench, "r", "A", 401, 3), "a FIN is one number"
    assert segment(bench, "o", "A", 2, 401) and segment(bench, "r", "FA", 401, 2) and segment(bench, "o", "A", 2, 402)
    assert state(bench) == "time-wait"


@pytest.mark.parametrize("options", [b"\5", b"\5\0", b"\5\1", b"\5\xff\0\0", b"\3\2\1\1", b"\5\6\0\0\0\0\0\0"])
def test_malformed_options_are_read_as_far_as_they_go(bench: Bench, options: bytes) -> None:
    connect(bench)
    raw = bytearray(bytes(IP(src="10.0.0.1", dst="10.9.9.9") / TCP(sport=1000, dport=80, flags="A", seq=(SYN["o"] + 1) % 2**32,
                                                                  ack=SYN["r"] + 1, options=[("NOP", None)] * len(options))))  # fmt: skip
    raw[40 : 40 + len(options)] = options
    bench.receive(0, bytes(Ether(src=bench.HOSTS[0], dst=bench.MACS[0], type=0x800)) + bytes(raw))
    assert len(bench.sent(1)) == 1
