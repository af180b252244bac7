"""Cross checks of translations: families that fit, and addresses that are free to be used."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from appliance.config.addresses import AddressRange
from appliance.config.errors import quoted
from appliance.config.finding import Finding, Scope
from appliance.config.models import Forward, Masquerade, Netmap, Nptv6, OneToOne, Snat
from appliance.config.objects import Relative
from appliance.config.places import Path, named
from appliance.ranges import Span

MOST_OF_A_POOL = 65536
LONGEST_NPTV6 = 64
INDEPENDENT = "endpoint-independent"
WITH_VERSION: Final = (IPv4Network, IPv6Network, Span, Relative)
"""Places that are no objects: those may mean addresses of both families, and only the right ones count."""


def check(scope: Scope) -> Iterator[Finding]:
    """Findings about nat rules."""
    if scope.lost("nat"):
        return  # which keys are gone isn't known by rule, and their defaults may not fit
    for index, rule in enumerate(scope.config.nat):
        path: Path = ("nat", index)
        if isinstance(rule, Masquerade | Snat) and rule.mapping != INDEPENDENT and rule.filtering != "address-and-port-dependent":
            hint = f"add `mapping: {INDEPENDENT}`, or remove it"
            yield Finding((*path, "filtering"), "without a mapping that others could send to", hint, quoted(rule.filtering))
        match rule:
            case Masquerade():
                yield from _masquerade(path, rule)
            case Snat():
                yield from _snat(path, rule, scope)
            case Forward():
                yield from _forward(path, rule, scope)
            case OneToOne() | Netmap() | Nptv6():
                yield from _static(path, rule, scope)
    yield from _twice(scope)


def _masquerade(path: Path, rule: Masquerade) -> Iterator[Finding]:
    for index, network in enumerate(rule.source):
        if isinstance(network, WITH_VERSION) and network.version != rule.family:
            hint = f"write an IPv{rule.family} network, or `family: v{network.version}`"
            what = f"IPv{network.version} source in a rule for IPv{rule.family}"
            yield Finding((*path, "source", index), what, hint, quoted(str(network)))


def _snat(path: Path, rule: Snat, scope: Scope) -> Iterator[Finding]:
    for index, network in enumerate(rule.source):
        if isinstance(network, WITH_VERSION) and not rule.size(network.version):
            hint = f"add an IPv{network.version} address to the pool, or remove this one"
            yield Finding((*path, "source", index), f"no IPv{network.version} address in the pool", hint, quoted(str(network)))
    for version in (4, 6):
        if rule.size(version) > MOST_OF_A_POOL:
            yield Finding((*path, "pool"), f"more than {MOST_OF_A_POOL:,} addresses", "write fewer", f"{rule.size(version):,}")
            return
    for index, span in enumerate(rule.pool):
        twin = next((other for other in rule.pool[:index] if _overlap(span, other)), None)
        if twin is not None:
            yield Finding((*path, "pool", index), "address twice in the pool", f"leave it out; {quoted(_text(twin))} has it", _text(span))
        yield from _taken((*path, "pool", index), span, scope)


def _taken(path: Path, span: AddressRange, scope: Scope) -> Iterator[Finding]:
    """Addresses that nobody may leave under, because they are, or mean, somebody else."""
    first, last = span
    if any(_special(end) for end in span):
        yield Finding(path, "not an address that a host can have", "write unicast addresses", quoted(_text(span)))
        return
    for nic in scope.config.nics.values():
        for address in nic.address:
            if address.version != first.version:
                continue
            if first != last and _within(address.ip, span):
                hint = f"leave {address.ip} out, unless flows shall share its ports with the appliance's own traffic"
                yield Finding(path, f"own address of {named('nics', nic.name)} in the pool", hint, quoted(_text(span)), warning=True)
            net = address.network
            ends = (net.network_address, net.broadcast_address) if isinstance(net, IPv4Network) and net.prefixlen < 31 else ()
            for each in ends:
                if _within(each, span):
                    kind = "network" if each == net.network_address else "broadcast"
                    yield Finding(path, f"{each} is the {kind} address of {net}", "leave it out", quoted(_text(span)))
        for gateway in nic.gateway:
            if _within(gateway, span):
                hint = f"leave it out: it is the gateway of {named('nics', nic.name)}"
                yield Finding(path, f"{gateway} is another's address", hint, quoted(_text(span)))


def _static(path: Path, rule: OneToOne | Netmap | Nptv6, scope: Scope) -> Iterator[Finding]:
    outside, inside = rule.networks
    path = (*path, "outside")
    if outside.version != inside.version:
        yield Finding(path, f"IPv{outside.version} outside, IPv{inside.version} inside", "write both in one family")
        return
    if isinstance(rule, Nptv6) and (outside.version == 4 or outside.prefixlen > LONGEST_NPTV6):
        what = "IPv4 prefix" if outside.version == 4 else f"prefix longer than /{LONGEST_NPTV6}, which RFC 6296 leaves out"
        yield Finding(path, what, "write `netmap`, which takes any prefix", quoted(str(outside)))
    if outside.prefixlen != inside.prefixlen:
        hint = f"write /{inside.prefixlen}, or a prefix of /{outside.prefixlen} inside"
        yield Finding(path, "prefixes of different lengths", hint, f"`{outside}` for `{inside}`")
    elif outside.overlaps(inside):
        yield Finding(path, "outside and inside overlap", "write two different prefixes, or remove it", f"`{outside}` for `{inside}`")
    yield from _others(path, outside, rule, scope)


def _others(path: Path, outside: IPv4Network | IPv6Network, rule: OneToOne | Netmap | Nptv6, scope: Scope) -> Iterator[Finding]:
    """Addresses among those outside that are somebody's."""
    if isinstance(rule, OneToOne):
        yield from _taken(path, (rule.outside, rule.outside), scope)
        if rule.outside in scope.own:
            who = named("nics", scope.own[rule.outside])
            hint = f"remove it from {who}, which answers for it all the same, or write `forward`"
            yield Finding(path, f"own address of {who}, which has to reach the appliance", hint, quoted(str(rule.outside)))
        return
    for nic in scope.config.nics.values():
        for gateway in nic.gateway:
            if gateway in outside:
                hint = f"expect that nobody inside reaches {gateway}, the gateway of {named('nics', nic.name)}, or write `hairpin: off`"
                yield Finding(path, "neighbours among the addresses outside", hint, quoted(str(outside)), warning=True)


