"""What one value can't know: checks that relate parts of a sound `Config`.

    here                names: zones of nics, zones in rules, names used twice
    nic_checks.py       addresses, gateways, routes
    nat_checks.py       translations
    service_checks.py   services, and who listens where
    timeout_checks.py   timeouts that are too short
    object_checks.py    objects and what is written in their place
    families.py         rules that can never match: parts of different IP versions, ICMP that begins nothing
    shadow.py           rules that can never match: hidden by another

Each check yields `Finding`s with the path of what is wrong. `broken` names items that were left out because they are
wrong themselves or lost keys: nobody is told that something is missing which only awaits its correction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil

from appliance.config import families, nat_checks, nic_checks, object_checks, service_checks, shadow, timeout_checks
from appliance.config.errors import instead_of, listed, quoted
from appliance.config.finding import Finding, Scope
from appliance.config.limits import Most
from appliance.config.models import LEAST_FLOWS, MOST_FLOWS, Config, Forward, Masquerade, Netmap, Nptv6, OneToOne, Snat
from appliance.config.places import Path, named
from appliance.config.words import TCP
from appliance.flow.table import bytes_of


def check(config: Config, broken: frozenset[Path] = frozenset(), instant: float | None = None) -> Iterator[Finding]:
    """All findings, mistakes and warnings alike, in no particular order. `instant`: the time, in seconds since the epoch, if it matters."""
    scope = Scope(config, broken)
    yield from _presence(scope)
    yield from _zone_members(scope)
    yield from _zone_words(scope)
    yield from _names_twice(config)
    yield from _leniency(config)
    yield from _limits(config)
    yield from _memory(config)
    yield from nic_checks.check(scope)
    yield from nat_checks.check(scope)
    yield from service_checks.check(scope)
    yield from timeout_checks.check(config)
    yield from object_checks.check(scope)
    yield from families.check(config)
    yield from shadow.check(config)
    if instant is not None:
        yield from _over(config, instant)


def _over(config: Config, instant: float) -> Iterator[Finding]:
    """Rules whose end has come."""
    for index, rule in enumerate(config.policy):
        if rule.until is not None and rule.until <= instant:
            what = "has passed: the rule never matches again"
            yield Finding(("policy", index, "until"), what, "write a later one, or remove the rule", warning=True)


def _presence(scope: Scope) -> Iterator[Finding]:
    for section, items in (("nics", scope.config.nics), ("zones", scope.config.zones)):
        if not items and not scope.lost(section):
            yield Finding((section,), "empty", "write at least one")


def _zone_members(scope: Scope) -> Iterator[Finding]:
    home: dict[str, str] = {}
    for zone in scope.config.zones.values():
        for index, nic in enumerate(zone.nics):
            path: Path = ("zones", zone.name, "nics", index)
            if nic not in scope.nics and not scope.unknown("nics"):
                yield Finding(path, "unknown nic", instead_of(nic, scope.nics), quoted(nic))
            elif nic in home:
                yield Finding(path, f"{named('nics', nic)} is in two zones", f"leave it in {quoted(home[nic])} or here", quoted(nic))
            home.setdefault(nic, zone.name)
    if scope.lost("zones"):
        return
    for nic in scope.nics - home.keys():
        hint = f"add it to the `nics` of one: {listed(sorted(scope.zones))}"
        yield Finding(("nics", nic), "in no zone", hint, quoted(nic), at_key=True)


def _zone_words(scope: Scope) -> Iterator[Finding]:
    config = scope.config
    known = scope.zones.union(("any", "self"))
    for i, rule in enumerate(config.policy):
        if known.issuperset(rule.from_zones) and known.issuperset(rule.to_zones):
            continue
        yield from _unknown_zones(scope, ("policy", i, "from"), rule.from_zones, ("any", "self"))
        yield from _unknown_zones(scope, ("policy", i, "to"), rule.to_zones, ("any", "self"))
    for i, translation in enumerate(config.nat):
        match translation:
            case Masquerade() | Snat():
                yield from _unknown_zones(scope, ("nat", i, "from"), translation.from_zones, ("any",))
                yield from _unknown_zones(scope, ("nat", i, "to"), translation.to_zones, ("any",))
            case Forward() | OneToOne() | Netmap() | Nptv6():
                yield from _unknown_zones(scope, ("nat", i, "on"), (translation.zone,), ())
    for name, service in config.services.items():
        yield from _unknown_zones(scope, ("services", name, "from"), service.from_zones, ("any",))


def _unknown_zones(scope: Scope, path: Path, words: Iterable[str], special: tuple[str, ...]) -> Iterator[Finding]:
    for index, word in enumerate(words):
        if word in scope.zones or word in special:
            continue
        if word in ("any", "self"):
            yield Finding((*path, index), f"{quoted(word)} has no meaning here", instead_of("", scope.zones), quoted(word))
        elif word in scope.nics:
            homes = [zone.name for zone in scope.config.zones.values() if word in zone.nics] or sorted(scope.zones)
            yield Finding((*path, index), "a nic where a zone is expected", f"write its zone: {listed(homes)}", quoted(word))
        elif not scope.unknown("zones"):
            yield Finding((*path, index), "unknown zone", instead_of(word, scope.zones.union(special)), quoted(word))


def _leniency(config: Config) -> Iterator[Finding]:
    """What a rule says of the TCP that it lets pass, where it lets none pass."""
    for index, rule in enumerate(config.policy):
        for key in ("liberal", "pickup"):
            if not getattr(rule, key):
                continue
            if rule.verdict != "allow":
                yield Finding(("policy", index, key), "only a rule that allows can have it", "remove it", quoted("on"))
            elif not any(match.protocol in (None, TCP) for match in rule.services):
                yield Finding(("policy", index, key), "about TCP, which the rule does not allow", "remove it", quoted("on"))


def _limits(config: Config) -> Iterator[Finding]:
    """Limits of rules that let nothing begin, and bounds of one source that all together never reach."""
    for index, rule in enumerate(config.policy):
        if not (rule.rate or rule.connections):
            continue
        for key in ("rate", "connections"):
            if getattr(rule, key) and (rule.audit or rule.verdict != "allow"):
                yield Finding(("policy", index, key), "only a rule that lets flows begin can have it", "remove it")
        yield from _never_reached(("policy", index, "connections"), rule.connections)
    for name, service in config.services.items():
        yield from _never_reached(("services", name, "protect", "connections"), service.protect.connections)
    for index, entry in enumerate(config.nat):
        if isinstance(entry, Forward):
            yield from _never_reached(("nat", index, "protect", "connections"), entry.protect.connections)


def _memory(config: Config) -> Iterator[Finding]:
    """A flow table whose size is said twice, or that would be smaller or larger than one may be."""
    limits = config.limits
    if limits.memory is None:
        return
    if "flows" in limits.model_fields_set:
        yield Finding(("limits", "memory"), "both `flows` and `memory`", "keep one of them")
    least, most = (ceil(bytes_of(flows) / 2**20) for flows in (LEAST_FLOWS, MOST_FLOWS))
    if not least <= limits.memory / 2**20 <= most:
        yield Finding(("limits", "memory"), "out of range", f"write a size from {least}MiB to {most}MiB")


def _never_reached(path: Path, mosts: Iterable[Most]) -> Iterator[Finding]:
    most = {each.per_source: each.flows for each in mosts}
    if len(most) == 2 and most[True] >= most[False]:
        hint = f"write less than {most[False]} per source, or remove that"
        yield Finding(path, "one source may have as many as all together", hint, warning=True)


def _names_twice(config: Config) -> Iterator[Finding]:
    for section, items in (("policy", config.policy), ("nat", config.nat)):
        first: dict[str, int] = {}
        for index, item in enumerate(items):
            if item.name in first:
                hint = f"choose another name; the first is on line {first[item.name]}"
                yield Finding((section, index), "duplicate name", hint, quoted(item.name))
            first.setdefault(item.name, item.line)
