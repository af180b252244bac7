"""The decision: what becomes of a flow, from its first packet. A pure function; running, explaining and testing all call it.

    sanity -> forward, service or static entry -> one of ours? -> route -> policy -> source -> the reply to expect

Policy sees the original source and the translated destination, as netfilter's forward chain does.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from appliance import sanity
from appliance.nat.bindings import Binding, keeps
from appliance.nat.destination import Door
from appliance.nat.ports import free_reply
from appliance.nat.source import Outside, Source
from appliance.policy.facts import ICMP, ICMPV6, NO_TUPLE, NOWHERE, SELF, TCP, UDP, Decision, Facts, Reason, StateView, Tuple5
from appliance.policy.rules import Verdict
from appliance.ranges import holds
from appliance.ruleset import DEFAULT_DENY, CheckedTarget, Ruleset, compile_ruleset

__all__ = ["CheckedTarget", "Ruleset", "compile_ruleset", "decide"]

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
ECHO_REQUEST: Final = {(4, ICMP): 8, (6, ICMPV6): 128}
NO_RULE: Final = Verdict(False, "", 0)
"""Stands for the rule where none was asked."""


def decide(facts: Facts, ruleset: Ruleset, view: StateView) -> Decision:
    """Decide about the flow that `facts` begin. Never raises for what came from the wire."""
    made = _decide(facts, ruleset, view)
    return made._replace(alone=True) if _hangs_on_names(facts, ruleset, made) else made


def _hangs_on_names(facts: Facts, ruleset: Ruleset, made: Decision) -> bool:
    """Whether a rule was asked, or may have been, whose domain names may stand for something else the next time."""
    if made.egress == NOWHERE:
        return False
    kind = ruleset.zone(facts.nic), ruleset.zone(made.egress), facts.version, facts.protocol
    port = made.reply[2] if made.allow else None  # of a refused flow the translated one isn't known
    return ruleset.policy.hangs(kind, port if facts.icmp_type < 0 else facts.icmp_type)


def _decide(facts: Facts, ruleset: Ruleset, view: StateView) -> Decision:
    bad = sanity.arrives(facts, ruleset)
    if bad is not None:
        return _refuse(bad, NO_RULE)
    if not (_starts(facts) or (ruleset.picks_up and _continues(facts))):
        return _refuse(Reason.NOT_A_START, NO_RULE)
    nic, version, protocol, _, destination, _, dport, *_ = facts
    door = ruleset.doors.find(ruleset.zone(nic), version, protocol, destination, dport)
    if door is None:
        return _straight(facts, ruleset, view)
    if door.pool is None:
        return _pass_on(facts, ruleset, view, door, door.address, door.port or dport, None)
    chosen = door.pool.pick(facts, view)
    if chosen is None:
        return _refuse(Reason.NO_TARGET, door.rule or NO_RULE, service=door.owner)
    return _pass_on(facts, ruleset, view, door, chosen.address, chosen.port, chosen.name)


def _straight(facts: Facts, ruleset: Ruleset, view: StateView) -> Decision:
    """Decide about a flow that comes to no door: it goes to its destination, or to the address that this stands for."""
    destination, dport = facts.destination, facts.dport
    if facts.protocol in (TCP, UDP) and holds(ruleset.bound[facts.version], destination):
        return _bound(facts, ruleset, view)
    static = ruleset.statics.find(ruleset.zone(facts.nic), facts.version, destination)
    if static is None:
        return _pass_on(facts, ruleset, view, None, destination, dport, None)
    inside = static.into(destination)
    if inside is None:
        return _refuse(Reason.NO_ROUTE, NO_RULE)._replace(alone=True)
    door = Door(0, 0, None, inside, None, outer=static.zone, hairpin=static.hairpin, entry=static.name)
    made = _pass_on(facts, ruleset, view, door, inside, dport, None)
    return made if static.single else made._replace(alone=True)


def _bound(facts: Facts, ruleset: Ruleset, view: StateView) -> Decision:
    """Decide about a flow to an address that inside ends are bound to: the appliance comes first, then who is bound to the port."""
    nic, version, protocol, source, destination, _, dport, *_ = facts
    made = _pass_on(facts, ruleset, view, None, destination, dport, None)
    if made.allow or nic == SELF:
        return made
    binding = view.bindings.at(version, protocol, destination, dport)
    entry = None if binding is None else ruleset.sources.binding.get(binding.entry)
    if binding is None or entry is None or entry.rule is None:
        return made._replace(alone=True)
    own = 0 if entry.pool else destination
    door = Door(0, 0, entry.rule, binding.inside, binding.port, outer=entry.outer, hairpin=True, own=own, entry=entry.name)
    peer = _pass_on(facts, ruleset, view, door, binding.inside, binding.port, None)
    seen = peer.outside or source
    if entry.admits == "address-dependent" and not view.bindings.knows(binding, seen):
        return made._replace(alone=True)
    return peer._replace(alone=True)


def _starts(facts: Facts) -> bool:
    """Whether such a packet may be a flow's first."""
    protocol = facts.protocol
    if protocol == TCP:
        return facts.flags & (FIN | SYN | RST | ACK) == SYN
    if protocol in (ICMP, ICMPV6):
        return facts.icmp_type == ECHO_REQUEST.get((facts.version, protocol))
    return True


