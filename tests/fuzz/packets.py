"""A whole appliance on wires, in virtual time: cards, flow program, decisions, neighbours, ICMP errors, reloads, all as they run.

Frames of all kinds come in at three wires. Whatever they are: each is accounted for, no decision fails, no home address shows on the
internet's wire, no address of the appliance's inside, and what leaves is right if all that came was.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Coroutine, MutableMapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import structlog

from appliance.runtime.cards import HOST_MAC
from tests.fuzz.decode import Decisions
from tests.fuzz.frames import Frames, Place, pseudo, summed
from tests.fuzz.kept import Kept
from tests.fuzz.leaving import ICMPV6, Left, check_sums, read
from tests.support.appliance_bench import ApplianceBench
from tests.support.virtual_time import VirtualTimeLoop

TEXT = """
version: 1
nics:
  lan: {address: [192.168.1.1/24, "2001:db8:1::1/64"], mac: 02:00:00:00:00:a0}
  wan: {address: [203.0.113.1/24, "2001:db8:2::1/64"], gateway: [203.0.113.9, "2001:db8:2::9"], mac: 02:00:00:00:00:a1}
zones: {home: {nics: [lan]}, internet: {nics: [wan]}}
policy:
  - no mail: {from: [home], to: [internet], reject: smtp}
  - tried:   {from: [home], to: [internet], deny: dns, audit: true}
  - admin:   {from: [home], to: [self], allow: [ssh, ping, tcp/443]}
  - out:     {from: [home], to: [internet], allow: %s}
  - own:     {from: [self], to: any, allow: any}
nat:
  - hide4: {masquerade: {from: [home], to: [internet]}}
  - hide6: {masquerade: {from: [home], to: [internet], family: v6}}
  - door:  {forward: {on: internet, port: tcp/5000, to: "192.168.1.10:80"}}
services:
  web:
    listen: 203.0.113.1:443/tcp
    targets: [{name: w1, address: 192.168.1.9:80}, {name: w2, address: 192.168.1.10:80}]
  names:
    listen: 203.0.113.1:53/udp
    algorithm: round-robin
    targets: [{name: n1, address: 192.168.1.9:53}, {name: n2, address: 192.168.1.10:53}]
  shy:
    listen: 203.0.113.1:5001/tcp
    client-ip: proxy-v2
    protect: {syn-cookies: always}
    targets: [{name: s1, address: 192.168.1.10:25}]
timeouts: {tcp-established: 60s, tcp-opening: 5s, tcp-closing: 5s, udp: 10s, udp-replied: 10s, icmp: 5s}
limits: {flows: 1024}
"""
TEXTS = (TEXT % "any", TEXT % "[tcp, udp/1-49999]")
LAN, WAN, OWN = "lan", "wan", "self"
WIRES = (LAN, WAN, OWN)
PLACES = [
    Place.of(bytes.fromhex("0200000000a0"), bytes.fromhex("020000000010"),
             "192.168.1.9", "192.168.1.10", "192.168.1.77", "2001:db8:1::9", "2001:db8:1::10"),
    Place.of(bytes.fromhex("0200000000a1"), bytes.fromhex("020000000011"),
             "203.0.113.9", "203.0.113.10", "198.51.100.9", "2001:db8:2::9", "2001:db8:3::9"),
    Place.of(HOST_MAC, HOST_MAC, "203.0.113.1", "192.168.1.1", "2001:db8:2::1", "2001:db8:1::1"),
]  # fmt: skip
RST = 4
HOME4, HOME6 = b"\xc0\xa8\x01", ip_address("2001:db8:1::").packed[:8]
TIMES = (0.0, 0.001, 0.05, 0.3, 1.1, 1.1, 1.1, 6.0)
MODERATED = 0.0002  # seconds: no interrupt is held back for longer
OVER = 300.0  # seconds that no flow, no error's budget and no question to a neighbour outlives


class Log:
    """Takes what the appliance logs. `mistakes`: exceptions that it caught and survived, which nothing on a wire may cause."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []

    def info(self, text: str) -> None:
        """Of no interest."""

    def error(self, text: str) -> None:
        self.mistakes.append(text)

    debug = warning = info
    critical = exception = error


def rendered(logger: object, method: str, event: MutableMapping[str, Any]) -> str:
    """Exceptions that were caught, logged and survived are told with what else was to be said."""
    return f"{event} {sys.exc_info()[1]!r}"


