"""What passes and what does not, between a client and a server with the kernel's stack: policy, translation, ICMP errors.

    client .9 masqueraded, .10 as it is  --192.168.1.0/24-- lan [fw] wan --203.0.113.0/24--  server .9
                                           fd00:1::/64                     fd00:2::/64
"""

from __future__ import annotations

import errno
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.endpoints import SILENCE, Caller, EchoStream, connect, datagrams, echoes, receive, serving, who, who_udp
from tests.e2e.host import PATIENCE, eventually
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
  - closed:  {from: [home], to: [net], deny: [tcp/7100, udp/7100]}
  - out:     {from: [home], to: [net], allow: [tcp/7000-7999, udp/7000-7999, ping, traceroute]}
  - me:      {from: [home], to: [self], allow: [ping]}
  - mine:    {from: [self], to: any, allow: any}
nat:
  - behind:  {masquerade: {from: [home], to: [net], source: [192.168.1.9/32]}}
  - behind6: {masquerade: {from: [home], to: [net], source: ["fd00:1::9/128"], family: v6}}
  - door:    {forward: {on: net, port: tcp/8080, to: "192.168.1.10:7000"}}
  - window:  {forward: {on: net, port: udp/8080, to: "192.168.1.10:7000"}}
  - door6:   {forward: {on: net, port: tcp/8080, to: "[fd00:1::10]:7000"}}
