"""Cross checks of services: families that fit, targets that differ, and one owner for each port that they or forwards listen on."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from appliance.balancer.outliers import may_eject
from appliance.config.addresses import PROTOCOLS, Ports
from appliance.config.errors import quoted
from appliance.config.finding import Finding, Scope
from appliance.config.health import OWN_KEYS
from appliance.config.models import Forward, Service
from appliance.config.places import Path, named
from appliance.config.section import dashed

WORDS = {number: word for word, number in PROTOCOLS.items()}


def check(scope: Scope) -> Iterator[Finding]:
    """Findings about services, and about ports that they and forwards want."""
    for service in scope.config.services.values():
        if ("services", service.name) not in scope.broken:
            yield from _families(service)
            yield from _clients(service)
            yield from _targets(service)
            yield from _health(service)
            yield from _passive(service)
    if not any(scope.lost(section) for section in ("nics", "zones", "services", "nat")):
        yield from _clashes(scope)


def _families(service: Service) -> Iterator[Finding]:
    listens = {listen.address.version for listen in service.listen}
    answers = {target.address.version for target in service.targets}
    for index, listen in enumerate(service.listen):
        if listen.address.version not in answers:
            hint = f"add a target with an IPv{listen.address.version} address, or remove this one"
            yield Finding(("services", service.name, "listen", index), f"no target speaks IPv{listen.address.version}", hint)
    for index, target in enumerate(service.targets):
        if target.address.version not in listens:
            hint = f"listen on an IPv{target.address.version} address, or remove it"
            path: Path = ("services", service.name, "targets", index, "address")
            yield Finding(path, f"service listens on no IPv{target.address.version} address", hint)
    if all(target.weight == 0 for target in service.targets):
        path = ("services", service.name, "targets")
        hint = "give one a weight above 0 to serve new clients"
        yield Finding(path, "every target is drained", hint, "weight 0 everywhere", warning=True)


def _clients(service: Service) -> Iterator[Finding]:
    """What targets are told of their clients."""
    path: Path = ("services", service.name)
    if service.masquerade and "client_ip" in service.model_fields_set and service.client_ip != "translate":
        yield Finding((*path, "client-ip"), "contradicts `masquerade`", "remove `masquerade`", service.client_ip)
    for index, listen in enumerate(service.listen):
        if service.client_ip == "proxy-v2" and listen.protocol != PROTOCOLS["tcp"]:
            hint = "make it a service of its own, or write `client-ip: translate`"
            yield Finding((*path, "listen", index), "proxy-v2 is for TCP alone", hint)


def _targets(service: Service) -> Iterator[Finding]:
    names: set[str] = set()
    endpoints: dict[tuple[IPv4Address | IPv6Address, int], str] = {}
    for index, target in enumerate(service.targets):
        path: Path = ("services", service.name, "targets", index)
        if target.name in names:
            yield Finding((*path, "name"), "name used twice", "choose another name")
        endpoint = (target.address, target.port)
        if endpoint in endpoints:
            yield Finding((*path, "address"), "address and port used twice", f"change one; target {quoted(endpoints[endpoint])} has them")
        if any(endpoint == (listen.address, listen.port) for listen in service.listen[:64]):
            yield Finding((*path, "address"), "target is the service itself", "write the address of a server")
        names.add(target.name)
        endpoints.setdefault(endpoint, target.name)


def _health(service: Service) -> Iterator[Finding]:
    health, path = service.health, ("services", service.name, "health")
    if health is None:
        return
    if health.timeout > health.every:
        found = f"{health.timeout:g} s, with a check every {health.every:g} s"
        yield Finding((*path, "timeout"), "longer than `every`", "make it shorter, or `every` longer", found)
    for attribute, kinds in OWN_KEYS.items():
        if attribute in health.model_fields_set and health.type not in kinds:
            only, hint = " and ".join(f"`type: {kind}`" for kind in kinds), f"remove it, or write `type: {kinds[0]}`"
            yield Finding((*path, dashed(attribute)), f"key of {only} alone", hint, f"type {health.type}")
    if health.type == "udp" and not health.send:
        yield Finding(path, "missing key `send`", "add what a probe shall say, such as `send: ping` or `send: hex:0a1b`")
    if health.type == "icmp" and health.port is not None:
        yield Finding((*path, "port"), "ICMP has no ports", "remove it, or choose another `type`", str(health.port))


def _passive(service: Service) -> Iterator[Finding]:
    """Whether anybody can be ejected at all."""
    counts = Counter(target.address.version for target in service.targets)
    if service.passive is not None and not any(may_eject(0, number, service.passive.max_ejected) for number in counts.values()):
        path: Path = ("services", service.name, "passive", "max-ejected")
        what = f"no target can ever be ejected: it would be more than this of {max(counts.values())}"
        hint, found = "have more targets, or write a larger share", quoted(f"{service.passive.max_ejected:.0%}")
        yield Finding(path, what, hint, found, warning=True)


class _Claim(NamedTuple):
    """Ports that one part of the file wants for itself."""

    ports: Ports
    who: str
    path: Path
    line: int


def _clashes(scope: Scope) -> Iterator[Finding]:
    """Two claims to the same address, protocol and port in one zone: only the first would ever get a packet."""
    claims: dict[tuple[str, int, IPv4Address | IPv6Address], list[_Claim]] = {}
    for service in scope.config.services.values():
        zones = scope.config.zones if "any" in service.from_zones else dict.fromkeys(service.from_zones)
        for index, listen in enumerate(service.listen):
            path: Path = ("services", service.name, "listen", index)
            claim = _Claim((listen.port, listen.port), named("services", service.name), path, service.line)
            for zone in zones:
                claims.setdefault((zone, listen.protocol, listen.address), []).append(claim)
    for index, rule in enumerate(scope.config.nat):
        if isinstance(rule, Forward):
            claim = _Claim(rule.ports, named("nat", rule.name), ("nat", index, "port"), rule.line)
            for address in rule.addresses or _addresses(rule, scope):
                claims.setdefault((rule.zone, rule.protocol, address), []).append(claim)
    said: set[Path] = set()
    for (zone, protocol, address), wanted in claims.items():
        for holder, late in _overlaps(wanted):
            if late.path not in said:
                said.add(late.path)
                what = f"{WORDS[protocol]} port on {address} is taken in {named('zones', zone)}"
                yield Finding(late.path, what, f"change one; {holder.who} on line {holder.line} has it")


def _addresses(rule: Forward, scope: Scope) -> list[IPv4Address | IPv6Address]:
    zone = scope.config.zones.get(rule.zone)
    nics = [scope.config.nics[name] for name in zone.nics if name in scope.config.nics] if zone else []
    return [address.ip for nic in nics for address in nic.address if address.version in rule.families]


def _overlaps(claims: list[_Claim]) -> Iterator[tuple[_Claim, _Claim]]:
    """Who has the ports and who comes too late for them: the first in the file has them."""
    holders: list[_Claim] = []  # by ports, apart from each other
    for claim in sorted(claims, key=lambda claim: claim.line):
        low, high = claim.ports
        place = bisect_left(holders, low, key=lambda holder: holder.ports[1])  # the first that ends at `low` or later
        if place < len(holders) and holders[place].ports[0] <= high:
            yield holders[place], claim
        else:
            holders.insert(place, claim)
