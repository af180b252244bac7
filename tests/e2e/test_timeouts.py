"""Idle connections that are reset, and segments that fit, between two hosts with the kernel's stack."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.e2e.endpoints import EchoStream, connect, receive, serving
from tests.e2e.lab import Lab, Site

CONFIG = """
version: 1
nics:
  lan: {address: [192.168.1.1/24, "fd00:1::1/64"]}
  wan: {address: [203.0.113.1/24, "fd00:2::1/64"], mtu: 1400}
zones:
  home: {nics: [lan]}
  net: {nics: [wan]}
policy:
  - brief: {from: [home], to: [net], allow: tcp/7001, timeouts: {tcp-established: 2s, on-expiry: reset}}
  - fits:  {from: [home], to: [net], allow: tcp/7002, mss-clamp: on}
  - small: {from: [home], to: [net], allow: tcp/7003, mss-clamp: 1000}
nat:
  - behind:  {masquerade: {from: [home], to: [net]}}
  - behind6: {masquerade: {from: [home], to: [net], family: v6}}
"""
SERVER = ("203.0.113.9", "fd00:2::9")
FAMILIES = pytest.mark.parametrize("v", (0, 1), ids=("v4", "v6"))
TCP_INFO = 11
PORTS = (7001, 7002, 7003)


@pytest.fixture(scope="module")
def site(lab: Lab) -> Site:
    lan = ["192.168.1.9/24", "fd00:1::9/64"], ["192.168.1.1", "fd00:1::1"]
    wan = ["203.0.113.9/24", "fd00:2::9/64"], ["203.0.113.1", "fd00:2::1"]  # whose own link takes 1,500 bytes
    site = lab.site(CONFIG, {"lan": lan}, {"wan": wan})
    lab.keep(serving(site.server, *((EchoStream, address, port, "tcp") for address in SERVER for port in PORTS)))
    return site


@FAMILIES
def test_the_kernel_takes_the_reset_of_an_idle_connection(site: Site, v: int) -> None:
    with connect(site.client, SERVER[v], 7001) as connection:
        connection.sendall(b"hello")
        assert receive(connection, 5) == b"hello"
        connection.settimeout(30)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def segment(connection: socket.socket) -> int:
    """The largest segment that the kernel sends: tcpi_snd_mss of struct tcp_info, with what options take of each."""
    info = connection.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 104)
    return int(struct.unpack_from("I", info, 16)[0]) + (12 if info[5] & 1 else 0)


@FAMILIES
@pytest.mark.parametrize(("port", "expected"), [(7002, (1360, 1340)), (7003, (1000, 1000))])
def test_the_kernel_sends_no_more_than_its_peer_was_let_announce(site: Site, v: int, port: int, expected: tuple[int, int]) -> None:
    with connect(site.client, SERVER[v], port) as connection:
        assert segment(connection) == expected[v]
        data = bytes(range(256)) * 1000
        connection.sendall(data)
        assert receive(connection, len(data)) == data
