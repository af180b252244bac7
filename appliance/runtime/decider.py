"""Misses become flow entries: facts, decision, command. The Python side of every queue's coroutine.

    Work(misses, punts, refused) --> decide(facts, ruleset, view) --> install | deny
                                 --> ARP, ND, ICMP errors

An exception in a decision denies that flow for a second, is counted and logged, and ends nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Final

import structlog

from appliance.decide import decide
from appliance.flow.program import Worker
from appliance.flow.records import Miss, Punt, Refused, Work
from appliance.policy.facts import SELF, Decision, Facts, Reason, Tuple5
from appliance.ruleset import Ruleset
from appliance.runtime.errors import Ends, RateLimit, router_error, translate_error
from appliance.runtime.neighbours import HOST, Neighbourhood
from ena_dev.packet import build
from ena_dev.packet.build import IcmpError

log = structlog.get_logger("flows")

ATTEMPTS: Final = 8
"""How often a reply tuple that turned out to be taken is chosen anew."""
SYN: Final = 0x02
UNREACHABLE: Final = {"no-route": IcmpError.NO_ROUTE, "no-neighbour": IcmpError.HOST_UNREACHABLE}


class Names:
    """Numbers of rules, services and targets, the same for the whole life of the process. 0 is the empty name."""

    def __init__(self, limit: int = 65536) -> None:
        self._numbers: dict[str, int] = {"": 0}
        self.names: list[str] = [""]
        self._limit = limit

    def number(self, name: str | None) -> int:
        """The number of a name, a new one if need be; 0 once there are too many."""
        found = self._numbers.get(name or "")
        if found is None:
            if len(self.names) >= self._limit:
                return 0
            found = self._numbers[name or ""] = len(self.names)
            self.names.append(name or "")
        return found


class View:
    """The running state that a decision asks about."""

    def __init__(self, worker: Worker, target_up: Callable[[str, str], bool], random: Random) -> None:
        self.random, self.target_up = random, target_up
        self._worker = worker
        self._taken: deque[tuple[int, int, Tuple5]] = deque(maxlen=256)

    def is_free(self, version: int, protocol: int, reply: Tuple5) -> bool:
        """Whether no flow expects packets of this tuple, as far as is known: `install` has the last word."""
        return (version, protocol, reply) not in self._taken and self._worker.is_free(version, protocol, *reply)

    def taken(self, version: int, protocol: int, reply: Tuple5) -> None:
        """An install was refused because of this tuple."""
        self._taken.append((version, protocol, reply))


class Decider:
    """Decides for all queues of one worker. `ruleset` is swapped whole by a reload."""

    def __init__(self, worker: Worker, view: View, clock: Callable[[], float], host: int) -> None:
        self._worker, self.view, self._clock, self._host = worker, view, clock, host
        self.ruleset: Ruleset
        self.neighbourhoods: dict[int, Neighbourhood] = {}
        self.rules, self.services = Names(), Names()
        self.failures = 0
        self._errors = RateLimit(rate=200.0, burst=50)
        self._chosen: dict[int, tuple[int, Decision]] = {}

    # -- work ----------------------------------------------------------------------------------------------------------

    def handle(self, work: Work) -> None:
        """Decide all that one queue has to be decided."""
        for miss in work.misses:
            self._guarded(miss, 1)
        for refused in work.refused:
            self._again(refused)
        for punt in work.punts:
            self._punted(punt)

    def _guarded(self, miss: Miss, attempt: int) -> None:
        try:
            self._decide(miss, attempt)
        except Exception:
            self.failures += 1
            if self.failures <= 10 or self.failures % 1000 == 0:
                log.exception("a decision failed: the flow is denied", miss=miss, failures=self.failures)
            self._worker.deny(miss.flow, 0, self.ruleset.generation, "decision-failed")

    def facts(self, miss: Miss) -> Facts:
        """What the decision engine is told of a miss."""
        nic = SELF if miss.nic == self._host else miss.nic
        return Facts(nic, miss.version, miss.protocol, miss.source, miss.destination, miss.sport, miss.dport, miss.icmp_type,
                     miss.tcp_flags, miss.queue)

    def _decide(self, miss: Miss, attempt: int) -> None:
        ruleset = self.ruleset
        decision = decide(self.facts(miss), ruleset, self.view)
        rule = self.rules.number(decision.rule)
        if not decision.allow:
            self._worker.deny(miss.flow, rule, ruleset.generation, str(decision.reason))
            return
        now = self._clock()
        egress = self._host if decision.egress == SELF else decision.egress
        forward = self._adjacency(egress, miss.version, decision.next_hop, now)
        back = self._adjacency(miss.nic, miss.version, decision.reply_hop, now)
        if forward is None or back is None:
            self._worker.deny(miss.flow, rule, ruleset.generation, "no-neighbour")
            return
        self._chosen[miss.flow] = attempt, decision
        if len(self._chosen) > 4096:
            self._chosen.pop(next(iter(self._chosen)))
        target = self.services.number(f"{decision.service}/{decision.target}") if decision.target else 0
        self._worker.install(miss.flow, miss.version, miss.protocol, decision.reply, egress, forward, back, rule, ruleset.generation,
                             self.services.number(decision.service), target, decrement=self._host not in (egress, miss.nic))

    def _again(self, refused: Refused) -> None:
        """The reply tuple was taken: choose another, a few times."""
        attempt, decision = self._chosen.pop(refused.flow, (ATTEMPTS, None))
        if decision is not None:
            self.view.taken(refused.miss.version, refused.miss.protocol, decision.reply)
        if refused.reason != "taken" or attempt >= ATTEMPTS:
            reason = Reason.NAT_EXHAUSTED.value if refused.reason == "taken" else refused.reason
            self._worker.deny(refused.flow, 0, self.ruleset.generation, reason)
            return
        self._guarded(refused.miss, attempt + 1)

    def _adjacency(self, nic: int, version: int, next_hop: int, now: float) -> int | None:
        if nic == self._host:
            return HOST
        return self.neighbourhoods[nic].adjacency(version, next_hop, now)

    # -- punts ---------------------------------------------------------------------------------------------------------

    def _punted(self, punt: Punt) -> None:
        now = self._clock()
        try:
            if punt.reason in ("arp", "nd"):
                neighbourhood = self.neighbourhoods.get(punt.nic)
                if neighbourhood is not None:
                    (neighbourhood.heard_arp if punt.reason == "arp" else neighbourhood.heard_nd)(punt.frame, now)
            elif punt.reason == "icmp-error":
                self._related(punt, now)
            elif punt.reason == "ttl":
                self._answer(punt, IcmpError.TIME_EXCEEDED, now)
            elif punt.reason == "too-big":
                self._answer(punt, IcmpError.TOO_BIG, now)
            elif punt.reason in UNREACHABLE:
                self._answer(punt, UNREACHABLE[punt.reason], now)
        except Exception:
            self.failures += 1
            if self.failures <= 10 or self.failures % 1000 == 0:
                log.exception("a frame handed over could not be handled: dropped", reason=punt.reason, failures=self.failures)

    def _answer(self, punt: Punt, error: IcmpError, now: float) -> None:
        """Tell the sender, from our address on the nic it is behind."""
        if punt.nic == self._host or not self._errors.take(now):
            return
        at = 18 if punt.frame[12:14] == b"\x81\x00" else 14
        version = punt.frame[at] >> 4 if len(punt.frame) > at else 0
        primary = self.ruleset.primary.get((punt.nic, version))
        source = None if primary is None else IPv4Address(primary) if version == 4 else IPv6Address(primary)
        frame = router_error(punt.frame, error, source, punt.mtu)
        if frame is not None:
            self._worker.send(punt.nic, frame)

    def _related(self, punt: Punt, now: float) -> None:
        """An ICMP error: pass it on, translated, if it is about a flow of ours."""
        found: list[tuple[int, int]] = []

        def lookup(version: int, protocol: int, ends: Ends) -> Ends | None:
            hit = self._worker.lookup(version, protocol, *ends)
            if hit is None:
                return None
            flow, direction = hit
            if flow.nic_out < 0 or (flow.nic_out if direction else flow.nic_in) != punt.nic:
                return None
            found.append((flow.nic_in if direction else flow.nic_out, flow.version))
            return Ends(*(flow.original if direction else flow.reply))

        error = translate_error(punt.frame, lookup)
        if error is None or not found or not self._errors.take(now):
            return
        self._route(found[0][0], error.version, error.destination, error.packet, now)

    def _route(self, nic: int, version: int, destination: int, packet: bytes, now: float) -> None:
        """Send a packet of ours by a nic, if the next hop is known."""
        if nic == self._host:
            self._worker.send(nic, build.ethernet(b"\x02\0\0\0\0\xfe", b"\x02\0\0\0\0\xfd", packet))
            return
        neighbourhood = self.neighbourhoods[nic]
        mac = neighbourhood.mac_of(version, self.ruleset.routes.hop_on(nic, version, destination), now)
        if mac is not None:
            self._worker.send(nic, build.ethernet(mac, neighbourhood.mac, packet))


def text(version: int, address: int) -> str:
    """An address as people write it."""
    return str(IPv4Address(address) if version == 4 else IPv6Address(address))


def names(values: Sequence[str], number: int) -> str:
    """The name of a number that a flow carries."""
    return values[number] if 0 <= number < len(values) else ""
