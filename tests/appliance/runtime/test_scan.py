"""A scan of 100,000 addresses through one nic, in virtual time: who is in use, was known, or is asked for by others is found all the same.

The compiled side is a dict, the link answers for those who are there. Source: RFC 6583.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from random import Random
from typing import Any, cast

import pytest

from appliance.runtime.adjacencies import LIMIT, Adjacencies
from appliance.runtime.neighbours import Neighbourhood
from ena_dev.packet import build

MAC = bytes.fromhex("020000000001")
LAN = 3
SCANNER, OTHERS = 0, 1
OWN = {4: ip_interface("10.1.0.1/16"), 6: ip_interface("2001:db8:1::1/64")}
GOOD, LATE, REBOOTS = range(2, 22), 100, 101
"""Host parts of addresses: in use all the time; asked for first during the scan; silent for a while."""
SCANNED, SECONDS = 100_000, 60
IDLE = 120.0
"""Seconds for which a flow without an answer keeps its next hop."""


def host(version: int, number: int) -> int:
    return int(OWN[version].network.network_address) + number


class Compiled:
    """What the data thread was told of each number, and what it knows by itself."""

    def __init__(self) -> None:
        self.told: dict[int, bytes | None] = {}
        self.used: dict[int, float] = {}
        self.until: dict[int, float] = {}
        self.now = 0.0

    def set_adjacency(self, index: int, nic: int, mac: bytes | None) -> bool:
        self.told[index] = mac
        return True

    def clear_adjacency(self, index: int, nic: int) -> bool:
        self.told.pop(index, None)
        return True

    def adjacency_used(self, index: int) -> float:
        return self.used.get(index, 0.0)

    def adjacency_flows(self, index: int) -> int:
        return int(self.until.get(index, 0.0) > self.now)


class Link:
    """Hosts that answer at once, while they are there."""

    def __init__(self, version: int) -> None:
        self.version, self.compiled, self.there = version, Compiled(), {host(version, number) for number in (*GOOD, LATE, REBOOTS)}
        self.asked: Counter[int] = Counter()
        self.answers: list[bytes] = []
        adjacencies = Adjacencies(self.compiled)
        self.hood = Neighbourhood(LAN, MAC, adjacencies, self.send, Random(1))
        self.hood.configure(OWN.values(), [interface.ip for interface in OWN.values()])
        self.now = 1000.0

    def send(self, frame: bytes) -> bool:
        if frame[12:14] == b"\x08\x06" and frame[21] == 1:
            target = int.from_bytes(frame[38:42])
        elif frame[12:14] == b"\x86\xdd" and frame[54] == 135:
            target = int.from_bytes(frame[62:78])
        else:
            return True
        self.asked[int(self.now)] += 1
        if target in self.there:
            self.answers.append(self.answer(target))
        return True

    def answer(self, target: int) -> bytes:
        address = cast(Any, ip_address(target.to_bytes(4 if self.version == 4 else 16)))
        mac = self.mac(target)
        if self.version == 4:
            return build.arp_reply(mac, address, MAC, cast(Any, OWN[4].ip))
        return build.neighbor_advertisement(mac, address, MAC, cast(Any, OWN[6].ip))

    def mac(self, target: int) -> bytes:
        return b"\x06\0" + (target & 0xFFFFFFFF).to_bytes(4)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.compiled.now = self.now
        self.hood.tick(self.now)
        while self.answers:
            (self.hood.heard_arp if self.version == 4 else self.hood.heard_nd)(self.answers.pop(), self.now)

    def flow(self, number: int, asker: int) -> int | None:
        """A flow to a host begins, or goes on: its next hop's number, if it gets one."""
        index = self.hood.adjacency(self.version, host(self.version, number), self.now, asker)
        if index is not None:
            self.compiled.used[index], self.compiled.until[index] = self.now, self.now + IDLE
        return index

    def found(self, number: int, asker: int) -> bool:
        """Whether a flow to a host that is there reaches it, a millisecond later at most."""
        index = self.flow(number, asker)
        self.pass_time(0.001)
        return index is not None and self.compiled.told.get(index) == self.mac(host(self.version, number))

    def scan(self, seconds: int = SECONDS) -> Iterator[int]:
        """A hundredth of a second each, with its share of the addresses."""
        each = SCANNED // SECONDS // 100
        for step in range(seconds * 100):
            for number in range(each):
                self.flow(1000 + step * each + number, SCANNER)
            self.pass_time(0.01)
            yield step


@pytest.fixture(params=[4, 6])
def link(request: pytest.FixtureRequest) -> Link:
    return Link(request.param)


def test_who_is_in_use_stays_reachable_and_a_scan_takes_its_share_alone(link: Link) -> None:
    assert all(link.found(number, OTHERS) for number in GOOD)
    numbers = [cast(int, link.flow(number, OTHERS)) for number in GOOD]
    macs = [link.mac(host(link.version, number)) for number in GOOD]
    for step in link.scan():
        for index in numbers:
            link.compiled.used[index] = link.now
        assert [link.compiled.told[index] for index in numbers] == macs
        assert step % 100 or len(link.hood.entries()) <= 1024
    states = {entry["mac"]: entry["state"] for entry in link.hood.entries()}
    assert {states[mac.hex(":")] for mac in macs} <= {"reachable", "stale", "delay"}
    assert max(link.asked.values()) <= 450  # a hundred strangers a second, each asked for three times; and a hundred at once
    assert len(link.hood._hops) < LIMIT // 2


def test_others_find_neighbours_that_nobody_has_met_during_a_scan(link: Link) -> None:
    for step in link.scan(10):
        if step == 500:
            assert link.found(LATE, OTHERS)


def test_who_comes_back_is_found_at_once_by_the_scanners_own_way(link: Link) -> None:
    assert link.found(REBOOTS, OTHERS)
    link.pass_time(60.0)  # stale
    link.there.discard(host(link.version, REBOOTS))
    for step in link.scan(20):
        if step < 1500 and step % 50 == 0:
            link.flow(REBOOTS, OTHERS)
        elif step == 1500:
            assert not link.found(REBOOTS, OTHERS)
            link.there.add(host(link.version, REBOOTS))
        elif step == 1900:
            assert link.found(REBOOTS, SCANNER)


def test_two_that_scan_together_leave_room_for_a_third(link: Link) -> None:
    for step in link.scan(10):
        for number in range(20):
            link.flow(50_000 + step * 20 + number, 5)
    assert link.found(LATE, OTHERS)


def test_a_scan_that_is_over_leaves_nothing(link: Link) -> None:
    for _ in link.scan(10):
        pass
    for _ in range(30):
        link.pass_time(10.0)
    assert link.hood.entries() == [] and not link.hood._hops
