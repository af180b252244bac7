"""The compiled flow program with frames of all kinds, and decisions that come at once, late, wrong, twice or never.

Whether a flow is translated, and how, follows from its tuple alone, so that for each frame that leaves it is known whether it may look
as it does: no packet of a bound tuple leaves untranslated. Each input ends all its flows.
"""

from __future__ import annotations

from appliance.flow.reasons import NUMBERS
from appliance.flow.records import Miss, Tuple5
from tests.appliance.flow.bench import L4_GOOD, PARTIAL, Bench
from tests.fuzz.decode import Decisions
from tests.fuzz.frames import Frames, Place
from tests.fuzz.kept import Kept
from tests.fuzz.leaving import Left, check_sums, read

LAN, WAN, OWN = 0, 1, 2
HIDING = {4: "203.0.113.7", 6: "2001:db8:2::7"}
SERVER = {4: "192.168.1.20", 6: "2001:db8:1::20"}
PLACES = [
    Place.of(Bench.MACS[LAN], Bench.HOSTS[LAN], "192.168.1.9", "192.168.1.10", SERVER[4], "2001:db8:1::9", "2001:db8:1::10", SERVER[6]),
    Place.of(Bench.MACS[WAN], Bench.HOSTS[WAN], "203.0.113.9", "198.51.100.9", "2001:db8:2::9", "2001:db8:3::9"),
    Place.of(Bench.MACS[OWN], Bench.HOSTS[OWN], HIDING[4], "192.168.1.1", HIDING[6], "2001:db8:1::1"),
]
WHERE = {int.from_bytes(each, "big"): nic for nic, place in enumerate(PLACES) for v in (4, 6) for each in place.addresses[v]}
HIDDEN = {v: int.from_bytes(PLACES[OWN].addresses[v][0], "big") for v in (4, 6)}
INSIDE = {v: int.from_bytes(PLACES[LAN].addresses[v][2], "big") for v in (4, 6)}
REASONS = (*NUMBERS, *("policy", "rejected", "no-route", "not-a-start") * 10)
TIMES = (0.0, 0.001, 0.5, 1.1, 29.0, 31.0, 130.0, 8000.0)
MTUS = (1500, 1500, 1280, 576, 9000)
ICMP = {4: 1, 6: 58}
ECHO_REQUEST = {4: 8, 6: 128}
Ends = tuple[int, bytes, bytes, int | None, int | None]


