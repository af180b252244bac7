"""Health probes by the sockets of the appliance's own stack: one question, and why its answer isn't a good one.

    tcp   a connection opens                                http, https  the status line of a GET is read, and nothing behind it
    udp   a datagram comes back, or ICMP tells of none      icmp         an echo reply with the same content

Nothing of it takes privileges. Echo requests leave by ping sockets, which Linux opens to the groups in `net.ipv4.ping_group_range`.
Source: RFC 9112, sections 3 and 4; RFC 792; RFC 4443, section 4; icmp(7).
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Final

from appliance.config.health import Health, Trust

LONGEST_LINE: Final = 1024
"""Bytes that a server may take for its status line."""
STATUS_LINE: Final = re.compile(rb"HTTP/1\.[0-9] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")
HOST_NAME: Final = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._-]*)(?::[0-9]+)?")
ECHO: Final = {4: (8, 0), 6: (128, 129)}
"""Request and reply, by IP version."""

Ask = Callable[[Health, str, int, str | None], Awaitable[str]]


async def probe(health: Health, address: str, port: int, source: str | None) -> str:
    """Ask a target once, from `source`: what an own address sends goes to the TUN, whatever it is for.

    Empty when the answer was a good one, otherwise why not.
    """
    try:
        async with asyncio.timeout(health.timeout):
            return await ASKS[health.type](health, address, port, source)
    except TimeoutError:
        return "" if health.type == "udp" and health.silence == "up" else f"no answer in {health.timeout:g} s"
    except ssl.SSLCertVerificationError as error:
        return f"certificate: {error.verify_message}"
    except ssl.SSLError as error:
        return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)


async def _tcp(health: Health, address: str, port: int, source: str | None) -> str:
    _, writer = await asyncio.open_connection(address, port, local_addr=(source, 0) if source else None)
    writer.close()
    return ""


@lru_cache(maxsize=64)
def _context(trust: Trust) -> ssl.SSLContext:
    """Reading the system's authorities takes longer than many a probe."""
    context = ssl.create_default_context(cadata=trust.pem or None)
    context.set_alpn_protocols(["http/1.1"])
    if trust.how == "off":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _https(health: Health, address: str, port: int, source: str | None) -> str:
    named = HOST_NAME.fullmatch(health.host or "")
    name = health.server_name or (named[1] if named else address)
    return await _http(health, address, port, source, _context(health.verify), name)


async def _http(
    health: Health, address: str, port: int, source: str | None, tls: ssl.SSLContext | None = None, name: str | None = None
) -> str:
    own = (source, 0) if source else None
    reader, writer = await asyncio.open_connection(address, port, local_addr=own, limit=LONGEST_LINE, ssl=tls, server_hostname=name)
    host = health.host or (f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
    try:
        writer.write(f"GET {health.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: softena\r\nConnection: close\r\n\r\n".encode())
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        return "closed without a status"
    except asyncio.LimitOverrunError:
        return f"no status in {LONGEST_LINE} bytes"
    finally:
        writer.transport.abort()  # whatever else it says is of no interest
    found = STATUS_LINE.fullmatch(line)
    if found is None:
        return "no HTTP/1 status"
    status = int(found[1])
    return "" if any(low <= status <= high for low, high in health.expect) else f"status {status}"


async def _udp(health: Health, address: str, port: int, source: str | None) -> str:
    with _connected(socket.IPPROTO_UDP, address, port, source) as one:
        one.send(health.send)
        await asyncio.get_running_loop().sock_recv(one, 1)  # an ICMP error is raised here
    return ""


async def _icmp(health: Health, address: str, port: int, source: str | None) -> str:
    version = 6 if ":" in address else 4
    request, reply = ECHO[version]
    content = secrets.token_bytes(16)
    try:
        one = _connected(socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6, address, 0, source)
    except PermissionError:
        return "no right to ping: set net.ipv4.ping_group_range to hold the appliance's group, 65532"
    with one:
        one.send(bytes((request, 0, 0, 0, 0, 0, 0, 1)) + content)  # checksum and identifier are the kernel's
        while True:
            answer = await asyncio.get_running_loop().sock_recv(one, 64)
            if answer[:1] == bytes((reply,)) and answer[8:] == content:
                return ""


def _connected(protocol: int, address: str, port: int, source: str | None) -> socket.socket:
    """A datagram socket that hears its peer alone, ICMP errors about it included. Raises OSError."""
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, protocol)
    try:
        if source:
            one.bind((source, 0))
        one.connect((address, port))
    except OSError:
        one.close()
        raise
    return one


ASKS: Final[Mapping[str, Ask]] = {"tcp": _tcp, "http": _http, "https": _https, "udp": _udp, "icmp": _icmp}
