"""Two appliances in a row with a narrow link between them: path MTU discovery, hop by hop, in both directions.

    client .9 --10.0.1.0/24-- in [a] out --10.0.3.0/24, 1400-- in [b] out --10.0.2.0/24-- server .9
                             fd00:1::/64                fd00:3::/64              fd00:2::/64
"""

from __future__ import annotations

import errno
import hashlib
import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.endpoints import Bulk, Caller, DigestDatagram, EchoDatagram, datagrams, download, serving, upload, who
from tests.e2e.host import Host, eventually
from tests.e2e.lab import Appliance, Lab

NARROW = 1400
A = """
version: 1
nics:
  in:  {address: [10.0.1.1/24, "fd00:1::1/64"], queues: 2}
  out: {address: [10.0.3.1/24, "fd00:3::1/64"], gateway: [10.0.3.2, "fd00:3::2"], mtu: 1400}
zones: {home: {nics: [in]}, net: {nics: [out]}}
policy:
  - out: {from: [home], to: [net], allow: any}
  - me:  {from: [home], to: [self], allow: [ping]}
nat:
  - behind: {masquerade: {from: [home], to: [net]}}
"""
B = """
version: 1
nics:
  in:  {address: [10.0.3.2/24, "fd00:3::2/64"], mtu: 1400}
  out: {address: [10.0.2.1/24, "fd00:2::1/64"]}
zones: {up: {nics: [in]}, down: {nics: [out]}}
routes:
  - {to: "fd00:1::/64", via: "fd00:3::1"}
policy:
  - down: {from: [up], to: [down], allow: any}
"""
SERVER = ("10.0.2.9", "fd00:2::9")
SECOND, THIRD = ("10.0.2.10", "fd00:2::10"), ("10.0.2.11", "fd00:2::11")
"""More addresses of the server: what a kernel learns about the way to one doesn't hold for another."""
FAMILIES = pytest.mark.parametrize("v", (0, 1), ids=("v4", "v6"))
RECVERR = ((socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25))
MTU_DISCOVER = ((socket.IPPROTO_IP, 10), (socket.IPPROTO_IPV6, 23))
DONT, DO = 0, 2


@dataclass
class Site:
    a: Appliance
    b: Appliance
    client: Host
    server: Host


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    client, middle, server = lab.host("client"), lab.host("middle"), lab.host("server")
    a, b = lab.appliance("a", A), lab.appliance("b", B)
    a.host.output("ip", "link", "set", "out", "name", "a-out")
    b.host.output("ip", "link", "set", "in", "name", "b-in")
    middle.output("ip", "link", "add", "name", "wire", "type", "bridge", "mcast_snooping", "0")
    middle.output("ip", "link", "set", "dev", "wire", "up", "mtu", str(NARROW))
    a.plug("in", client, ["10.0.1.9/24", "fd00:1::9/64"], ["10.0.1.1", "fd00:1::1"])
    for appliance, end in ((a, "a-out"), (b, "b-in")):
        appliance.plug(end, middle, [], mtu=NARROW)
        middle.output("ip", "link", "set", end, "master", "wire")
    middle.output("ip", "addr", "add", "10.0.3.9/24", "dev", "wire")
    lab.keep(serving(middle, (DigestDatagram, "10.0.3.9", 7007, "udp")))
    addresses = [f"10.0.2.{n}/24" for n in (9, 10, 11)] + [f"fd00:2::{n}/64" for n in (9, 10, 11)]
    b.plug("out", server, addresses, ["10.0.2.1", "fd00:2::1"])
    for address in (*SERVER, *SECOND, *THIRD):
        lab.keep(serving(server, (Bulk, address, 7000, "tcp"), (Caller, address, 7001, "tcp"), (EchoDatagram, address, 7007, "udp")))
    yield Site(a, b, client, server)


def route_mtu(host: Host, to: str) -> int:
    """What the kernel of a host has learnt about the way; 0: nothing."""
    found = re.search(r"\bmtu (\d+)", host.output("ip", "route", "get", to))
    return int(found[1]) if found else 0