def _continues(facts: Facts) -> bool:
    """Whether it is a segment as they come in the middle of a connection."""
    return facts.protocol == TCP and facts.flags & (FIN | SYN | RST | ACK) == ACK


def _pass_on(
    facts: Facts, ruleset: Ruleset, view: StateView, door: Door | None, destination: int, dport: int, target: str | None
) -> Decision:
    """Route and judge a flow whose destination is translated."""
    nic, version, protocol, source, _, _, _, icmp_type, *_ = facts
    service = door.owner if door is not None else None
    if destination in ruleset.local_addresses[version]:
        egress, next_hop = SELF, 0
    elif holds(ruleset.outside[version], destination):
        return _refuse(Reason.NO_ROUTE, NO_RULE, NOWHERE, service, target)
    else:
        hop = ruleset.routes.lookup(version, destination)
        if hop is None:
            return _refuse(Reason.NO_ROUTE, NO_RULE, NOWHERE, service, target)
        bad = sanity.leaves(facts, ruleset, hop.nic, door is not None)
        if bad is not None:
            return _refuse(bad, NO_RULE, NOWHERE, service, target)
        egress, next_hop = hop
    from_zone, to_zone = ruleset.zone(nic), ruleset.zone(egress)
    selector = dport if icmp_type < 0 else icmp_type
    asked = (from_zone, to_zone, version, protocol), source, destination, selector
    rule = ruleset.policy.match(*asked, view) or _implied(facts, ruleset, door)
    if not (rule.pickup or _starts(facts)):
        return _refuse(Reason.NOT_A_START, NO_RULE, egress, service, target)
    audited = ruleset.policy.audited(*asked, view) or NO_RULE
    if not rule.allow:
        return _refuse(Reason.REJECTED if rule.reject else Reason.POLICY, rule, egress, service, target, audited)
    reply_hop = 0 if nic == SELF else ruleset.routes.hop_on(nic, version, source)
    outside = None if egress == SELF else _outside(facts, ruleset, door, egress, (from_zone, to_zone), reply_hop == source)
    if outside is not None and outside.alone and outside.address is None:
        return _refuse(Reason.NO_ROUTE, rule, egress, service, target, audited)._replace(alone=True)
    reply = _reply(facts, ruleset, view, door, egress, destination, dport, outside)
    if reply is None:
        refused = _refuse(Reason.NAT_EXHAUSTED, rule, egress, service, target, audited)
        return refused._replace(outside=source if outside is None else outside.address or 0)
    tried = audited.name, audited.word if audited.name else ""
    liberal = rule.liberal or ruleset.liberal
    made = Decision(
        True, Reason.ALLOWED, rule.name, rule.line, egress, next_hop, reply, service, target, reply_hop, liberal, *tried,
        *_handshake(facts, door, liberal), dnat=door.entry if door is not None else "",
    )  # fmt: skip
    return made if outside is None else _hidden(made, outside)


def _handshake(facts: Facts, door: Door | None, liberal: bool) -> tuple[int, bool]:
    """Whether SYN cookies stand before the door, and whether who is behind it is told the client. A cookie's connection needs to be seen
    both ways, and no such door keeps the appliance from itself."""
    if door is None:
        return 0, False
    return 0 if liberal or facts.nic == SELF else door.guard, door.proxy


def _hidden(decision: Decision, outside: Outside) -> Decision:
    """The decision about a flow whose source is translated."""
    pool = -1 if outside.pool is None else outside.pool.number
    draws, entry = (False, "") if outside.entry is None else (outside.entry.draws, outside.entry.name)
    return decision._replace(
        outside=outside.address or 0, pool=pool, keeps_port=outside.keeps_port, draws=draws, alone=outside.alone, snat=entry,
    )  # fmt: skip


