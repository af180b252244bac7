"""Which flows `decide` cannot tell apart: what it decided about one of them then holds for all.

A decision compares a flow's addresses and its port with numbers of the configuration alone: ends of networks and ranges, own addresses,
next hops. Those numbers cut each dimension into intervals, its classes:

    sources     0 ....|martian|.....|network|.|gateway|...|own|....  ->  class = bisect_right(cuts, source)
    destinations, ports                                                  likewise

Flows are alike when they have the same ingress nic, version, protocol and ICMP type, all of them begin with a SYN, with a segment as it
comes in the middle of a connection, or with neither, and their classes are equal: source, destination and, of TCP and UDP, destination
port. Their decisions are the same, except that

* a next hop is one number for all of them, or each flow's own: its translated destination, for replies its source,
* so are the addresses and the port of the reply, where they are not translated; the reply's destination port is chosen for each flow,
* the target of a service is each flow's own (refusals, too, may be those of one target): flows are alike as far as they share it,
* so is the address of a pool that a flow's source becomes.

So that one flow's decision shows which of its numbers are the flow's own, a number that the configuration may put in their place is a
class by itself: no gateway shares a class with those behind it. A flow from an address to itself is refused, whatever its class.

Source: Pfaff et al., The Design and Implementation of Open vSwitch, NSDI 2015, section 4 (megaflows); Yang, Lam, Real-time Verification
of Network Properties using Atomic Predicates, 2013.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from appliance.flow.cuts import Packed, pack
from appliance.policy.facts import SELF, Decision, Facts, Reason
from appliance.ranges import Range, ends
from appliance.route import BITS, LINK_LOCAL, LINK_LOCAL_MASK
from appliance.ruleset import Ruleset
from appliance.special import BOGONS

WHOLE_6: Final = (1 << 128) - 1
SPECIAL: Final[dict[int, tuple[Range, ...]]] = {
    4: ((0, 0x00FFFFFF), (0x7F000000, 0x7FFFFFFF), (0xA9FE0000, 0xA9FEFFFF), (0xE0000000, 0xFFFFFFFF)),
    6: ((0, 0xFFFFFFFF), (0xFFFF << 32, (0x10000 << 32) - 1), (LINK_LOCAL, LINK_LOCAL | WHOLE_6 ^ LINK_LOCAL_MASK), (0xFF << 120, WHOLE_6)),
}
"""Addresses that `decide` knows by themselves, as source and as destination: those that no router forwards, and link-local ones."""

CLASS_ALONE: Final = frozenset(
    (Reason.POLICY, Reason.REJECTED, Reason.NO_ROUTE, Reason.BAD_ADDRESS, Reason.SPOOFED, Reason.BOGON, Reason.NOT_A_START)
)
"""Why a flow was refused, if it is so for all that are alike."""


class Cuts(NamedTuple):
    """Where classes begin: ascending numbers, each above 0 and within its dimension. The class of x is `bisect_right(cuts, x)`."""

    sources: dict[int, list[int]]
    """By IP version."""
    destinations: dict[int, list[int]]
    """By IP version."""
    ports: list[int]
    packed: Packed
    """The same for the compiled path."""


class Alike(NamedTuple):
    """What one flow's decision leaves open for those alike: which of its numbers are each flow's own."""

    direct: bool  # the next hop is the translated destination
    reply_direct: bool  # the next hop of replies is the source
    vary: bool  # if the reply is expected already, another source port may be chosen
    hidden: bool  # the source is translated: a port below 1024 is not kept,
    keeps: bool = False  # unless this says so
    draws: bool = False  # and no port is kept if this does


def find_cuts(ruleset: Ruleset) -> Cuts:
    """The places where an answer of `decide` may change."""
    sources, destinations = {}, {}
    for version, bits in BITS.items():
        common = [*ends(SPECIAL[version]), *ends((a, a) for a in ruleset.local_addresses[version]), *ruleset.routes.cuts(version)]
        common += ends(ruleset.outside[version])
        mapped = ends(entry.outside for entry in ruleset.statics.entries if entry.version == version)
        if version == 4:
            common += ends((address, address) for address in ruleset.broadcasts)
        if any(ruleset.drops_bogons):
            common += ends(BOGONS[version])
        from_it, to_it = ruleset.policy.address_cuts(version)
        probed = ends((address, address) for of_version, _, address, _ in ruleset.probes if of_version == version)
        sources[version] = _ascending([*common, *from_it, *ruleset.sources.cuts(version)], bits)
        destinations[version] = _ascending([*common, *to_it, *probed, *mapped], bits)
    probed_ports = ends((port, port) for _, _, _, port in ruleset.probes)
    ports = _ascending([*ruleset.doors.port_cuts(), *ruleset.policy.port_cuts(), *probed_ports], 16)
    return Cuts(sources, destinations, ports, pack(sources, destinations, ports))


def _ascending(numbers: Iterable[int], bits: int) -> list[int]:
    """Each number once. Most come in order already, which a set would forget, and sorting makes use of."""
    return sorted(dict.fromkeys(number for number in numbers if 0 < number < 1 << bits))


def generalized(facts: Facts, decision: Decision) -> Alike | None:
    """What a flow's decision says of all flows alike; None if it says nothing: it hangs on more than the class."""
    if facts.target is not None or decision.alone or facts.source == facts.destination:
        return None
    if not decision.allow:
        return Alike(False, False, False, False) if decision.reason in CLASS_ALONE else None
    behind, outside, port, _ = decision.reply
    hidden = outside != facts.source
    translated = hidden or (behind, port) != (facts.destination, facts.dport)
    return Alike(
        direct=decision.egress != SELF and decision.next_hop == behind,
        reply_direct=facts.nic != SELF and decision.reply_hop == facts.source,
        vary=translated or facts.nic == SELF,
        hidden=hidden,
        keeps=decision.keeps_port,
        draws=decision.draws,
    )
