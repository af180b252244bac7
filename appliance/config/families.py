"""Rules that can never match, because their parts are about different IP versions (from IPv4 to IPv6, or ICMPv6 among IPv4 addresses), or
about ICMP that begins no flow; and words of that kind among others.

A warning, as for hidden rules (`shadow.py`). It matters most for rules that deny: what they were meant for passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from appliance.config.errors import listed, quoted
from appliance.config.finding import Finding
from appliance.config.models import Config, Rule
from appliance.config.objects import Place
from appliance.config.resolve import Meanings
from appliance.config.words import ICMP, ICMP_TYPES, ICMPV6, ServiceMatch, described

Versions = frozenset[int]
BOTH: Final[Versions] = frozenset((4, 6))
ONLY: Final[dict[int | None, Versions]] = {ICMP: frozenset((4,)), ICMPV6: frozenset((6,))}
"""Protocols of one IP version."""
PLAIN: Final = ({IPv4Network}, {IPv6Network})
"""Kinds of places that a rule with all its addresses of one version has."""


def check(config: Config) -> Iterator[Finding]:
    """A warning for each rule whose source, destination and services have no IP version in common, or with ICMP that begins nothing."""
    yield from _lifeless(config)
    meanings = Meanings(config)
    for index, rule in enumerate(config.policy):
        kinds = {*map(type, rule.source), *map(type, rule.destination)}
        if not kinds or (kinds in PLAIN and rule.services[0].protocol not in ONLY):
            continue  # at once: most rules are like that
        source, destination = _versions(rule.source, meanings), _versions(rule.destination, meanings)
        if not source & destination:
            what = f"can never match: source is {_said(source)}, destination {_said(destination)}"
        elif not source & destination & _spoken(rule):
            what = f"can never match: addresses are {_said(source & destination)}, services {_said(_spoken(rule))}"
        else:
            continue
        yield Finding(("policy", index), what, "write all in one family", quoted(rule.name), warning=True)


def _versions(places: Sequence[Place], meanings: Meanings) -> Versions:
    """Of which IP versions there are addresses. What is not known might have both; what is known to be empty is not judged."""
    if not places:
        return BOTH
    extent = meanings.sum(places)
    found = frozenset(version for version in BOTH if extent.ranges(version))
    return found if found and extent.sure else BOTH


def _spoken(rule: Rule) -> Versions:
    """The IP versions of a rule's services."""
    return frozenset().union(*(ONLY.get(match.protocol, BOTH) for match in rule.services))


def _said(versions: Versions) -> str:
    return " and ".join(f"IPv{version}" for version in sorted(versions)) or "nothing"


def _lifeless(config: Config) -> Iterator[Finding]:
    """A warning for each rule with types of ICMP that nothing can begin with: policy is not asked about them."""
    for index, rule in enumerate(config.policy):
        dead = [match for match in rule.services if match.icmp_type is not None and not _begins(match)]
        if dead:
            what = ("can" if len(dead) == len(rule.services) else "some can") + " never match: of ICMP only echo requests begin flows"
            hint = "leave it out; errors about live flows and echo replies pass without a rule"
            yield Finding(("policy", index, rule.verdict), what, hint, listed(map(described, dead)), warning=True)


def _begins(match: ServiceMatch) -> bool:
    return match.protocol in ICMP_TYPES and match.icmp_type == ICMP_TYPES[match.protocol]["echo-request"]
