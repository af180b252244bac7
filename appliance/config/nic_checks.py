"""Cross checks of cards and routes: who has which address, and whether gateways can be reached."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePosixPath

from appliance.config.errors import instead_of, listed, quoted
from appliance.config.finding import Finding, Prefixes, Scope
from appliance.config.models import MAX_NICS, Nic, Route
from appliance.config.places import Path, named

LEAST_OF_A_GUEST = 1500
"""The MTU of a new interface: a driver keeps it, or gives up, when its card takes less. Source: ENA interface, Reset handshake."""


def check(scope: Scope) -> Iterator[Finding]:
    """Findings about nics and routes."""
    for index, nic in enumerate(scope.config.nics.values()):
        if index == MAX_NICS:
            yield Finding(("nics", nic.name), f"more than {MAX_NICS} nics", "remove some", quoted(nic.name), at_key=True)
            return
        yield from _needs(nic, scope)
        yield from _virtual_machine(nic, scope)
        yield from _gateways(nic)
    yield from _used_twice(scope)
    yield from _sockets_twice(scope)
    yield from _networks(scope)
    for index, route in enumerate(scope.config.routes):
        yield from _route(index, route, scope)
    yield from _routes_twice(scope)
    yield from _ways_not_taken(scope)
    yield from _antispoof(scope)


def _needs(nic: Nic, scope: Scope) -> Iterator[Finding]:
    path: Path = ("nics", nic.name)
    if not nic.address and not nic.uplink and path not in scope.broken:
        hint = "add `address: 192.168.10.1/24`" + ("" if nic.vfio_user else ", or an `uplink` to adopt one from")
        written = [key for key in nic.file_keys() if key.replace("-", "_") in nic.model_fields_set]
        yield Finding(path, "missing key `address`", hint, listed(written), at_key=True)
    if nic.mtu < 1280 and nic.addresses(6):
        yield Finding((*path, "mtu"), "too small for IPv6", "write 1280 or more, or remove the IPv6 address")
    if nic.uplink is not None and nic.uplink == nic.tap and nic.vfio_user is None:
        yield Finding((*path, "uplink"), "uplink is the nic's own TAP", "name the Linux interface to take over, or another `tap`")


def _virtual_machine(nic: Nic, scope: Scope) -> Iterator[Finding]:
    path: Path = ("nics", nic.name)
    if nic.vfio_user is None:
        if "guest_mac" in nic.model_fields_set and path not in scope.broken:
            yield Finding((*path, "guest-mac"), "no virtual machine to have it", "add `vfio-user: /run/vms/vm.sock`, or remove it")
        return
    for key in ("tap", "uplink"):
        if key in nic.model_fields_set:
            yield Finding((*path, key), "far side is a virtual machine already", f"keep `vfio-user` or `{key}`, and remove the other")
    if nic.mtu < LEAST_OF_A_GUEST:
        hint = f"write {LEAST_OF_A_GUEST} or more, and set less inside the machine"
        yield Finding((*path, "mtu"), "too small for drivers of virtual machines", hint)


def _gateways(nic: Nic) -> Iterator[Finding]:
    families: set[int] = set()
    for index, gateway in enumerate(nic.gateway):
        path: Path = ("nics", nic.name, "gateway", index)
        if gateway.version in families:
            yield Finding(path, f"second IPv{gateway.version} gateway", "keep one a family", quoted(str(gateway)))
            continue
        families.add(gateway.version)
        if gateway in [address.ip for address in nic.address]:
            yield Finding(path, "gateway is the nic's own address", "write the address of the next router", quoted(str(gateway)))
        elif nic.address and not _linked(gateway) and not any(gateway in address.network for address in nic.address):
            networks = [str(address.network) for address in nic.address if address.version == gateway.version]
            hint = f"write one inside {listed(networks)}" if networks else f"give the nic an IPv{gateway.version} address first"
            yield Finding(path, "gateway is in none of the nic's networks", hint, quoted(str(gateway)))


def _linked(address: IPv4Address | IPv6Address) -> bool:
    return isinstance(address, IPv6Address) and address.is_link_local


def _used_twice(scope: Scope) -> Iterator[Finding]:
    """Linux names and addresses that two nics claim."""
    taps: dict[str, str] = {}
    uplinks: dict[str | None, str] = {}
    macs: dict[bytes, str] = {}
    addresses: dict[IPv4Address | IPv6Address, str] = {}
    for nic in scope.config.nics.values():
        path: Path = ("nics", nic.name)
        if path not in scope.broken and nic.vfio_user is None and (nic.tap in taps or nic.tap == scope.config.host.tun):
            owner = named("nics", taps[nic.tap]) if nic.tap in taps else "the TUN device of `host`"
            yield Finding((*path, "tap"), "Linux interface used twice", f"choose another name; {owner} has it", quoted(nic.tap))
        if nic.uplink in uplinks:
            yield Finding((*path, "uplink"), "uplink taken twice", f"name another interface; {named('nics', uplinks[nic.uplink])} has it")
        for key, mac in _macs(nic):
            if mac in macs:
                hint = f"give one of them another; {named('nics', macs[mac])} has it too"
                yield Finding((*path, key), "MAC address used twice", hint, quoted(mac.hex(":")), warning=macs[mac] != nic.name)
            macs.setdefault(mac, nic.name)
        for index, address in enumerate(nic.address):
            if address.ip in addresses:
                hint = f"choose another; {named('nics', addresses[address.ip])} has it"
                yield Finding((*path, "address", index), "address used twice", hint, quoted(str(address)))
            addresses.setdefault(address.ip, nic.name)
        if nic.vfio_user is None:
            taps.setdefault(nic.tap, nic.name)
        if nic.uplink is not None:
            uplinks.setdefault(nic.uplink, nic.name)


def _macs(nic: Nic) -> Iterator[tuple[str, bytes]]:
    """Each of a nic's MAC addresses with its key."""
    yield "mac", nic.mac
    if nic.vfio_user is not None:
        yield "guest-mac", nic.guest_mac