def at_once(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run one that waits for nothing but its turn."""
    with suppress(StopIteration):
        while True:
            coroutine.send(None)


class Site:
    """An appliance that runs, and its networks."""

    def __init__(self) -> None:
        self.log = log = Log()
        structlog.configure(processors=[rendered], logger_factory=lambda *_: log, cache_logger_on_first_use=False)
        self.loop = VirtualTimeLoop()
        self.folder = tempfile.TemporaryDirectory(prefix="softena-fuzz-")
        self.file = Path(self.folder.name, "softena.yaml")
        self.file.write_text(TEXTS[0])
        self.bench = ApplianceBench(TEXTS[0], path=self.file)
        self.reloaded = False
        self.loop.run_until_complete(self.bench.__aenter__())
        self.wires = [self.bench.world.wires[name] for name in WIRES]
        appliance = self.bench.appliance
        self.programs = [appliance.worker.program(pair) for card in appliance.cards for pair in card.adapter.pairs]

    def close(self, failed: BaseException | None = None) -> None:
        self.loop.run_until_complete(self.bench.__aexit__(type(failed) if failed else None, failed, None))
        self.loop.close()
        self.folder.cleanup()

    def begin(self, dice: Decisions) -> None:
        self.frames = Frames(dice, PLACES)
        self.bench.appliance.decider.view.random.seed(0)  # what is chosen by chance is chosen alike

    def step(self, dice: Decisions) -> None:
        """One thing that happens."""
        kind = dice.below(16)
        if kind < 13:
            nic = dice.choice((0, 0, 0, 1, 1, 2))
            for _ in range(1 + dice.below(4)):
                self.receive(nic, self.frames.make(nic))
            self.pass_time(0.0)
        elif kind < 15:
            self.pass_time(dice.choice(TIMES))
        else:
            self.disturb(dice)
            self.loop.run_due()

    def end(self) -> None:
        """All flows end, and nothing failed on the way."""
        appliance = self.bench.appliance
        appliance.restore_target("names", "n1")
        if self.reloaded:
            self.reload(TEXTS[0])
        self.pass_time(OVER)
        appliance.decider._chosen.clear()  # bounded, and filled bit by bit; what was chosen for flows that are no more is of no use
        self.bench.check()
        usage = appliance.worker.usage()
        assert not usage["used"] + usage["pending"] + usage["denied"], f"flows outlive their timeouts: {usage}"
        assert not self.log.mistakes, self.log.mistakes[0]

    def pass_time(self, seconds: float) -> None:
        """So many seconds at a stroke, then until neighbours have answered whom they are asked for, most often."""
        if seconds:
            self.loop.move(seconds)
            self.settle()  # as a data thread would, before a watchdog misses completions
            self.loop.run_due()
        for _ in range(8):
            self.loop.move(MODERATED)
            self.settle()
            if not sum(self.look(nic) for nic in range(len(WIRES))):
                break

    def settle(self) -> None:
        """Cards, program and decisions in turn until nothing is left to do: as the queues' coroutines, without the cost of a loop."""
        appliance = self.bench.appliance
        while True:
            appliance.executor.run_until_idle(self.loop.time())
            waiting = [work for program in self.programs if any(work := program.take())]
            for work in waiting:
                if work.ended:  # their farewells may have to wait for room
                    self.loop.run_until_complete(appliance.decider.handle(work))
                else:
                    at_once(appliance.decider.handle(work))
            if not waiting:
                return

    # -- out -----------------------------------------------------------------------------------------------------------

    def look(self, nic: int) -> int:
        """What has left a nic may leave there. Returns how much of it a neighbour answers."""
        answered = 0
        for frame in self.wires[nic].take():
            if frame[12:14] == b"\x08\x06":
                answered += self.asked(nic, frame)
                continue
            left = read(frame)
            assert left is not None, "neither IP nor ARP left"
            self.judge(nic, left)
            if not self.frames.damages:
                check_sums(left)
            if left.kind == 135 and left.protocol == ICMPV6:
                answered += self.solicited(nic, left)
            elif left.sport is not None:
                self.frames.heard[nic].append(left)
        return answered

    def judge(self, nic: int, left: Left) -> None:
        """Nobody at home is known outside, and no frame leaves for an address that isn't there."""
        home = HOME4 if left.version == 4 else HOME6
        own = left.source in PLACES[2].addresses[left.version]
        source = left.source.startswith(home) and not own
        destination = left.destination.startswith(home)
        if nic == 1:
            assert not source, f"left untranslated: {left}"
            assert not destination, f"left for home by the other side: {left}"
        elif nic == 0:  # an error or a refusal goes where its frame came from, whoever that said it was
            assert destination or own or left.flags & RST, f"left for a stranger at home: {left}"
        else:
            assert left.destination in PLACES[2].addresses[left.version], f"came to us, and is for another: {left}"

    # -- in ------------------------------------------------------------------------------------------------------------

    def receive(self, nic: int, frame: bytes) -> None:
        self.wires[nic].inject(frame)

    def asked(self, nic: int, frame: bytes) -> bool:
        """An ARP request is answered by whom it asks for, if that is a neighbour."""
        place, target = PLACES[nic], frame[38:42]
        known = frame[20:22] == b"\0\1" and target in place.addresses[4][:2]
        if known:
            body = b"\0\1\x08\0\6\4\0\2" + place.neighbour + target + frame[22:28] + frame[28:32]
            self.receive(nic, (frame[6:12] + place.neighbour + b"\x08\x06" + body).ljust(60, b"\0"))
        return known

    def solicited(self, nic: int, left: Left) -> bool:
        """The same by neighbour discovery."""
        place, target = PLACES[nic], left.packet[48:64]
        known = target in place.addresses[6] and any(left.source)
        if known:
            made = b"\x88\0\0\0\x60\0\0\0" + target + b"\2\1" + place.neighbour
            made = summed(made, 2, pseudo(target, left.source, ICMPV6, len(made)))
            header = b"\x60\0\0\0" + len(made).to_bytes(2, "big") + b"\x3a\xff" + target + left.source
            self.receive(nic, place.mac + place.neighbour + b"\x86\xdd" + header + made)
        return known

    # -- other things that happen --------------------------------------------------------------------------------------

    def disturb(self, dice: Decisions) -> None:
        appliance = self.bench.appliance
        match dice.below(16):
            case 0:
                self.reload(TEXTS[dice.below(2)])
            case 1 | 2:
                appliance.drain_target("names", "n1", dice.choice((None, 0.0, 2.0)))
            case 3 | 4:
                appliance.restore_target("names", "n1")
            case 5:
                appliance.status()
                appliance.flows(1 + dice.below(200), dice.number())

    def reload(self, text: str) -> None:
        self.file.write_text(text)
        self.loop.run_until_complete(self.bench.appliance.reload())
        self.reloaded = text != TEXTS[0]


packets = Kept(Site, longest=32, inputs=4096)
"""Any frames at any time."""
