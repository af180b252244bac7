"""Ping and path probes by the kernel's own sockets; ICMP errors are read from their error queues, as ip(7) and ipv6(7) describe."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

PATIENCE: Final = 1.2
EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")  # struct sock_extended_err: errno, origin, type, code, pad, info, data
IP_RECVERR, IP_MTU_DISCOVER = 11, 10
IPV6_RECVERR, IPV6_MTU_DISCOVER = 25, 23
PMTUDISC_PROBE: Final = 3
"""Never fragment, whatever the path's MTU is thought to be."""
ECHO_REQUEST: Final = {4: 8, 6: 128}
ECHO_REPLY: Final = {4: 0, 6: 129}
NAMES: Final = {
    (4, 3, 3): "port unreachable", (4, 3, 4): "fragmentation needed", (4, 11, 0): "time exceeded",
    (6, 1, 4): "port unreachable", (6, 2, 0): "packet too big", (6, 3, 0): "time exceeded",
}  # fmt: skip


def ping(address: str, count: int = 3, size: int = 56) -> dict[str, Any]:
    """Send echo requests, one after the other, and count the replies that bring back what was sent."""
    version = ip_address(address).version
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    _allow_ping_sockets()
    with socket.socket(family, socket.SOCK_DGRAM, socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6) as pinger:
        pinger.settimeout(PATIENCE)
        pinger.connect((address, 0))
        begun = time.monotonic()
        replies = sum(_echo(pinger, version, number, os.urandom(size)) for number in range(1, count + 1))
    return {"sent": count, "replies": replies, "seconds": time.monotonic() - begun}


def _allow_ping_sockets() -> None:
    with contextlib.suppress(OSError):  # read-only: then it may be allowed already
        Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")


def _echo(pinger: socket.socket, version: int, number: int, payload: bytes) -> bool:
    pinger.send(struct.pack(">BBHHH", ECHO_REQUEST[version], 0, 0, 0, number) + payload)  # the kernel fills checksum and identifier
    try:
        reply = pinger.recv(65536)
    except TimeoutError:
        return False
    return reply[0] == ECHO_REPLY[version] and reply[6:8] == number.to_bytes(2) and reply[8:] == payload


def probe(address: str, port: int, hops: int = 64, size: int = 32, source: str | None = None) -> dict[str, Any]:
    """Send one UDP datagram that must not be fragmented, of `size` bytes at the IP layer, and tell what came back.

    {"answer": "error", "what", "sender", "mtu"}: an ICMP error; {"answer": "datagram"}. Raises TimeoutError.
    """
    version = ip_address(address).version
    with socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as prober:
        if version == 4:
            options = [(socket.IPPROTO_IP, IP_RECVERR, 1), (socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)]
            options += [(socket.IPPROTO_IP, socket.IP_TTL, hops)]
        else:
            options = [(socket.IPPROTO_IPV6, IPV6_RECVERR, 1), (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE)]
            options += [(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)]
        for level, option, value in options:
            prober.setsockopt(level, option, value)
        if source:
            prober.bind((source, 0))
        prober.connect((address, port))
        prober.send(bytes(max(0, size - (28 if version == 4 else 48))))
        poller = select.poll()
        poller.register(prober, select.POLLIN)
        for _, event in poller.poll(PATIENCE * 1000):
            return _error(prober, version) if event & select.POLLERR else {"answer": "datagram"}
    raise TimeoutError


def _error(prober: socket.socket, version: int) -> dict[str, Any]:
    _, ancillary, _, _ = prober.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
    for _, _, data in ancillary:
        if len(data) >= EXTENDED_ERROR.size + 8:
            _, _, kind, code, _, info, _ = EXTENDED_ERROR.unpack_from(data)
            offender = data[EXTENDED_ERROR.size :]  # struct sockaddr_in or sockaddr_in6
            sender = ip_address(offender[4:8] if version == 4 else offender[8:24])
            what = NAMES.get((version, kind, code), f"type {kind}, code {code}")
            return {"answer": "error", "what": what, "sender": str(sender), "mtu": info}
    return {"answer": "error", "what": "unknown", "sender": "", "mtu": 0}
