"""Frames that the compiled path hands over: ARP and ND, packets that a router answers with an ICMP error, ICMP errors about flows.

    handed over, and sent on or dropped for a reason:
    arp, nd                         to the nic's neighbourhood
    icmp-error                      translated and passed on, if it is about a flow of ours
    cut                             IPv4 that has to be fragmented
    dns                             read, for what names stand for

    dropped already, and their senders are to be told:
    ttl, too-big, no-route          an ICMP error
    no-neighbour                    the same, though the packet may be translated already
    rejected                        the same; to TCP, a RST

All but ARP, ND and DNS is limited in rate, each kind by itself on each nic, so that no flood of one takes another's share. What can't be
sent at once is lost: each of these may be lost on any link.
Source: RFC 1812, sections 4.3 and 5.2.7; RFC 4443; RFC 791; RFC 9293, section 3.10.7.1 (RST).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from appliance.flow.program import Worker
from appliance.flow.records import FlowView, Punt
from appliance.objects.names import NameTable
from appliance.ruleset import Ruleset
from appliance.runtime.errors import RateLimit, in_flight, refusal, router_error, translate_error
from appliance.runtime.neighbours import Neighbourhood
from appliance.runtime.translate import Ends, address_of, addresses, ends, finish, fragments, kind_back, rewrite
from appliance.sanity import may_report
from ena_dev.packet import build
from ena_dev.packet.build import IcmpError
from ena_dev.packet.parse import Flag, Reason, parse

ANSWERS: Final = {
    "ttl": IcmpError.TIME_EXCEEDED,
    "too-big": IcmpError.TOO_BIG,
    "no-route": IcmpError.NO_ROUTE,
    "no-neighbour": IcmpError.HOST_UNREACHABLE,
}

RATES: Final = {"icmp-error": (500.0, 100), "cut": (2000.0, 64)}
ANSWER_RATE: Final = 200.0, 50
"""What is handled of each kind, a second and at once, of the frames that come by one nic."""


class Punts:
    """Handles them for all queues of one worker. `ruleset` is swapped whole by a reload. `host`: the nic of the appliance's own stack."""

    def __init__(
        self, worker: Worker, neighbourhoods: Mapping[int, Neighbourhood], host: int, host_mac: bytes, names: NameTable | None = None
    ) -> None:
        self._names = names
        self._worker, self._neighbourhoods, self._host, self._host_mac = worker, neighbourhoods, host, host_mac
        self.ruleset: Ruleset
        self.handled = 0
        """Frames handed over that were heard or sent on."""
        self.drops: Counter[str] = Counter()
        """The others, by reason."""
        self.unanswered: Counter[str] = Counter()
        """Answers that were not given, by why."""
        self._limits: dict[tuple[int, str], RateLimit] = {}
        self._takers: Mapping[str, Callable[[Punt, float], str]] = {
            "arp": self._arp, "nd": self._nd, "icmp-error": self._icmp_error, "cut": self._cut, "dns": self._dns,
        }  # fmt: skip
        self._tellers: Mapping[str, Callable[[Punt, float], None]] = {
            "ttl": self._answer, "too-big": self._answer, "no-route": self._answer, "no-neighbour": self._no_neighbour,
            "rejected": self._rejected,
        }  # fmt: skip

    def handle(self, punt: Punt, now: float) -> None:
        """Do what is to be done about one frame."""
        taker = self._takers.get(punt.reason)
        if taker is None:
            self._tellers[punt.reason](punt, now)
            return
        reason = "decision-failed"
        try:
            reason = taker(punt, now)
        finally:
            if reason:
                self.drops[reason] += 1
            else:
                self.handled += 1

    def _arp(self, punt: Punt, now: float) -> str:
        heard = punt.nic != self._host and self._neighbourhoods[punt.nic].heard_arp(punt.frame, now)
        return "" if heard else "neighbour-message"

    def _nd(self, punt: Punt, now: float) -> str:
        heard = punt.nic != self._host and self._neighbourhoods[punt.nic].heard_nd(punt.frame, now)
        return "" if heard else "neighbour-message"

    # -- errors of our own ---------------------------------------------------------------------------------------------

    def _answer(self, punt: Punt, now: float) -> None:
        """Tell the sender, from our address on the nic it is behind."""
        if self._may_answer(punt, now):
            self._tell(punt.nic, self._error(punt, punt.nic))

    def _rejected(self, punt: Punt, now: float) -> None:
        """Tell the sender that a rule denies it. Without an address there, and to the own stack, it is whom it wanted to reach who does."""
        if self._may_answer(punt, now):
            self._tell(punt.nic, refusal(punt.frame, self._reporter(punt, punt.nic)))

    def _reporter(self, punt: Punt, reporting: int) -> IPv4Address | IPv6Address | None:
        """Our address on a nic, of the punted packet's version."""
        version = punt.frame[14] >> 4 if len(punt.frame) > 14 else 0
        primary = self.ruleset.primary.get((reporting, version))
        return None if primary is None else address_of(version, primary)

    def _error(self, punt: Punt, reporting: int) -> bytes | None:
        reporter = self._reporter(punt, reporting)
        return None if reporter is None else router_error(punt.frame, ANSWERS[punt.reason], reporter, punt.mtu)

    def _no_neighbour(self, punt: Punt, now: float) -> None:
        """Tell the sender of a frame whose next hop is silent. It may be translated already: so is the error, as one from outside is."""
        found = self._flow(punt.frame, reverse=True)
        if found is None:
            self._answer(punt, now)
        elif self._may_answer(punt, now):
            error = self._error(punt, _other_side(found))
            if error is None or self._pass_on(error, _side(found), now):
                self.unanswered["not-sent"] += 1

    # -- errors about flows --------------------------------------------------------------------------------------------

    def _icmp_error(self, punt: Punt, now: float) -> str:
        if not self._granted(punt.nic, punt.reason, now):
            return "punt-rate"
        reason, parsed = parse(punt.frame)
        if punt.nic != self._host and reason is Reason.OK:
            version = parsed["version"]
            reporter, _ = addresses(punt.frame[parsed["l3_offset"] :], version)
            if not may_report(self.ruleset, punt.nic, version, reporter):
                return "spoofed"
        return self._pass_on(punt.frame, punt.nic, now)

    def _pass_on(self, frame: bytes, nic: int, now: float) -> str:
        """Pass on an ICMP error that came in by `nic`, translated, if it is about a flow that sends there. Or why not."""
        towards: list[int] = []
        why = ["unrelated"]

        def lookup(version: int, protocol: int, received: Ends, kind: int, sequence: int | None, later: int | None) -> Ends | None:
            if later is None:
                found = self._worker.lookup(version, protocol, *received[:4], kind)
            else:
                found = self._worker.lookup_fragment(version, protocol, received.destination, received.source, later)
            if found is None or found[0].nic_out < 0 or _side(found) != nic:
                return None
            if sequence is not None and not in_flight(found[0], 1 - found[1], sequence - (0 if found[1] else found[0].shift)):
                why.append("not-in-flight")
                return None
            towards.append(_other_side(found))
            return _other_ends(found)

        error = translate_error(frame, lookup)
        if error is None:
            return why[-1]
        if error.hops < 1 and towards[0] != self._host:
            return "ttl"  # no error answers an error
        return self._route(towards[0], error.version, error.destination, error.packet, now)

    # -- names ---------------------------------------------------------------------------------------------------------

    def _dns(self, punt: Punt, now: float) -> str:
        """Learn from a message of DNS, and send it on: its receiver finds the rules in step with it."""
        _, parsed = parse(punt.frame)
        found = self._flow(punt.frame, reverse=True)
        if found is None:
            return "deleted"
        version, packet = parsed["version"], finish(punt.frame[parsed["l3_offset"] :][: parsed["l3_length"]], parsed)
        source, destination = addresses(packet, version)
        message = punt.frame[parsed["payload_offset"] : parsed["l3_offset"] + parsed["l3_length"]]
        if self._names is not None and found[1]:
            self._names.query(punt.flow, message)
        elif self._names is not None:
            self._names.answer(punt.flow, (version, source), message)
        return self._route(_side(found), version, destination, packet, now)

    # -- packets that don't fit ----------------------------------------------------------------------------------------

    def _cut(self, punt: Punt, now: float) -> str:
        """IPv4 without DF is for routers to fragment."""
        if not self._granted(punt.nic, punt.reason, now):
            return "punt-rate"
        _, parsed = parse(punt.frame)
        packet = punt.frame[14 : 14 + parsed["l3_length"]]
        found = self._flow(punt.frame) if parsed["l4_offset"] else self._named(punt.flow, packet)
        if found is None:
            return "deleted"
        if found[0].shift:                      # two handshakes made it: what it sends is rewritten where frames pass, or not at all
            return "too-big"
        to = _other_ends(found).back
        packet = rewrite(packet if parsed["flags"] & Flag.FRAGMENT else finish(packet, parsed), parsed, to)
        egress = _other_side(found)
        pieces = fragments(packet, punt.mtu, 0 if self._host in (egress, punt.nic) else 1)
        return next(filter(None, [self._route(egress, 4, to.destination, piece, now) for piece in pieces]), "")

    # -- small things --------------------------------------------------------------------------------------------------

    def _flow(self, frame: bytes, reverse: bool = False) -> tuple[FlowView, int] | None:
        """The decided flow that a frame belongs to, and its direction; with `reverse`, of a frame as it leaves: that of its answer."""
        reason, parsed = parse(frame)
        if reason is not Reason.OK:
            return None
        there = ends(frame[parsed["l3_offset"] :], parsed)
        kind = kind_back(parsed) if reverse else parsed["icmp_type"]
        found = self._worker.lookup(parsed["version"], parsed["protocol"], *(there.back if reverse else there)[:4], kind)
        return found if found is not None and found[0].nic_out >= 0 else None

    def _named(self, handle: int, packet: bytes) -> tuple[FlowView, int] | None:
        """The decided flow of a handle, and the direction of an IPv4 packet of it: a fragment that has no ports to tell."""
        flows, _ = self._worker.read((handle & 0xFFFFFFFF) - 1, 1)
        if not flows or flows[0].flow != handle or flows[0].nic_out < 0:
            return None
        return flows[0], int(addresses(packet, 4) != flows[0].original[:2])

    def _granted(self, nic: int, kind: str, now: float) -> bool:
        if (limit := self._limits.get((nic, kind))) is None:
            limit = self._limits[nic, kind] = RateLimit(*RATES.get(kind, ANSWER_RATE))
        return limit.take(now)

    def _may_answer(self, punt: Punt, now: float) -> bool:
        if self._granted(punt.nic, punt.reason, now):
            return True
        self.unanswered["rate-limit"] += 1
        return False

    def _tell(self, nic: int, answer: bytes | None) -> None:
        """Send an answer of ours, if there is one to be sent."""
        if answer is None or not self._worker.send(nic, answer):
            self.unanswered["not-sent"] += 1

    def _route(self, nic: int, version: int, destination: int, packet: bytes, now: float) -> str:
        """Send a packet by a nic. Or why not."""
        if nic != self._host:
            return self._to_hop(nic, version, self.ruleset.routes.hop_on(nic, version, destination), packet, now)
        return "" if self._worker.send(nic, build.ethernet(self._host_mac, self._host_mac, packet)) else "not-sent"

    def _to_hop(self, nic: int, version: int, next_hop: int, packet: bytes, now: float) -> str:
        return "" if self._neighbourhoods[nic].deliver(version, next_hop, packet, now) else "not-sent"


def _side(found: tuple[FlowView, int]) -> int:
    """The nic by which packets of the direction that was found come in."""
    flow, direction = found
    return flow.nic_out if direction else flow.nic_in


def _other_side(found: tuple[FlowView, int]) -> int:
    flow, direction = found
    return flow.nic_in if direction else flow.nic_out


def _other_ends(found: tuple[FlowView, int]) -> Ends:
    """The tuple of the other direction's packets as they come in."""
    flow, direction = found
    return Ends(*flow.original) if direction else Ends(*flow.reply, shift=-flow.shift)
