"""Addresses that a packet may not begin a flow with, before anything else is asked.

    martian     no router may forward it: loopback, groups, somebody else's link, the appliance's own from outside
    spoofed     it didn't come from where its source is: reverse path forwarding, by each zone's `antispoof`
                strict: a longest prefix that holds the source has to be behind the nic it came in by; of equal ones each will do
                loose: something has to lead to the source, if it is the default route; off: nothing is asked
    bogon       an address that the Internet can't have, in a zone that drops these, unless a network or route of the file has it

Link-local sources are at home on every link, and go no further than to the appliance.
Source: RFC 1812, 4.2.2.11 and 5.3.7; RFC 3927, 7; RFC 4291, 2; RFC 2827; RFC 3704, 2.2 (strict), 2.3 (equal prefixes) and 2.4 (loose);
RFC 6890.
"""

from __future__ import annotations

from typing import Final

from appliance.policy.facts import SELF, Facts, Reason
from appliance.ranges import holds
from appliance.route import LINK_LOCAL, LINK_LOCAL_MASK
from appliance.ruleset import Ruleset
from appliance.special import is_bogon

LINK_LOCAL_4: Final = 0xA9FE
"""169.254/16, without its host bits."""


def arrives(facts: Facts, ruleset: Ruleset) -> Reason | None:
    """Why the packet's addresses may begin no flow here; None if they may."""
    if martian(facts, ruleset):
        return Reason.BAD_ADDRESS
    nic, version, _, source, *_ = facts
    if nic == SELF:
        return None
    if spoofed(ruleset, nic, version, source):
        return Reason.SPOOFED
    return Reason.BOGON if _strange(ruleset, nic, version, source) else None


def leaves(facts: Facts, ruleset: Ruleset, egress: int, chosen: bool) -> Reason | None:
    """Why it may not be sent on by a nic; None if it may. `chosen`: the file says where to, not the packet."""
    nic, version, _, source, destination, *_ = facts
    if link_local(version, source) and (version == 6 or nic != SELF):
        return Reason.BAD_ADDRESS
    return Reason.BOGON if not chosen and nic != SELF and _strange(ruleset, egress, version, destination) else None


def may_report(ruleset: Ruleset, nic: int, version: int, source: int) -> bool:
    """Whether an ICMP error with this source may have come in by a nic. Nothing may lead to a router on the way, and it may have a
    special-purpose address; but nobody poses as a host that is elsewhere."""
    own = source in ruleset.local_addresses[version] or holds(ruleset.outside[version], source)
    elsewhere = bool(ruleset.routes.behind(version, source)) and spoofed(ruleset, nic, version, source)
    return not (own or elsewhere or never(ruleset, version, source))


def martian(facts: Facts, ruleset: Ruleset) -> bool:
    """Whether the packet has an address that must not be forwarded.

    An address of ours comes from ourselves alone, and nothing else does.
    """
    nic, version, _, source, destination, *_ = facts
    if source == destination or never(ruleset, version, source) or never(ruleset, version, destination):
        return True
    local = ruleset.local_addresses[version]
    if link_local(version, destination) and (version == 6 or nic != SELF) and destination not in local:
        return True
    ours = source in local or (nic != SELF and holds(ruleset.outside[version], source))
    return ours is (nic != SELF)


def never(ruleset: Ruleset, version: int, address: int) -> bool:
    """Whether no packet that is routed has such an address, be it as source or as destination."""
    if version == 4:  # this network, loopback; 224/4 and above: multicast, reserved, broadcast
        return address >= 0xE0000000 or address >> 24 in (0, 127) or address in ruleset.broadcasts
    return address >> 120 == 0xFF or address >> 32 in (0, 0xFFFF)  # multicast; unspecified, loopback and IPv4 in disguise


def link_local(version: int, address: int) -> bool:
    """Whether an address means something on its own link alone."""
    return address >> 16 == LINK_LOCAL_4 if version == 4 else address & LINK_LOCAL_MASK == LINK_LOCAL


def spoofed(ruleset: Ruleset, nic: int, version: int, source: int) -> bool:
    """Whether a packet with this source can't have come in by a nic, as far as its zone wants to know."""
    how = ruleset.antispoof[ruleset.zone_of_nic[nic]]
    if how == "off" or link_local(version, source):
        return False
    behind = ruleset.routes.behind(version, source)
    return nic not in behind if how == "strict" else not behind


def _strange(ruleset: Ruleset, nic: int, version: int, address: int) -> bool:
    """Whether a zone that knows no special-purpose addresses is asked to know one."""
    return ruleset.drops_bogons[ruleset.zone_of_nic[nic]] and is_bogon(version, address) and not ruleset.routes.names(version, address)
