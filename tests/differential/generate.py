"""Models and sequences by chance, from one number: the same number gives the same run.

Most of a sequence is a plausible conversation, so that deep states are met; every few steps something is said that is not. TCP is led by
what both ends would know of each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from tests.differential.compare import Sequence
from tests.differential.model import Forward, Hide, Model, Rule, Static
from tests.differential.network import DMZ, LAN, LINKS, POOL, WAN
from tests.differential.packets import Flow, Step
from tests.differential.wire import ACK, CWR, ECE, ECHO_PROTOCOL, FIN, PSH, RST, SYN, TCP, UDP, URG

PORTS: Final = (80, 443, 53, 5000, 8443)
ZONES: Final = ("home", "internet", "dmz")
NETWORKS: Final = {
    4: ("10.1.0.0/16", "10.1.0.0/24", "10.1.0.10/32", "10.3.0.0/24", "10.3.0.20/32", "203.0.113.0/24", "198.51.100.0/24"),
    6: ("2001:db8:1::/64", "2001:db8:1::10/128", "2001:db8:3::/64", "2001:db8:3::20/128", "2001:db8:9::/48", "2001:db8:2::/64"),
}
POOLS: Final = {
    ("internet", 4): ("", POOL[4]), ("internet", 6): ("", POOL[6]), ("dmz", 4): ("",), ("dmz", 6): ("",),
}  # fmt: skip
"""Behind whom sources hide: the nic itself, or an address of a pool."""
STATICS: Final = (
    Static(4, "203.0.113.20/32", "10.1.7.12/32"), Static(4, "10.99.0.0/24", "10.1.0.0/24"),
    Static(6, "2001:db8:aa::/64", "2001:db8:1::/64"),
)  # fmt: skip
NAMED: Final = {
    STATICS[0]: (("10.1.7.12", "203.0.113.20"),),
    STATICS[1]: (("10.1.0.10", "10.99.0.10"), ("10.1.0.11", "10.99.0.11")),
    STATICS[2]: (("2001:db8:1::10", "2001:db8:aa::10"), ("2001:db8:1::712", "2001:db8:aa::712")),
}  # fmt: skip
"""Who is behind them, and how they are called outside."""
MANY: Final = 1 << 20
PATHS: Final = (*(("lan", "wan"),) * 3, ("lan", "dmz"), ("wan", "dmz"), ("dmz", "wan"), ("dmz", "lan"))


# -- models ----------------------------------------------------------------------------------------------------------------


def model(random: Random) -> Model:
    """A firewall that lets most through."""
    rules = tuple(_rule(random) for _ in range(random.randint(0, 5)))
    if random.random() < 0.85:
        rules += (Rule(True, () if random.random() < 0.5 else ("home",)),)
    hides = tuple(
        Hide("home", target, version, random.choice(("", "", NETWORKS[version][1])), random.choice(POOLS[target, version]))
        for version, chance in ((4, 0.8), (6, 0.5)) for target in ("internet", "dmz")
        if random.random() < (chance if target == "internet" else 0.15)
    )  # fmt: skip
    forwards = tuple(_forward(random, version, protocol) for version in (4, 6) for protocol in ("tcp", "udp") if random.random() < 0.7)
    statics = tuple(each for each in STATICS if random.random() < 0.1)
    return Model(rules, hides, forwards, statics)


def _rule(random: Random) -> Rule:
    version = random.choice((4, 6))
    source = random.choice(NETWORKS[version]) if random.random() < 0.3 else ""
    destination = random.choice(NETWORKS[version]) if random.random() < 0.3 else ""
    protocol = random.choice(("", "tcp", "udp", "ping", "tcp", "udp"))
    ports = None
    if protocol in ("tcp", "udp") and random.random() < 0.7:
        low = random.choice(PORTS)
        ports = low, random.choice((low, low, low + 400))
    return Rule(random.random() < 0.6, _zones(random), _zones(random), source, destination, protocol, ports, random.random() < 0.5)


def _zones(random: Random) -> tuple[str, ...]:
    return () if random.random() < 0.4 else tuple(random.sample(ZONES, random.randint(1, 2)))


def _forward(random: Random, version: int, protocol: str) -> Forward:
    to = random.choice((*DMZ.hosts[version], LAN.hosts[version][0]))
    port = random.choice(PORTS)
    return Forward(version, protocol, port, to, random.choice((port, 8443)))


# -- sequences -------------------------------------------------------------------------------------------------------------


def sequence(random: Random, of: Model) -> Sequence:
    """One to three flows, their packets mixed."""
    flows = tuple(_flow(random, of) for _ in range(random.choice((1, 1, 1, 2, 3))))
    talks: list[list[Step]] = [_talk(random, flow, index) for index, flow in enumerate(flows)]
    steps: list[Step] = []
    while any(talks):
        steps.append(random.choice([talk for talk in talks if talk]).pop(0))
    return Sequence(flows, tuple(steps))


def _flow(random: Random, of: Model) -> Flow:
    version = random.choice((4, 6))
    protocol = random.choice((TCP, TCP, TCP, UDP, ECHO_PROTOCOL[version]))
    first = random.choice(((1000, 5000), (0xFFFFFF00, 0x7FFFFF00), (random.getrandbits(32), random.getrandbits(32)), (0, 0xFFFFFFFF)))
    doors = [each for each in of.forwards if (each.version, {"tcp": TCP, "udp": UDP}[each.protocol]) == (version, protocol)]
    low = random.random() < 0.05
    if doors and random.random() < 0.5:
        door = doors[0]
        server = next(link for link in (LAN, DMZ) if door.to in link.hosts[version])
        client = random.choice((*WAN.hosts[version], *WAN.beyond[version]))
        return Flow(version, protocol, "wan", client, server.name, door.to, door.to_port, WAN.address[version], door.port, first, low)
    names = [each for static in of.statics if static.version == version for each in NAMED[static]]
    if names and random.random() < 0.3:
        inside, outside = random.choice(names)
        port = random.choice(PORTS) if protocol in (TCP, UDP) else 0
        return Flow(version, protocol, "wan", _host(random, "wan", version), "lan", inside, port, outside, port, first, low)
    nic, other = random.choice(PATHS)
    port = random.choice(PORTS) if protocol in (TCP, UDP) else 0
    return Flow(version, protocol, nic, _host(random, nic, version), other, _host(random, other, version), port, first=first, low=low)


def _host(random: Random, nic: str, version: int) -> str:
    return random.choice((*LINKS[nic].hosts[version], *LINKS[nic].beyond.get(version, ())))


def _talk(random: Random, flow: Flow, index: int) -> list[Step]:
    if flow.protocol == TCP:
        steps = list(Talk(random, index).steps(random.randint(1, 14)))
    else:
        steps = [_datagram(random, index, n) for n in range(random.randint(1, 5))]
    return [_odd(random, flow, step) for step in steps]


def _datagram(random: Random, index: int, n: int) -> Step:
    back = n > 0 and random.random() < 0.5
    return Step(index, back, seq=n, size=random.choice((0, 1, 20, 33, 600)), unsummed=random.random() < 0.05)


def _odd(random: Random, flow: Flow, step: Step) -> Step:
    """Maybe something else in its place, or something about it that is not usual."""
    draw = random.random()
    if draw < 0.80:
        return step
    if draw < 0.88:
        return _error(random, flow, step)
    changes: dict[str, Any] = random.choice((
        {"ttl": random.choice((1, 2, 255, 0))}, {"tos": random.choice((1, 2, 3, 0xB8, 0xFF))}, {"broken": True},
        {"nic": random.choice(("lan", "wan", "dmz"))}, {"size": random.choice(LARGE[flow.server_nic if step.back else flow.client_nic])},
        {"df": False}, {"source": random.choice(MARTIANS[flow.version])}, {"destination": random.choice(MARTIANS[flow.version])},
        {"kind": random.choice(KINDS[flow.version])}, {"ttl": 1, "back": not step.back}, {"size": 600, "pieces": _pieces(random)},
    ))  # fmt: skip
    return replace(step, **changes)


def _pieces(random: Random) -> tuple[tuple[int, int], ...]:
    """Where a packet of 600 bytes is cut, and which piece comes when; sometimes the first is too short, one comes twice, or the last
    one overlaps."""
    cuts = sorted(random.sample(range(8, 70), random.randint(1, 4)))
    if random.random() < 0.1:
        cuts.insert(0, random.choice((1, 2)))
    pieces = list(zip((0, *cuts), (*cuts, 0), strict=True))
    draw = random.random()
    if draw < 0.5:
        random.shuffle(pieces)
    if draw < 0.1:
        pieces.insert(0, random.choice(pieces[:-1]))
    elif 0.5 <= draw < 0.65:
        pieces[-1] = cuts[-1] - random.randint(1, 7), 0
    return tuple(pieces)


LARGE: Final = {**dict.fromkeys(("lan", "wan"), (1300, 1360, 1361, 1372, 1380, 1400, 1420)), "dmz": (1200, 1280, 1300)}
"""Sizes of data around the smallest MTU, as far as they come through the sender's own link."""
MARTIANS: Final = {
    4: ("127.0.0.1", "0.0.0.0", "224.0.0.5", "255.255.255.255", "240.0.0.1", "10.1.0.1", "203.0.113.1", "10.1.255.255",
        "10.3.0.255", "169.254.1.1", "10.1.0.11", "203.0.113.9", "172.16.9.9"),
    6: ("::1", "::", "ff02::1", "ff0e::5", "::ffff:10.1.0.10", "fe80::9", "2001:db8:1::1", "2001:db8:2::1", "fc00::9", "2001:db8:1::11",
        "2001:db8:2::9", "2001:db8:77::1"),
}  # fmt: skip
KINDS: Final = {
    4: ((13, 0), (14, 0), (15, 0), (17, 0), (9, 0), (10, 0), (4, 0), (0, 0), (8, 1), (8, 0), (40, 0)),
    6: ((129, 0), (130, 0), (131, 0), (139, 0), (144, 0), (128, 0), (128, 1), (200, 0), (100, 0)),
}
ERRORS: Final = {
    4: ((3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0), (4, 0), (5, 0), (5, 1)),
    6: ((1, 0), (1, 1), (1, 4), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (5, 0)),
}