@FAMILIES
def test_streams_find_their_size_in_both_directions(site: Site, v: int) -> None:
    """Both ends announce what 1500 bytes hold; large packets, to be cut to that size, meet the narrow link."""
    upload(site.client, SERVER[v], 7000, 0, 12 << 20)
    assert route_mtu(site.client, SERVER[v]) == NARROW
    download(site.client, SECOND[v], 7000, 0, 12 << 20)
    assert route_mtu(site.server, ("10.0.3.1", "fd00:1::9")[v]) == NARROW


@FAMILIES
def test_a_datagram_too_big_for_the_narrow_link_is_told_to_the_sender(site: Site, v: int) -> None:
    with datagrams(site.client, THIRD[v], 7007) as one:
        one.setsockopt(*MTU_DISCOVER[v], DO)
        one.send(bytes(1450))
        assert eventually(lambda: route_mtu(site.client, THIRD[v]), "the route's MTU is learnt") == NARROW
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EMSGSIZE
        most = NARROW - (28, 48)[v]
        with pytest.raises(OSError, match="too long"):
            one.send(bytes(most + 1))
        one.send(bytes(most))
        assert len(one.recv(2000)) == most


def test_a_datagram_that_may_be_fragmented_is_and_arrives_whole(site: Site) -> None:
    """To the host on the narrow link, whose kernel puts it together again."""
    sent = bytes(n * 7 & 255 for n in range(1472))
    with datagrams(site.client, "10.0.3.9", 7007) as one:
        one.setsockopt(*MTU_DISCOVER[0], DONT)
        one.send(b"fragments don't wait until the neighbour is known")
        one.recv(100)
        one.send(sent)
        assert one.recv(100) == hashlib.sha256(sent).digest()


@FAMILIES
def test_each_hop_tells_its_name(site: Site, v: int) -> None:
    """As traceroute asks: a datagram for each hop limit to a port that nobody listens on."""
    assert [hop(site.client, v, limit) for limit in (1, 2, 3)] == [
        ("time exceeded", ("10.0.1.1", "fd00:1::1")[v]),
        ("time exceeded", ("10.0.3.2", "fd00:3::2")[v]),
        ("port unreachable", SERVER[v]),
    ]


def hop(client: Host, v: int, limit: int) -> tuple[str, str]:
    """What comes back for a hop limit, and from whom."""
    names = ({(11, 0): "time exceeded", (3, 3): "port unreachable"}, {(3, 0): "time exceeded", (1, 4): "port unreachable"})[v]
    with datagrams(client, SERVER[v], 33434 + limit) as one:
        one.setsockopt(*RECVERR[v], 1)
        one.setsockopt(RECVERR[v][0], (socket.IP_TTL, socket.IPV6_UNICAST_HOPS)[v], limit)
        one.send(b"who is there?")
        return eventually(lambda: told(one, names), f"an answer for hop {limit}")


def told(one: socket.socket, names: dict[tuple[int, int], str]) -> tuple[str, str] | None:
    """Kind and sender of the ICMP error in the socket's error queue. Source: ip(7), struct sock_extended_err."""
    try:
        ancillary = one.recvmsg(2000, 1000, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)[1]
    except BlockingIOError:
        return None
    data = next(data for level, kind, data in ancillary if (level, kind) in RECVERR)
    kind, code = struct.unpack_from("=5xBB", data)
    offender = data[20:24] if one.family == socket.AF_INET else data[24:40]
    return names.get((kind, code), f"{kind}/{code}"), socket.inet_ntop(one.family, offender)


def test_translation_by_the_first_is_all_that_the_second_and_the_server_see(site: Site) -> None:
    assert who(site.client, SERVER[0], 7001)[0] == "10.0.3.1"
    assert who(site.client, SERVER[1], 7001)[0] == "fd00:1::9"


def test_nothing_was_damaged_on_the_way(site: Site) -> None:
    assert (site.client.stack_errors(), site.server.stack_errors()) == ({}, {})
    assert all(nic["resets"] == 0 for each in (site.a, site.b) for nic in each.status()["nics"])
