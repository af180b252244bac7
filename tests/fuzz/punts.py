"""What Python reads of frames that the compiled path handed over: ARP, neighbour discovery, ICMP errors and what they quote.

Unlike the wires of `packets`, these get frames that no sieve has seen. What comes back is well formed, and answers no error.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address
from random import Random

from appliance.runtime.adjacencies import Adjacencies
from appliance.runtime.errors import refusal, router_error, translate_error
from appliance.runtime.neighbours import Neighbourhood
from appliance.runtime.translate import Ends, address_of
from ena_dev.packet.build import IcmpError
from tests.fuzz.decode import Decisions
from tests.fuzz.frames import Frames, Place
from tests.fuzz.leaving import ICMP, ICMPV6, Left, check_sums, read

LONGEST = 64
HERE = bytes.fromhex("0200000000a0")
OWN = [IPv4Interface("192.168.1.1/24"), IPv6Interface("2001:db8:1::1/64")]
PLACES = [
    Place.of(HERE, bytes.fromhex("020000000010"), "192.168.1.9", "192.168.1.10", "192.168.1.1", "2001:db8:1::9", "2001:db8:1::1", "::"),
    Place.of(HERE, bytes.fromhex("020000000011"), "203.0.113.9", "2001:db8:2::9"),
]
INSIDE = {v: [ip_address(each) for each in place.addresses[v]] for place in PLACES[:1] for v in (4, 6)}
MOST_NEIGHBOURS = 4096


class Told:
    """Adjacencies that are only remembered."""

    def __init__(self) -> None:
        self.macs: dict[int, bytes | None] = {}

    def set_adjacency(self, index: int, nic: int, mac: bytes | None) -> bool:
        assert mac is None or len(mac) == 6
        self.macs[index] = mac
        return True

    def clear_adjacency(self, index: int, nic: int) -> bool:
        self.macs.pop(index, None)
        return True

    def adjacency_used(self, index: int) -> float:
        return 0.0

    def adjacency_flows(self, index: int) -> int:
        return 0


class Site:
    """One link, and what is said on it."""

    def __init__(self, dice: Decisions) -> None:
        self.now, self.sent, self.dice = 100.0, list[bytes](), dice
        self.neighbours = Neighbourhood(0, HERE, Adjacencies(Told()), self.sent.append, Random(1))
        self.neighbours.configure(OWN, [each.ip for each in OWN])
        self.frames = Frames(dice, PLACES)

    def step(self) -> None:
        dice = self.dice
        frame, kind = self.frames.make(0), dice.below(8)
        match kind:
            case 0 | 1:
                self.neighbours.heard_arp(frame, self.now)
            case 2 | 3:
                self.neighbours.heard_nd(frame, self.now)
            case 4:
                source = ours(frame)
                self.answered(frame, router_error(frame, dice.choice(tuple(IcmpError)), source, dice.choice((0, 68, 1280, 65535))))
            case 5:
                self.answered(frame, refusal(frame, dice.choice((None, ours(frame)))))
            case 6:
                self.translated(frame)
            case 7:
                self.now += dice.choice((0.1, 1.0, 30.0, 300.0))
                self.neighbours.adjacency(4, int(INSIDE[4][dice.below(2)]), self.now)
                self.neighbours.adjacency(6, int(INSIDE[6][dice.below(2)]), self.now)
                self.neighbours.tick(self.now)

    def answered(self, frame: bytes, answer: bytes | None) -> None:
        """By an error or a RST: whole, to the frame's sender, and about no error."""
        if answer is None:
            return
        left = whole(answer)
        asked = read_or_none(frame.ljust(66000, b"\0"))  # handed over was its beginning
        assert answer[:6] == frame[6:12], "the answer is for somebody else"
        assert asked is not None and asked.source == left.destination, "the answer is not to whom asked"
        assert not is_error(asked), "an error answers an error"

    def translated(self, frame: bytes) -> None:
        dice = self.dice
        other = Ends(int(INSIDE[4][0]), int(IPv4Address("198.51.100.9")), dice.word(2), dice.word(2))
        six = Ends(int(INSIDE[6][0]), int(IPv6Address("2001:db8:9::9")), dice.word(2), dice.word(2))
        found = translate_error(frame, lambda version, *about: None if dice.chance(32) else other if version == 4 else six)
        if found is not None:
            left = whole(bytes(12) + (b"\x08\0" if found.version == 4 else b"\x86\xdd") + found.packet)
            assert is_error(left) and left.destination == address_of(found.version, found.destination).packed

    def look(self) -> None:
        """What was said on the link is ARP or neighbour discovery, from us."""
        for frame in self.sent:
            assert frame[6:12] == HERE, "sent from another's MAC"
            left = read(frame)
            assert left is None or (135 <= left.kind <= 136 and left.packet[7] == 255)
            if left is not None:
                check_sums(left)
                self.frames.heard[0].append(left)
        self.sent.clear()
        assert len(self.neighbours.entries()) < MOST_NEIGHBOURS


def ours(frame: bytes) -> IPv4Address | IPv6Address:
    """Our address of the frame's IP version."""
    return OWN[frame[12:14] == b"\x86\xdd"].ip


def whole(frame: bytes) -> Left:
    left = read(frame)
    assert left is not None, "not an IP packet"
    check_sums(left)
    return left


def is_error(left: Left) -> bool:
    return (left.protocol == ICMP and left.version == 4 and left.kind in (3, 4, 5, 11, 12)) or (
        left.protocol == ICMPV6 and left.version == 6 and 0 <= left.kind < 128)


def punts(data: bytes) -> None:
    """Any frames that were handed over."""
    dice = Decisions(data)
    site = Site(dice)
    for left in range(LONGEST):
        if not dice.more:
            break
        if left == 0:
            seed(site, dice)
        site.step()
        site.look()


def seed(site: Site, dice: Decisions) -> None:
    """Something has left that errors may be about."""
    for _ in range(2):
        left = read_or_none(site.frames.make(1))
        if left is not None and left.sport is not None:
            site.frames.heard[0].append(left)


def read_or_none(frame: bytes) -> Left | None:
    """A frame that may be anything."""
    try:
        return read(frame)
    except (AssertionError, IndexError, struct.error):
        return None