def _twice(scope: Scope) -> Iterator[Finding]:
    """Outside addresses that two entries have. A prefix with an exception above it is meant so."""
    seen: list[tuple[str, IPv4Network | IPv6Network, str, int]] = []
    for index, rule in enumerate(scope.config.nat):
        if not isinstance(rule, OneToOne | Netmap | Nptv6):
            continue
        net = rule.networks[0]
        for zone, other, who, line in seen:
            if zone == rule.zone and net.overlaps(other) and net.prefixlen >= other.prefixlen:
                hint = f"write others; {who} on line {line} has them"
                yield Finding(("nat", index, "outside"), "addresses outside are taken", hint, quoted(str(net)))
        seen.append((rule.zone, net, named("nat", rule.name), rule.line))
    for index, rule in enumerate(scope.config.nat):
        for place, span in enumerate(rule.pool if isinstance(rule, Snat) else ()):
            twin = next((who for _, other, who, _ in seen if _overlap(span, (other[0], other[-1]))), None)
            if twin is not None:
                path: Path = ("nat", index, "pool", place)
                hint = f"leave them out, unless others shall share them with {twin}"
                yield Finding(path, "outside address of another entry in the pool", hint, _text(span), warning=True)


def _special(address: IPv4Address | IPv6Address) -> bool:
    limited = address.version == 4 and int(address) >= 0xE0000000
    return limited or address.is_multicast or address.is_loopback or address.is_unspecified or address.is_link_local


def _within(address: IPv4Address | IPv6Address, span: AddressRange) -> bool:
    return address.version == span[0].version and int(span[0]) <= int(address) <= int(span[1])


def _overlap(one: AddressRange, other: AddressRange) -> bool:
    return one[0].version == other[0].version and int(one[0]) <= int(other[1]) and int(other[0]) <= int(one[1])


def _text(span: AddressRange) -> str:
    return str(span[0]) if span[0] == span[1] else f"{span[0]}-{span[1]}"


def _forward(path: Path, rule: Forward, scope: Scope) -> Iterator[Finding]:
    low, high = rule.ports
    if low != high and rule.to_port is not None:
        yield Finding((*path, "to"), "one port for a range of ports", f"write {rule.to_address} alone: each port stays what it is")
    for index, address in enumerate(rule.addresses):
        if rule.family and address.version != rule.family:
            what = f"IPv{address.version} address for an IPv{rule.family} target"
            hint = f"write an IPv{rule.family} address, like `to`"
            yield Finding((*path, "address", index), what, hint, quoted(str(address)))
    zone = scope.config.zones.get(rule.zone)
    if zone is None or rule.addresses or not set(zone.nics) <= scope.config.nics.keys():
        return
    nics = [scope.config.nics[name] for name in zone.nics]
    if not any(nic.address == () or any(each.version in rule.families for each in nic.address) for nic in nics):
        hint = f"name an `address`, or give a nic of {named('zones', rule.zone)} one"
        yield Finding((*path, "on"), f"zone has no IPv{rule.family or 4} address to forward from", hint, quoted(rule.zone))