def _sockets_twice(scope: Scope) -> Iterator[Finding]:
    owners = {PurePosixPath(scope.config.control.socket): "`control`"}
    for nic in scope.config.nics.values():
        if nic.vfio_user is None:
            continue
        owner = owners.setdefault(PurePosixPath(nic.vfio_user), named("nics", nic.name))
        if owner != named("nics", nic.name):
            yield Finding(("nics", nic.name, "vfio-user"), "socket used twice", f"choose another path; {owner} has it")


def _networks(scope: Scope) -> Iterator[Finding]:
    """The same network behind two nics is a mistake: nobody could route. One inside another is legal, and odd."""
    seen = Prefixes()
    for nic in scope.config.nics.values():
        for index, address in enumerate(nic.address):
            path: Path = ("nics", nic.name, "address", index)
            if _linked(address.ip):
                continue
            twin = seen.add(address.network, nic.name)
            around = [other for other in scope.connected.owners(address.ip, address.network.prefixlen - 1) if other != nic.name]
            if twin is not None and scope.own[address.ip] == nic.name:
                hint = f"give each nic its own network; {named('nics', twin)} has {quoted(str(address.network))} too"
                yield Finding(path, "network is behind two nics", hint, quoted(str(address)))
            elif around and twin is None:
                hint = f"expect packets for {quoted(str(address.network))} to leave by this nic, the rest by the other"
                yield Finding(path, f"network lies inside one of {named('nics', around[0])}", hint, quoted(str(address)), warning=True)


def _route(index: int, route: Route, scope: Scope) -> Iterator[Finding]:
    path: Path = ("routes", index)
    via = quoted(str(route.via))
    if route.nic is not None and route.nic not in scope.nics:
        if not scope.unknown("nics"):
            yield Finding((*path, "nic"), "unknown nic", instead_of(route.nic, scope.nics), quoted(route.nic))
    elif route.to.version != route.via.version:
        what = f"IPv{route.via.version} gateway for an IPv{route.to.version} network"
        yield Finding((*path, "via"), what, "write both in one family", via)
    elif route.via in scope.own:
        yield Finding((*path, "via"), "gateway is the appliance's own address", "write the address of the next router", via)
    elif _linked(route.via):
        if route.nic is None and not scope.lost("routes"):
            yield Finding((*path, "via"), "link-local gateway without `nic`", "add `nic:` with the nic it is behind", via)
    elif not scope.adopts and not scope.lost("nics"):
        behind = scope.connected.owners(route.via)
        if not behind:
            hint = "write the address of a router next to one of the nics"
            yield Finding((*path, "via"), "gateway is in no connected network", hint, via)
        elif route.nic is not None and route.nic not in behind:
            yield Finding((*path, "nic"), f"gateway is not behind this nic but {named('nics', behind[0])}", "correct one of the two")


def _antispoof(scope: Scope) -> Iterator[Finding]:
    """A zone that is loose where a default route leads to every source asks nothing."""
    config = scope.config
    used = {address.version for nic in config.nics.values() for address in nic.address}
    led = {gateway.version for nic in config.nics.values() for gateway in nic.gateway}
    led |= {route.to.version for route in config.routes if route.to.prefixlen == 0}
    if scope.adopts or not used <= led:
        return
    for zone in config.zones.values():
        if zone.antispoof == "loose":
            hint = "write `off` to say so, or `strict` to ask whether the way back leads out of the same nic"
            yield Finding(("zones", zone.name, "antispoof"), "refuses no source: a default route leads to each", hint, warning=True)


def _routes_twice(scope: Scope) -> Iterator[Finding]:
    first: dict[IPv4Network | IPv6Network, int] = {}
    for index, route in enumerate(scope.config.routes):
        if route.to in first:
            yield Finding(("routes", index, "to"), "second route to a network", f"keep one; the first is on line {first[route.to]}")
        first.setdefault(route.to, route.line)


def _ways_not_taken(scope: Scope) -> Iterator[Finding]:
    """Of equal prefixes the nearer wins: a nic's own network before a route, a route before a gateway, a gateway before those below."""
    connected = {address.network: nic.name for nic in scope.config.nics.values() for address in nic.address}
    defaults = {route.to.version: route for route in scope.config.routes if route.to.prefixlen == 0}
    for index, route in enumerate(scope.config.routes):
        if route.to in connected:
            what = f"never taken: {named('nics', connected[route.to])} is in this network itself"
            yield Finding(("routes", index, "to"), what, "remove the route, or write a smaller network", warning=True)
    first: dict[int, Nic] = {}
    for nic in scope.config.nics.values():
        for index, gateway in enumerate(nic.gateway):
            path: Path = ("nics", nic.name, "gateway", index)
            above, nearer = first.setdefault(gateway.version, nic), defaults.get(gateway.version)
            if nearer is not None and nearer.via != gateway:
                what = f"never taken: the route to {nearer.to} on line {nearer.line} goes by {nearer.via}"
                yield Finding(path, what, "remove one of the two", warning=True)
            elif nearer is None and above is not nic:
                what = f"no way for new flows: the IPv{gateway.version} gateway of {named('nics', above.name)} on line {above.line} is"
                hint = "expect only answers to who came in by this nic to leave by it, or remove one of the two"
                yield Finding(path, what, hint, quoted(str(gateway)), warning=True)