def _error(random: Random, flow: Flow, step: Step) -> Step:
    nic = flow.server_nic if step.back else flow.client_nic
    near = (*LINKS[nic].hosts[flow.version], *LINKS[nic].beyond.get(flow.version, ()))
    return Step(
        step.flow, step.back, error=random.choice(ERRORS[flow.version]), info=random.choice((0, 1280, 1400, 576, 0xFFFFFFFF)),
        quote=random.choice((8, 8, 20, 28, 100, 4, 0)), shift=random.choice((0, 0, 0, 1, 5)),
        reporter=random.choice(("", "", random.choice(near))), ttl=random.choice((64, 64, 64, 2, 1, 255)), tos=random.choice((0, 0xC0)),
        broken=random.random() < 0.05, df=random.random() < 0.5,
        nic=random.choice(("", "", "", "", "", "", "lan", "wan", "dmz")),
    )  # fmt: skip


# -- TCP -------------------------------------------------------------------------------------------------------------------


ODD: Final = (
    0, FIN, FIN | SYN, SYN | RST, FIN | RST, URG, ACK | URG, RST | URG, SYN | URG, SYN | ACK | URG, 0x3F, 0xFF, ACK | ECE | CWR,
    SYN | ECE | CWR, RST | ACK | PSH, FIN | PSH | URG, RST | ACK | URG,
)  # fmt: skip


