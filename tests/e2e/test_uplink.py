"""Taking interfaces over, as in a container: the appliance's namespace has two interfaces with addresses, hosts at their far ends.

    client .9 -- eth0 .1 [fw] eth1 .1 -- server .9
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from typing import Any

import pytest
from pyroute2 import IPRoute

from tests.appliance.host.lab import settings
from tests.e2e.endpoints import SILENCE, Bulk, Caller, both_ways, connect, receive, serving, who
from tests.e2e.host import Host, eventually
from tests.e2e.lab import Appliance, Lab

CONFIG = """
version: 1
nics:
  lan: {uplink: eth0}
  wan: {uplink: eth1, queues: 2}
zones: {home: {nics: [lan]}, net: {nics: [wan]}}
policy:
  - out: {from: [home], to: [net], allow: any}
  - me:  {from: [home], to: [self], allow: [ping]}
  - mine: {from: [self], to: any, allow: any}
nat:
  - behind: {masquerade: {from: [home], to: [net]}}
  - door:   {forward: {on: net, port: tcp/8080, to: "10.0.1.9:7001"}}
"""
SERVER = ("10.0.2.9", "fd00:2::9")
MTU = 1450
FAMILIES = pytest.mark.parametrize("v", (0, 1), ids=("v4", "v6"))


@dataclass
class Site:
    fw: Appliance
    client: Host
    server: Host
    before: dict[str, Any]


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    client, server = lab.host("client"), lab.host("server")
    fw = lab.appliance("fw", CONFIG, start=False)
    for number, host in ((0, client), (1, server)):
        fw.host.call(veth, f"eth{number}", host.name)
        net4, net6 = f"10.0.{number + 1}", f"fd00:{number + 1}"
        gateways = [ip_address(f"{net4}.1"), ip_address(f"{net6}::1")]
        host.set_up("eth0", [ip_interface(f"{net4}.9/24"), ip_interface(f"{net6}::9/64")], gateways, mtu=MTU)
        fw.host.set_up(f"eth{number}", [ip_interface(f"{net4}.1/24"), ip_interface(f"{net6}::1/64")], mtu=MTU)
    fw.host.output("ip", "route", "add", "default", "via", SERVER[0], "dev", "eth1")
    fw.host.output("ip", "route", "add", "172.16.0.0/12", "via", "10.0.1.9", "dev", "eth0")
    for address in SERVER:
        lab.keep(serving(server, (Bulk, address, 7000, "tcp"), (Caller, address, 7001, "tcp")))
    lab.keep(serving(client, (Caller, "10.0.1.9", 7001, "tcp")))
    eventually(lambda: "tentative" not in fw.host.output("ip", "addr"), "addresses are usable")
    yield Site(fw, client, server, fw.host.call(settings))


def veth(name: str, peer: str) -> None:
    """A cable from an interface here to eth0 in another namespace."""
    with IPRoute() as ip:
        ip.link("add", ifname=name, kind="veth", peer={"ifname": "eth0", "net_ns_fd": peer})


def start(site: Site) -> None:
    site.fw.start()
    assert {entry["uplink"] for entry in site.fw.child.log if entry["event"] == "uplink taken over"} == {"eth0", "eth1"}


def test_addresses_and_gateway_are_those_of_the_interfaces(site: Site) -> None:
    start(site)
    assert set(site.fw.nic("lan")["addresses"]) == {"10.0.1.1/24", "fd00:1::1/64"}
    assert set(site.fw.nic("wan")["addresses"]) == {"10.0.2.1/24", "fd00:2::1/64"}
    assert [site.fw.nic(name)["mtu"] for name in ("lan", "wan")] == [MTU, MTU]
    assert "10.0.2.1/24" not in site.fw.host.output("ip", "addr", "show", "eth1")


@FAMILIES
def test_traffic_crosses_the_cards_and_is_translated(site: Site, v: int) -> None:
    both_ways(site.client, SERVER[v], 7000, streams=2, size=4 << 20)
    assert who(site.client, SERVER[v], 7001)[0] == ("10.0.2.1", "fd00:1::9")[v]
    site.client.output("ping", "-n", "-c2", "-i0.02", "-W10", ("10.0.1.1", "fd00:1::1")[v])


def test_a_forwarded_port_leads_inside(site: Site) -> None:
    with connect(site.server, "10.0.2.1", 8080) as one:
        assert receive(one, 100).startswith(b"10.0.2.9 ")


def test_the_appliances_own_traffic_goes_by_the_cards(site: Site) -> None:
    before = site.fw.nic("self")["rx"]["packets"]
    site.fw.host.output("ping", "-n", "-c2", "-i0.02", "-W10", SERVER[0])
    assert site.fw.nic("self")["rx"]["packets"] >= before + 2


@FAMILIES
def test_policy_guards_the_appliance_itself(site: Site, v: int) -> None:
    assert "100% packet loss" in site.server.output("ping", "-n", "-c1", "-W0.4", ("10.0.2.1", "fd00:2::1")[v], check=False)
    with serving(site.fw.host, (Caller, ("10.0.2.1", "fd00:2::1")[v], 7005, "tcp")), pytest.raises(TimeoutError):
        connect(site.server, ("10.0.2.1", "fd00:2::1")[v], 7005, patience=SILENCE)


def test_the_cards_saw_every_frame(site: Site) -> None:
    """The far ends of the cables count what the cards count, but for what large packets were cut into or joined from."""
    assert (site.client.stack_errors(), site.server.stack_errors(), site.fw.host.stack_errors()) == ({}, {}, {})
    for name, host in (("lan", site.client), ("wan", site.server)):
        assert site.fw.nic(name)["rx"]["packets"] > 20 and site.fw.nic(name)["tx"]["packets"] > 20
        assert host.link("eth0")["rx_dropped"] == 0


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGKILL), ids=lambda number: number.name)
def test_interfaces_get_back_what_they_had(site: Site, number: signal.Signals) -> None:
    if site.fw.child.process.poll() is not None:
        start(site)
    site.fw.child.end(number)
    eventually(lambda: site.fw.host.call(settings) == site.before, "settings are as before")
    site.client.output("ping", "-n", "-c1", "-W10", "10.0.1.1")
    site.fw.host.output("ping", "-n", "-c1", "-W10", SERVER[0])
