"""Datagrams larger than any link, between kernels that cut them and put them together: out through masquerade, in through a forward.

    client .9 --192.168.1.0/24, fd00:1::/64-- lan [fw] wan --203.0.113.0/24, fd00:2::/64-- server .9
"""

from __future__ import annotations

import hashlib
import os

import pytest

from tests.e2e.endpoints import DigestDatagram, EchoDatagram, datagrams, serving
from tests.e2e.lab import Lab, Site

CONFIG = """
version: 1
nics:
  lan: {address: [192.168.1.1/24, "fd00:1::1/64"]}
  wan: {address: [203.0.113.1/24, "fd00:2::1/64"]}
zones:
  home: {nics: [lan]}
  net: {nics: [wan]}
policy:
  - out: {from: [home], to: [net], allow: any}
  - me:  {from: [home], to: [self], allow: [ping]}
nat:
  - behind:  {masquerade: {from: [home], to: [net]}}
  - behind6: {masquerade: {from: [home], to: [net], family: v6}}
  - door:    {forward: {on: net, port: udp/8080, to: "192.168.1.9:7000"}}
  - door6:   {forward: {on: net, port: udp/8080, to: "[fd00:1::9]:7000"}}
"""
CLIENT, SERVER = ("192.168.1.9", "fd00:1::9"), ("203.0.113.9", "fd00:2::9")
INSIDE, OUTSIDE = ("192.168.1.1", "fd00:1::1"), ("203.0.113.1", "fd00:2::1")
FAMILIES = pytest.mark.parametrize("v", (0, 1), ids=("v4", "v6"))
SIZES = pytest.mark.parametrize("size", (2000, 8192, 60000))


@pytest.fixture(scope="module")
def site(lab: Lab) -> Site:
    lan, wan = (["192.168.1.9/24", "fd00:1::9/64"], INSIDE), (["203.0.113.9/24", "fd00:2::9/64"], OUTSIDE)
    site = lab.site(CONFIG, {"lan": lan}, {"wan": wan})
    for host, addresses, port in ((site.server, SERVER, 7001), (site.client, CLIENT, 7000)):
        lab.keep(serving(host, *((EchoDatagram, address, port, "udp") for address in addresses)))
    lab.keep(serving(site.server, *((DigestDatagram, address, 7002, "udp") for address in SERVER)))
    for v in (0, 1):  # neighbours are known, so that no first packet waits for one
        site.client.output("ping", "-n", "-c1", "-W10", SERVER[v])
    return site


@FAMILIES
@pytest.mark.parametrize("far", (True, False), ids=("through", "to itself"))
def test_a_ping_of_three_fragments_is_answered(site: Site, v: int, far: bool) -> None:
    to = SERVER[v] if far else INSIDE[v]
    assert " 0% packet loss" in site.client.output("ping", "-n", "-c5", "-i0.02", "-W10", "-s4000", "-p5aa5", to)


@FAMILIES
def test_a_datagram_of_8_kib_arrives_as_it_was_sent(site: Site, v: int) -> None:
    with datagrams(site.client, SERVER[v], 7002) as one:
        for _ in range(20):
            one.send(data := os.urandom(8192))
            assert one.recv(100) == hashlib.sha256(data).digest()


@FAMILIES
@SIZES
@pytest.mark.parametrize("outwards", (True, False), ids=("masqueraded", "forwarded"))
def test_large_datagrams_pass_in_both_directions(site: Site, v: int, size: int, outwards: bool) -> None:
    host, to, port = (site.client, SERVER[v], 7001) if outwards else (site.server, OUTSIDE[v], 8080)
    with datagrams(host, to, port) as one:
        for _ in range(5):
            one.send(data := os.urandom(size))
            assert one.recv(65535) == data
    assert not {name for name in site.fw.status()["drops"] if name.startswith("fragment")}