@dataclass(slots=True)
class End:
    """What one end of a connection has sent, and what it has got."""

    sent: int = 0
    got: int = 0
    window: int = 8000
    finished: bool = False


class Talk:
    """A connection as both ends could lead it, and lies about it."""

    def __init__(self, random: Random, index: int) -> None:
        self.random, self.index = random, index
        self.ends = [End(window=random.choice((8000, 8000, 65535, 1000, 1, 0, 29200))) for _ in range(2)]
        self.scales: list[int | None] = [random.choice((None, 0, 2, 7, 14, 15)) if random.random() < 0.6 else None for _ in range(2)]
        self.sacks = [random.random() < 0.6 for _ in range(2)]
        self.stamps = random.random() < 0.3

    def steps(self, count: int) -> list[Step]:
        """So many segments."""
        return [*self._opening(), *(self._next() for _ in range(count))][: count + 3]

    def _opening(self) -> list[Step]:
        syn = self._say(False, SYN, scale=self.scales[0], sack_permitted=self.sacks[0])
        draw = self.random.random()
        if draw < 0.04:
            return [self._say(False, self.random.choice((ACK, SYN | ACK, RST, FIN | ACK, 0, SYN | URG, SYN | FIN)))]
        if draw < 0.12:
            return [syn]
        if draw < 0.16:     # simultaneous
            return [syn, self._say(True, SYN, scale=self.scales[1], sack_permitted=self.sacks[1]), self._say(False, SYN | ACK),
                    self._say(True, SYN | ACK)]  # fmt: skip
        if draw < 0.20:
            return [syn, syn, self._say(True, RST | ACK)]
        answer = self._say(True, SYN | ACK, scale=self.scales[1], sack_permitted=self.sacks[1])
        if draw < 0.26:
            return [syn, answer]
        return [syn, answer, self._say(False, ACK)]

    def _say(self, back: bool, flags: int, size: int = 0, **more: Any) -> Step:
        """A true segment."""
        end, other = self.ends[back], self.ends[not back]
        seq, ack = 0 if flags & SYN else end.sent, end.got if not flags & SYN or flags & ACK else 0
        step = Step(self.index, back, flags, seq, ack, end.window, size, timestamps=self.stamps, **more)
        if flags & SYN:
            end.sent, other.got = max(end.sent, 1), max(other.got, 1)
            return replace(step, ack=max(step.ack, 1))
        end.sent += size + bool(flags & FIN)
        if self.random.random() < 0.9:
            other.got = max(other.got, end.sent)
        return step

    def _next(self) -> Step:
        random, back = self.random, self.random.random() < 0.5
        draw = random.random()
        if draw < 0.40:
            return self._say(back, ACK | PSH * random.randint(0, 1), random.choice((1, 20, 100, 500, 999)))
        if draw < 0.55:
            return self._say(back, ACK)
        if draw < 0.65:
            return self._say(back, FIN | ACK)
        if draw < 0.71:
            return self._say(back, RST | ACK * random.randint(0, 1))
        if draw < 0.76:
            return self._say(back, SYN | ACK * random.randint(0, 1), scale=random.choice((None, 3)), sack_permitted=True)
        return self._lie(back)

    def _lie(self, back: bool) -> Step:
        """A segment that is late, early, impossible, or just odd. The ends take no notice."""
        random, end, other = self.random, self.ends[back], self.ends[not back]
        edges = (0, 1, -1, -20, 20, end.window, -end.window, other.window, -other.window, other.window + 1, -other.window - 1,
                 66000, -66000, -66001, 65535, -65536, MANY, -MANY, 1 << 31, (1 << 31) - 1)  # fmt: skip
        flags = random.choice((ACK, ACK, ACK, ACK | PSH, FIN | ACK, RST, RST | ACK, SYN, SYN | ACK))
        if random.random() < 0.1:
            flags = random.choice(ODD)
        step = Step(self.index, back, flags, end.sent, end.got, end.window, random.choice((0, 0, 1, 20, 500)))
        draw = random.random()
        if draw < 0.45:
            step = replace(step, seq=step.seq + random.choice(edges))
        elif draw < 0.75:
            step = replace(step, ack=step.ack + random.choice(edges))
        elif draw < 0.85:
            step = replace(step, window=random.choice((0, 1, 65535, 100)))
        else:
            left = end.got + random.choice((-50, 1, 20))
            step = replace(step, sack=(left, left + random.choice((10, 100, 70000))))
        return step