def _outside(facts: Facts, ruleset: Ruleset, door: Door | None, egress: int, zones: tuple[int, int], on_link: bool) -> Outside | None:
    """What the flow's source becomes; None: it stays. `on_link`: it is the nic's neighbour.

    What goes back to where it came from is hidden, for its receiver would answer around us; under an address that it has outside if it
    has one. Source: RFC 4787, section 6, REQ-9.
    """
    version, source = facts.version, facts.source
    own = Outside(ruleset.primary.get((egress, version)))
    if door is not None:
        if door.masquerade:
            return own
        around = door.outer not in (-1, zones[0])
        entry = ruleset.sources.find(zones[0], door.outer, version, source) if around else None
        if entry is not None and (door.own or entry.pool is not None or entry.static is not None):
            return _of_entry(entry, ruleset, version, source, Outside(door.own or None))
        if door.hairpin and egress == facts.nic and (around or on_link) and own.address is not None:
            return own
    entry = ruleset.sources.find(*zones, version, source)
    return None if entry is None else _of_entry(entry, ruleset, version, source, own)


def _of_entry(entry: Source, ruleset: Ruleset, version: int, source: int, own: Outside) -> Outside:
    """What an entry makes of a source. `own`: who masquerades."""
    if entry.static is not None:
        return Outside(entry.static.out(source), True, alone=not entry.static.single, entry=entry)
    if entry.pool is None:
        return own._replace(alone=entry.binds, entry=entry)
    address = entry.pool.address(source)
    return Outside(address, address not in ruleset.local_addresses[version], entry.pool, entry.binds, entry)


def _implied(facts: Facts, ruleset: Ruleset, door: Door | None) -> Verdict:
    """The rule of a flow that no written rule speaks of."""
    if door is not None and door.rule is not None:
        return door.rule
    if facts.nic == SELF:
        port = facts.dport if facts.icmp_type < 0 else 0
        return ruleset.probes.get((facts.version, facts.protocol, facts.destination, port), DEFAULT_DENY)
    return DEFAULT_DENY


def _reply(
    facts: Facts, ruleset: Ruleset, view: StateView, door: Door | None, egress: int, destination: int, dport: int, outside: Outside | None
) -> Tuple5 | None:
    """The reply to expect; None if it can't be made unambiguous.

    Only two kinds of flow can share a reply with another: translated ones, and the appliance's own, whose address hidden flows use too.
    """
    nic, version, protocol, source, _, sport, *_ = facts
    comes_home = partial(view.comes_home, facts, egress)
    if outside is None:
        if door is None and nic != SELF:
            return destination, source, dport, sport
        return free_reply(view, version, protocol, (source, destination, sport, dport), False, False, comes_home)
    if outside.address is None:
        return None
    draws = outside.entry is not None and outside.entry.draws
    if outside.entry is not None and outside.entry.binds and protocol in (TCP, UDP):
        return _bind(facts, ruleset, view, comes_home, destination, dport, outside)
    return free_reply(view, version, protocol, (outside.address, destination, sport, dport), not outside.keeps_port, draws, comes_home)


def _bind(
    facts: Facts, ruleset: Ruleset, view: StateView, comes_home: Callable[[Tuple5], bool], destination: int, dport: int, outside: Outside
) -> Tuple5 | None:
    """The reply to expect by the flow's inside end's own outside port; None if another flow expects it, or there is no such port.

    A port by which this flow comes home has the others of that end come home, too: what is different about them is so both ways, and the
    hash is linear (if the nics have equally many queues, a power of two).
    """
    _, version, protocol, source, _, sport, *_ = facts
    address, entry = outside.address or 0, outside.entry
    binding = view.bindings.find(version, protocol, source, sport, address)

    def fits(port: int) -> bool:
        taken = any(ruleset.doors.find(zone, version, protocol, address, port) for zone in range(ruleset.self_zone))
        return not taken and view.is_free(version, protocol, (destination, address, dport, port))

    def suits(port: int) -> bool:
        return comes_home((destination, address, dport, port))

    if binding is None and entry is not None:
        wanted = Binding(version, protocol, source, sport, address, 0, entry.name)
        binding = view.bindings.make(wanted, fits, keeps(sport, outside.keeps_port) and not entry.draws, suits)
    if binding is None:
        return None
    reply = destination, address, dport, binding.outside_port
    if not view.is_free(version, protocol, reply):
        return None
    view.bindings.use(binding, reply)
    return reply


def _refuse(
    reason: Reason, rule: Verdict, egress: int = NOWHERE, service: str | None = None, target: str | None = None, audited: Verdict = NO_RULE
) -> Decision:
    tried = audited.name, audited.word if audited.name else ""
    return Decision(False, reason, rule.name, rule.line, egress, 0, NO_TUPLE, service, target, 0, False, *tried)
