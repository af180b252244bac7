"""Frames handed over are limited in rate, but no kind of them, and no nic, at the expense of another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from appliance.flow.records import Punt
from appliance.runtime.punts import ANSWER_RATE, RATES, Punts

OWN = {(nic, 4): 0x0A000001 + (nic << 8) for nic in (0, 1)}
FLOOD = 5000


class Link:
    """What is sent, by nic."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []

    def send(self, nic: int, frame: bytes) -> bool:
        self.sent.append((nic, frame))
        return True

    def lookup(self, *tuple5: int) -> None:
        """There is no flow."""

    def of(self, nic: int) -> list[Any]:
        return [Ether(frame)[ICMP] for sender, frame in self.sent if sender == nic]


@pytest.fixture
def link() -> Link:
    return Link()


@pytest.fixture
def punts(link: Link) -> Punts:
    made = Punts(cast(Any, link), {}, 9, b"\2\0\0\0\0\1")
    made.ruleset = cast(Any, SimpleNamespace(primary=OWN))
    return made


def punt(reason: str, nic: int = 0) -> Punt:
    ethernet = Ether(src="02:00:00:00:00:aa", dst="02:00:00:00:00:bb")
    frame = ethernet / IP(src="10.0.9.9", dst="10.1.0.1", flags="DF") / UDP() / Raw(bytes(600))
    return Punt(reason=reason, nic=nic, queue=0, frame=bytes(frame), flow=-1, mtu=576)


def flood(punts: Punts, now: float) -> None:
    one = punt("ttl")
    for _ in range(FLOOD):
        punts.handle(one, now)


def test_a_flood_takes_its_own_share_and_none_of_other_errors_or_other_nics(punts: Punts, link: Link) -> None:
    flood(punts, 1.0)
    assert len(link.sent) == ANSWER_RATE[1] and punts.unanswered["rate-limit"] == FLOOD - ANSWER_RATE[1]
    punts.handle(punt("too-big"), 1.0)
    assert (link.of(0)[-1].type, link.of(0)[-1].code, link.of(0)[-1].nexthopmtu) == (3, 4, 576)
    punts.handle(punt("ttl", nic=1), 1.0)
    assert [message.type for message in link.of(1)] == [11]


def test_an_answer_without_room_on_its_way_is_counted_as_not_sent(punts: Punts, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "send", lambda nic, frame: False)
    punts.handle(punt("ttl"), 1.0)
    assert punts.unanswered == {"not-sent": 1}


def test_a_share_comes_back_with_time(punts: Punts, link: Link) -> None:
    for now in (1.0, 2.0):
        flood(punts, now)
    rate, burst = ANSWER_RATE
    assert len(link.sent) == burst + min(burst, rate)


def test_what_is_to_be_cut_beyond_the_rate_is_dropped_by_that_name(punts: Punts) -> None:
    for _ in range(FLOOD):
        punts.handle(punt("cut"), 1.0)
    assert punts.drops == {"deleted": RATES["cut"][1], "punt-rate": FLOOD - RATES["cut"][1]}
