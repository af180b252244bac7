"""Addresses that stand for others, between hosts with the kernel's stack: pools, one-to-one, prefixes, and the way round.

    inside .9, .10, .20 --192.168.1.0/24-- lan [fw] wan --203.0.113.0/24-- outside .9
                          fd01:203:405:1::/64             2001:db8:2::/64
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.endpoints import SILENCE, Caller, connect, serving, who
from tests.e2e.host import Host
from tests.e2e.lab import Appliance, Lab

CONFIG = """
version: 1
nics:
  lan: {address: [192.168.1.1/24, "fd01:203:405:1::1/64"]}
  wan: {address: [203.0.113.1/24, "2001:db8:2::1/64"]}
zones:
  home: {nics: [lan]}
  net: {nics: [wan]}
policy:
  - out:    {from: [home], to: [net], allow: any}
  - server: {from: [net, home], to: [home], destination: [192.168.1.20, 192.168.1.70, "fd01:203:405:1::20"], allow: [tcp/7000, ping]}
nat:
  - one:    {one-to-one: {on: net, outside: 203.0.113.20, inside: 192.168.1.20}}
  - block:  {netmap: {on: net, outside: 203.0.113.64/26, inside: 192.168.1.64/26}}
  - prefix: {nptv6: {on: net, outside: "2001:db8:1::/48", inside: "fd01:203:405::/48"}}
  - pool:   {snat: {from: [home], to: [net], pool: 203.0.113.32-203.0.113.39}}
  - door:   {forward: {on: net, port: tcp/8080, to: "192.168.1.10:7000"}}
"""
OUTSIDE, OUTSIDE6 = "203.0.113.9", "2001:db8:2::9"
POOL = {f"203.0.113.{host}" for host in range(32, 40)}
NPT = "2001:db8:1:d550::20"
"""fd01:203:405:1::20 by RFC 6296, section 3.6."""


@dataclass
class Site:
    fw: Appliance
    inside: Host
    outside: Host


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    inside, outside = lab.host("inside"), lab.host("outside")
    fw = lab.appliance("fw", CONFIG)
    own = [f"192.168.1.{host}/24" for host in (9, 10, 20, 70)]
    fw.plug("lan", inside, [*own, "fd01:203:405:1::20/64"], ["192.168.1.1", "fd01:203:405:1::1"])
    fw.plug("wan", outside, ["203.0.113.9/24", "2001:db8:2::9/64"], ["203.0.113.1", "2001:db8:2::1"])
    servers = ["192.168.1.10", "192.168.1.20", "192.168.1.70", "fd01:203:405:1::20"]
    lab.keep(serving(inside, *((Caller, address, 7000, "tcp") for address in servers)))
    lab.keep(serving(outside, *((Caller, address, 7001, "tcp") for address in (OUTSIDE, OUTSIDE6))))
    yield Site(fw, inside, outside)


def test_a_host_leaves_under_one_address_of_the_pool_and_keeps_it(site: Site) -> None:
    seen = {source: {who(site.inside, OUTSIDE, 7001, source=source)[0] for _ in range(5)} for source in ("192.168.1.9", "192.168.1.10")}
    assert all(len(addresses) == 1 and addresses <= POOL for addresses in seen.values())


@pytest.mark.parametrize(
    ("inside", "outside", "peer"),
    [("192.168.1.20", "203.0.113.20", OUTSIDE), ("192.168.1.70", "203.0.113.70", OUTSIDE), ("fd01:203:405:1::20", NPT, OUTSIDE6)],
    ids=("one-to-one", "netmap", "nptv6"),
)
def test_an_address_stands_for_another_both_ways(site: Site, inside: str, outside: str, peer: str) -> None:
    assert who(site.inside, peer, 7001, source=inside)[0] == outside
    assert who(site.outside, outside, 7000)[0] == peer, "who comes in is seen as itself"
    assert " 0% packet loss" in site.outside.output("ping", "-n", "-c2", "-i0.02", "-W10", outside)
    with pytest.raises(TimeoutError):
        connect(site.outside, outside, 7001, patience=SILENCE)


def test_a_host_inside_reaches_its_neighbour_by_the_address_that_it_has_outside(site: Site) -> None:
    """Client and server are one kernel here, so that the answer would never come if it were sent to the client itself."""
    seen = who(site.inside, "203.0.113.1", 8080, source="192.168.1.9")
    assert seen[0] in POOL, "as from outside: RFC 4787, REQ-9"
    assert who(site.inside, "203.0.113.20", 7000, source="192.168.1.70")[0] == "203.0.113.70"


def test_errors_come_back_translated(site: Site) -> None:
    with pytest.raises(ConnectionRefusedError):
        connect(site.inside, OUTSIDE, 7999, source="192.168.1.9")
    output = site.inside.output("ping", "-n", "-c1", "-W10", "-t1", "-I", "fd01:203:405:1::20", OUTSIDE6, check=False)
    assert "Time exceeded" in output or "Hop limit" in output


def test_no_frame_is_lost_from_sight(site: Site) -> None:
    assert site.fw.balanced()
    assert site.inside.stack_errors() == {} == site.outside.stack_errors()