class Site:
    """A bench, and what one input has told it."""

    def __init__(self) -> None:
        self.bench = Bench()

    def begin(self, dice: Decisions) -> None:
        self.frames = Frames(dice, PLACES)
        self.expected: list[set[Ends]] = [set() for _ in PLACES]
        self.known: list[Miss] = []
        self.own: set[bytes] = set()
        self.tidy()

    def tidy(self) -> None:
        """Neighbours are known, and links as wide as most."""
        for nic in range(len(PLACES)):
            self.bench.worker.set_adjacency(nic + 1, nic, Bench.HOSTS[nic])
            self.bench.worker.set_mtu(nic, 1500)
        self.bench.round()

    def step(self, dice: Decisions) -> None:
        """One thing that happens, and what leaves then."""
        kind = dice.below(16)
        if kind < 9:
            self.receive(dice)
            self.answer(dice) if kind < 7 else self.bench.round()
        elif kind < 11:
            self.answer(dice)
        elif kind == 11:
            self.receive_large(dice)
        elif kind == 12:
            self.bench.round(dice.choice(TIMES))
        else:
            self.disturb(dice)
        self.look()

    def end(self) -> None:
        """All flows end, and everything is where it was."""
        self.tidy()
        for _ in range(2):
            self.bench.round(8000)
            self.look()
            self.take()
        self.bench.check_conservation()
        assert self.bench.states() == {}, "a flow outlives all its timeouts"
        pool, census = self.bench.pool, self.bench.pool.census()
        assert self.bench.worker.counters()["parked"] == census["parked"] == census["burst"] == pool.mistakes == 0, census
        assert sum(census.values()) == pool.count and census["pool"] == pool.free, census

    def close(self, failed: BaseException | None = None) -> None:
        if failed is None:
            self.bench.close()

    # -- in ------------------------------------------------------------------------------------------------------------

    def receive(self, dice: Decisions) -> None:
        nic = dice.below(len(PLACES))
        frames = [self.frames.make(nic) for _ in range(1 + dice.below(4))]
        flags = dice.choice((0, 0, L4_GOOD, 4, 8)) if self.frames.damages else dice.choice((0, L4_GOOD))
        self.bench.receive(nic, *frames, flags=flags)

    def receive_large(self, dice: Decisions) -> None:
        """What a card has put together, or its checksum left to the next one."""
        nic, self.frames.damages = dice.below(len(PLACES)), True
        flags, segment = dice.choice((PARTIAL, PARTIAL | L4_GOOD)), dice.choice((0, 0, 100, 1460))
        self.bench.receive(nic, self.frames.make(nic), flags=flags, segment=segment)

    # -- decisions -----------------------------------------------------------------------------------------------------

    def take(self) -> list[Miss]:
        """The flows to decide, refused ones too."""
        misses: list[Miss] = []
        for cards in self.bench.cards:
            work = cards[0].program.take()
            misses += work.misses + [refused.miss for refused in work.refused]
        return misses

    def answer(self, dice: Decisions) -> None:
        for miss in self.take():
            self.known.append(miss)
            match dice.below(16):
                case 0:
                    pass
                case 1 | 2:
                    reason = dice.choice(REASONS)
                    self.bench.worker.deny(miss.flow, 2, 1, reason, dice.choice((0.5, 1.0, 60.0)))
                case _:
                    self.allow(dice, miss)
        self.bench.round()

    def allow(self, dice: Decisions, miss: Miss) -> None:
        reply = self.reply(miss, 50000 + dice.below(4))
        egress = WHERE.get(reply[0])
        if egress is None or egress == miss.nic or miss.icmp_type not in (-1, ECHO_REQUEST[miss.version]):
            self.bench.worker.deny(miss.flow, 3, 1, "policy")
            return
        self.expect(egress, miss.version, miss.protocol, (reply[1], reply[0], reply[3], reply[2]))
        self.expect(miss.nic, miss.version, miss.protocol, (miss.destination, miss.source, miss.dport, miss.sport))
        self.bench.worker.install(
            miss.flow, miss.version, miss.protocol, reply, egress, egress + 1, miss.nic + 1, 1, 1,
            decrement=OWN not in (egress, miss.nic), liberal=dice.chance(32), audit=dice.below(2), target=dice.below(3),
        )  # fmt: skip

    def reply(self, miss: Miss, port: int) -> Tuple5:
        """The tuple of answers: by the flow's own, it is passed as it is, hidden, led to a server inside, or both."""
        source, destination, sport, dport = miss.source, miss.destination, miss.dport, miss.sport
        echo = miss.icmp_type >= 0
        kind = (miss.sport + miss.dport + (miss.source ^ miss.destination)) & 3
        source = INSIDE[miss.version] if kind & 2 and miss.nic == WAN else miss.destination
        destination = HIDDEN[miss.version] if kind & 1 and miss.nic == LAN else miss.source
        if destination != miss.source:
            dport = port if miss.protocol in (6, 17) or echo else 0
        if source != miss.destination and miss.protocol in (6, 17):
            sport = 8080
        return source, destination, dport if echo else sport, dport

    def expect(self, nic: int, version: int, protocol: int, ends: Tuple5) -> None:
        source, destination = (each.to_bytes(4 if version == 4 else 16, "big") for each in ends[:2])
        self.expected[nic] |= {(protocol, source, destination, *ends[2:]), (protocol, source, destination, None, None)}

    # -- other things that happen --------------------------------------------------------------------------------------

    def disturb(self, dice: Decisions) -> None:
        worker, miss = self.bench.worker, self.known[dice.below(len(self.known))] if self.known else None
        kind, nic = dice.below(8), dice.below(len(PLACES))
        match kind:
            case 0 | 1 | 2 if miss is None:
                worker.delete(dice.word(8), "policy")
            case 0 if miss:
                worker.delete(miss.flow, "deleted")
            case 1 if miss:
                worker.deny(miss.flow, 4, 2, "policy")
            case 2 if miss:
                self.allow(dice, miss)
            case 3:
                worker.set_adjacency(1 + nic, nic, None if dice.chance(128) else Bench.HOSTS[nic])
            case 4:
                worker.clear_adjacency(1 + nic, nic)
            case 5:
                worker.set_mtu(nic, dice.choice(MTUS))
            case 6:
                worker.install(dice.word(8), 4, 17, (1, 2, 3, 4), nic, 1, 2, 1, 1)
            case 7:
                frame = dice.take(14 + dice.byte())
                self.own.add(frame)
                worker.send(nic, frame)
        self.bench.round()

    # -- out -----------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """What has left since the last look may be what it is."""
        for nic, [card] in enumerate(self.bench.cards):
            for sent in card.sent():
                if sent.data in self.own:
                    continue
                left = read(sent.data)
                assert left is not None, "something else than IP left"
                assert left.ends in self.expected[nic] or self.echoed(left, nic), f"left nic {nic} as nobody decided: {left}"
                if not self.frames.damages and not sent.tso:
                    check_sums(left, sent.partial)
                if left.sport is not None:
                    self.frames.heard[nic].append(left)

    def echoed(self, left: Left, nic: int) -> bool:
        """ICMP that is neither question nor answer has an identifier all the same: it is of its flow by addresses."""
        return left.protocol == ICMP[left.version] and (left.protocol, left.source, left.destination, None, None) in self.expected[nic]


program = Kept(Site, longest=48, inputs=256)
"""Any frames, decisions and times."""
