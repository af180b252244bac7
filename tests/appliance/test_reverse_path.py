"""Strict and loose beside the kernel's `rp_filter`: the same networks and routes, and what each makes of sources by each nic.

The kernel is asked for its route to one of its own addresses `from` a source by a nic: that goes the way of a received packet. Several nics
with a default route are one route of several hops there, since routes of other metrics are no equals.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from ipaddress import IPv4Interface, IPv4Network, ip_address
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from appliance.config.models import Config, Nic, Route, Zone
from appliance.decide import compile_ruleset
from appliance.host.namespaces import Namespace
from appliance.policy.facts import UDP, Facts, Reason
from appliance.sanity import arrives
from tests.appliance.host.lab import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "nothing is missing")

NICS = ("gra", "grb", "grc")
LINKS = {
    "gra": ["203.0.113.7/24", "10.1.0.1/16"],
    "grb": ["10.1.2.1/24", "192.0.2.1/25", "10.1.128.1/17"],
    "grc": ["10.1.2.129/26", "198.51.100.1/31", "172.16.0.1/12"],
}
FAR = ["10.0.0.0/8", "192.0.2.0/24", "203.0.113.128/25", "100.64.0.0/10", "10.1.2.0/25", "8.8.8.8/32", "128.0.0.0/1"]
WORDS: tuple[Literal["off", "strict", "loose"], ...] = ("off", "strict", "loose")
HOW = {"off": 0, "strict": 1, "loose": 2}
REFUSALS: dict[int, set[Reason | None]] = {errno.EXDEV: {Reason.SPOOFED}, errno.EINVAL: {Reason.SPOOFED, Reason.BAD_ADDRESS}, 0: {None}}
"""What the kernel's error means; newer ones have one for all."""
SOURCES = [
    "203.0.113.9", "203.0.113.200", "203.0.113.7", "203.0.113.255", "10.1.2.9", "10.1.2.130", "10.1.2.200", "10.1.200.9", "10.1.7.7",
    "10.9.9.9", "192.0.2.9", "192.0.2.200", "198.51.100.0", "172.17.1.1", "8.8.8.8", "8.8.4.4", "200.0.0.1", "100.64.1.1", "127.0.0.1",
    "224.0.0.9",
]  # fmt: skip


def network(random: Random) -> Config:
    """Some of the addresses on each nic, some routes, gateways on some nics or on none."""
    nics = {}
    for name in NICS:
        addresses = [IPv4Interface(each) for each in random.sample(LINKS[name], random.randint(1, len(LINKS[name])))]
        near = next(iter(host for host in addresses[0].network.hosts() if host != addresses[0].ip))
        nics[name] = Nic(name=name, address=tuple(addresses), gateway=(near,) if random.random() < 0.4 else ())
    zones = {name: Zone(name=name, nics=(name,), antispoof=random.choice(WORDS)) for name in NICS}
    routes = []
    for each in random.sample(FAR, random.randint(0, 4)):
        link = random.choice([address for nic in nics.values() for address in nic.address])
        via = next(iter(host for host in link.network.hosts() if host != link.ip))
        own = [address for nic in nics.values() for address in nic.address if via in address.network]
        longest = max(address.network.prefixlen for address in own)
        nearest = next(name for name, nic in nics.items() if any(a.network.prefixlen == longest and via in a.network for a in nic.address))
        taken = {address.network for nic in nics.values() for address in nic.address}
        if via not in {address.ip for address in own} and IPv4Network(each) not in taken:
            routes.append(Route(to=IPv4Network(each), via=via, nic=nearest))
    return Config(nics=nics, zones=zones, routes=tuple(routes))


def inside(config: Config, asked: list[tuple[str, str]]) -> list[int]:
    """What the kernel says to each (nic, source): 0 or an error's number."""
    with IPRoute() as ip:
        for name in NICS:
            ip.link("add", ifname=name, kind="tuntap", mode="tap")
        index = {name: ip.link_lookup(ifname=name)[0] for name in NICS}
        for name, nic in config.nics.items():
            ip.link("set", index=index[name], state="up")
            for address in nic.address:
                ip.addr("add", index=index[name], address=str(address.ip), prefixlen=address.network.prefixlen)
            how = HOW[config.zones[name].antispoof]
            Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text(str(how))
        Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("0")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        for route in config.routes:
            ip.route("add", dst=str(route.to), gateway=str(route.via), oif=index[route.nic or ""])
        hops = [{"gateway": str(gateway), "oif": index[name]} for name, nic in config.nics.items() for gateway in nic.gateway]
        if hops:
            ip.route("add", dst="0.0.0.0/0", **({"multipath": hops} if len(hops) > 1 else hops[0]))
        return [_ask(ip.route, str(config.nics[name].address[0].ip), source, index[name]) for name, source in asked]


def _ask(route: Callable[..., Any], destination: str, source: str, index: int) -> int:
    try:
        route("get", dst=destination, src=source, iif=index)
    except NetlinkError as error:
        return int(error.code)
    return 0


@pytest.mark.parametrize("seed", range(12))
def test_sources_are_refused_as_by_the_kernel(seed: int) -> None:
    config = network(Random(seed))
    ruleset = compile_ruleset(config, 1, b"", 31)
    asked = [(name, source) for name in NICS for source in SOURCES if source != str(config.nics[name].address[0].ip)]
    with Namespace(f"rpf{seed}", "guard") as namespace:
        said = namespace.call(inside, config, asked)
    for (name, source), kernel in zip(asked, said, strict=True):
        to = int(config.nics[name].address[0].ip)
        why = arrives(Facts(NICS.index(name), 4, UDP, int(ip_address(source)), to, 7, 7, -1, 0), ruleset)
        if why is Reason.BAD_ADDRESS and config.zones[name].antispoof == "off":
            continue  # the kernel looks no source up then, so takes a broadcast address for one: RFC 1812, 5.3.7
        assert why in REFUSALS[kernel], (name, source, config.zones[name].antispoof, config.routes, why, errno.errorcode.get(kernel))