"""
SERVER, OUTSIDE = ("203.0.113.9", "fd00:2::9"), ("203.0.113.1", "fd00:2::1")
CLIENT, PLAIN, INSIDE = ("192.168.1.9", "fd00:1::9"), ("192.168.1.10", "fd00:1::10"), ("192.168.1.1", "fd00:1::1")
FAMILIES = pytest.mark.parametrize("v", (0, 1), ids=("v4", "v6"))
IP_RECVERR, IPV6_RECVERR = 11, 25
ORIGIN_ICMP, ORIGIN_ICMP6 = 2, 3


@pytest.fixture(scope="module")
def site(lab: Lab) -> Site:
    lan = ["192.168.1.9/24", "192.168.1.10/24", "fd00:1::9/64", "fd00:1::10/64"], INSIDE
    site = lab.site(CONFIG, {"lan": lan}, {"wan": (["203.0.113.9/24", "fd00:2::9/64"], OUTSIDE)})
    both = [(address, protocol) for address in SERVER for protocol in ("tcp", "udp")]
    lab.keep(serving(site.server, *((Caller, address, port, protocol) for address, protocol in both for port in (7001, 7100, 9000))))
    lab.keep(serving(site.client, *((Caller, address, 7000, protocol) for address in PLAIN for protocol in ("tcp", "udp"))))
    lab.keep(serving(site.server, *((EchoStream, address, 7007, "tcp") for address in SERVER)))
    return site


@FAMILIES
@pytest.mark.parametrize("far", (True, False), ids=("through", "to itself"))
def test_ping_is_answered(site: Site, v: int, far: bool) -> None:
    to = SERVER[v] if far else INSIDE[v]
    assert " 0% packet loss" in site.client.output("ping", "-n", "-c3", "-i0.02", "-W10", to)


@FAMILIES
def test_a_large_ping_comes_back_whole(site: Site, v: int) -> None:
    site.client.output("ping", "-n", "-c2", "-i0.02", "-W10", "-Mdo", f"-s{1472 if v == 0 else 1452}", "-p5aa5", SERVER[v])


@FAMILIES
def test_what_no_rule_allows_meets_silence(site: Site, v: int) -> None:
    before = site.fw.status()["drops"].get("policy", 0)
    with pytest.raises(TimeoutError):
        connect(site.client, SERVER[v], 9000, patience=SILENCE)
    with datagrams(site.client, SERVER[v], 9000, patience=SILENCE) as one, pytest.raises(TimeoutError):
        one.send(b"?")
        one.recv(100)
    assert site.fw.status()["drops"]["policy"] >= before + 2


@FAMILIES
def test_what_a_rule_denies_meets_silence_and_is_counted_for_the_rule(site: Site, v: int) -> None:
    before = site.fw.rule("closed")["packets"]
    with pytest.raises(TimeoutError):
        connect(site.client, SERVER[v], 7100, patience=SILENCE)
    with datagrams(site.client, SERVER[v], 7100, patience=SILENCE) as one, pytest.raises(TimeoutError):
        one.send(b"?")
        one.recv(100)
    assert site.fw.rule("closed")["packets"] >= before + 2


@FAMILIES
def test_the_other_side_may_not_begin(site: Site, v: int) -> None:
    with pytest.raises(TimeoutError):
        connect(site.server, PLAIN[v], 7000, patience=SILENCE)
    assert "100% packet loss" in site.server.output("ping", "-n", "-c1", "-W0.4", PLAIN[v], check=False)
    assert "100% packet loss" in site.server.output("ping", "-n", "-c1", "-W0.4", OUTSIDE[v], check=False)


@FAMILIES
def test_a_masqueraded_client_is_seen_at_the_appliances_address(site: Site, v: int) -> None:
    with connect(site.client, SERVER[v], 7001, source=CLIENT[v]) as connection:
        seen, port = receive(connection, 100).decode().split()
        assert seen == OUTSIDE[v]
        flow = next(flow for flow in site.fw.flows() if flow["reply"] and flow["reply"]["dport"] == int(port))
        assert flow["original"]["source"] == CLIENT[v]
        assert flow["original"]["sport"] == connection.getsockname()[1]
    assert who(site.client, SERVER[v], 7001, source=PLAIN[v])[0] == PLAIN[v]


@FAMILIES
def test_udp_is_masqueraded_too(site: Site, v: int) -> None:
    assert who_udp(site.client, SERVER[v], 7001)[0] in (OUTSIDE[v], PLAIN[v])


def test_two_clients_with_one_source_port_are_told_apart(site: Site) -> None:
    with connect(site.client, SERVER[0], 7007, source=CLIENT[0]) as one:
        other = site.client.call(socket.socket)
        with other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind((PLAIN[0], one.getsockname()[1]))
            other.connect((SERVER[0], 7007))
            assert echoes(one, b"one") and echoes(other, b"other")


@pytest.mark.parametrize("v", (0, 1), ids=("v4", "v6"))
def test_a_forwarded_port_leads_inside_and_shows_the_true_client(site: Site, v: int) -> None:
    with connect(site.server, OUTSIDE[v], 8080) as connection:
        assert receive(connection, 100).decode() == f"{SERVER[v]} {connection.getsockname()[1]}"
        assert connection.getpeername()[:2] == (OUTSIDE[v], 8080)


def test_a_forwarded_udp_port_answers_from_the_address_that_was_asked(site: Site) -> None:
    assert who_udp(site.server, OUTSIDE[0], 8080)[0] == SERVER[0]


@FAMILIES
def test_a_closed_tcp_port_refuses_through_translation(site: Site, v: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        connect(site.client, SERVER[v], 7002, source=CLIENT[v])


@FAMILIES
@pytest.mark.parametrize("masqueraded", (True, False), ids=("masqueraded", "plain"))
def test_a_closed_udp_port_refuses_a_connected_socket_through_translation(site: Site, v: int, masqueraded: bool) -> None:
    source = (CLIENT if masqueraded else PLAIN)[v]
    one = site.client.call(socket.socket, socket.AF_INET6 if v else socket.AF_INET, socket.SOCK_DGRAM)
    with one, pytest.raises(ConnectionRefusedError):
        one.settimeout(PATIENCE)
        one.bind((source, 0))
        one.connect((SERVER[v], 7003))
        one.send(b"anybody?")
        one.recv(100)


@FAMILIES
def test_a_hop_limit_that_ends_here_is_told_with_our_address(site: Site, v: int) -> None:
    one = datagrams(site.client, SERVER[v], 33434)
    level, option = ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR))[v]
    with one:
        one.setsockopt(level, option, 1)
        one.setsockopt(level, (socket.IP_TTL, socket.IPV6_UNICAST_HOPS)[v], 1)
        one.send(b"how far?")
        number, origin, kind, code, offender = eventually(lambda: error_of(one, level, option))
    assert (number, origin) == (errno.EHOSTUNREACH, (ORIGIN_ICMP, ORIGIN_ICMP6)[v])
    assert (kind, code) == ((11, 0), (3, 0))[v]
    assert offender == INSIDE[v]


def error_of(one: socket.socket, level: int, option: int) -> tuple[int, int, int, int, str] | None:
    """What the kernel keeps about an ICMP error: errno, origin, type, code, and who sent it. Source: ip(7), struct sock_extended_err."""
    try:
        _, ancillary, _, _ = one.recvmsg(1000, 1000, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    data = next(data for at, kind, data in ancillary if (at, kind) == (level, option))
    number, origin, kind, code = struct.unpack_from("=IBBB", data)
    address = data[16 + 4 : 16 + 8] if level == socket.IPPROTO_IP else data[16 + 8 : 16 + 24]
    return number, origin, kind, code, socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


@FAMILIES
def test_a_destination_that_no_route_leads_to_is_told(site: Site, v: int) -> None:
    """The appliance has no gateway: beyond its networks there is nothing."""
    with pytest.raises(OSError) as refused:
        connect(site.client, ("198.51.100.1", "2001:db8:99::1")[v], 7000)
    assert refused.value.errno == errno.ENETUNREACH


def test_a_neighbour_that_does_not_answer_is_told(site: Site) -> None:
    """After three questions, a second apart."""

    def meets(v: int) -> int | None:
        with pytest.raises(OSError) as refused:
            connect(site.client, ("203.0.113.77", "fd00:2::77")[v], 7000)
        return refused.value.errno

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(meets, (0, 1))) == [errno.EHOSTUNREACH, errno.EHOSTUNREACH]


def test_nothing_goes_around_the_card(site: Site) -> None:
    assert site.fw.host.links() == {"lo", "softena"}, "the appliance's namespace has no way from one TAP to the other"
    site.fw.agree("lan", site.client)
    site.fw.agree("wan", site.server)


def test_every_frame_is_accounted_for(site: Site) -> None:
    eventually(site.fw.balanced, "received = sent + punted + parked + drops")
    assert site.fw.status()["decisions-failed"] == 0


def test_the_kernel_found_no_damaged_packet(site: Site) -> None:
    assert (site.client.stack_errors(), site.server.stack_errors(), site.fw.host.stack_errors()) == ({}, {}, {})
