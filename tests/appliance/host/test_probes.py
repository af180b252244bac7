"""Probes against real sockets on the loopback: what each kind takes for a good answer, and what it says otherwise."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trustme
import uvloop

from appliance.config.health import Trust
from appliance.config.models import Health
from appliance.host.probes import probe
from tests.support.waiting import PATIENCE

ADDRESSES = ("127.0.0.1", "::1")
PATIENT = partial(Health, timeout=PATIENCE)
"""Of a check that is answered."""
Story = Callable[[], Awaitable[None]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Callable[[Story], None]:
    """Runs a story on both kinds of loop: the appliance's is uvloop's, and it watches sockets in its own way."""

    def run(story: Story) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(story())

    return run


@asynccontextmanager
async def serving(says: bytes, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A TCP server that reads a request, answers it and hangs up: its port, and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(says)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    server = await asyncio.start_server(serve, address, 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


def unused(kind: int, address: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as one:
        one.bind((address, 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("address", ADDRESSES)
def test_tcp_asks_for_a_connection(play: Callable[[Story], None], address: str) -> None:
    async def story() -> None:
        async with serving(b"", address) as (port, _):
            assert await probe(PATIENT(), address, port, address) == ""
        assert "refused" in (await probe(PATIENT(), address, unused(socket.SOCK_STREAM, address), None)).lower()

    play(story)


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        (b"HTTP/1.0 204\r\n\r\n", ""),
        (b"HTTP/1.1 200 \n\n", ""),
        (b"HTTP/1.1 302 Found\r\n\r\n", ""),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "status 503"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "status 404"),
        (b"HTTP/1.1 20000 OK\r\n\r\n", "no HTTP/1 status"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "no HTTP/1 status"),
        (b"HTTP/1.1 200 O", "closed without a status"),
        (b"", "closed without a status"),
        (b"x" * 100_000, "no status in 1024 bytes"),
    ],
)
def test_http_asks_for_a_status(play: Callable[[Story], None], says: bytes, why: str) -> None:
    async def story() -> None:
        async with serving(says) as (port, asked):
            health = PATIENT(type="http", path="/ready?deep=1", expect=["200-299", "302"], host="www.example.com")
            assert await probe(health, "127.0.0.1", port, None) == why
        [request] = asked
        line, *headers = request.decode().splitlines()
        assert line == "GET /ready?deep=1 HTTP/1.1" and "Host: www.example.com" in headers and "Connection: close" in headers

    play(story)


@pytest.mark.parametrize("address", ADDRESSES)
def test_http_names_the_target_itself_unless_a_host_is_given(play: Callable[[Story], None], address: str) -> None:
    async def story() -> None:
        async with serving(b"HTTP/1.1 200 OK\r\n\r\n", address) as (port, asked):
            assert await probe(PATIENT(type="http"), address, port, None) == ""
        assert f"\r\nHost: {'[::1]' if ':' in address else address}:{port}\r\n".encode() in asked[0]

    play(story)


class Authority:
    """One that is asked for nothing but in these tests, and a server of its."""

    def __init__(self, *names: str) -> None:
        self.ca, self.server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(self.server)
        self.server.sni_callback = lambda socket, name, context: self.asked_for.append(name)
        self.asked_for: list[str | None] = []

    @property
    def pem(self) -> Trust:
        return Trust("file", self.ca.cert_pem.bytes().decode())


OK, BAD = b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 500 Oops\r\n\r\n"


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(("keys", "known", "says", "why"), [
    ({}, True, OK, ""),
    ({}, True, BAD, "status 500"),
    ({}, False, OK, "certificate: unable to get local issuer certificate"),
    ({"server_name": "web.example"}, True, OK, ""),
    ({"host": "web.example:443"}, True, OK, ""),
    ({"server_name": "other.example"}, True, OK, "certificate: Hostname mismatch, certificate is not valid for 'other.example'."),
    ({"verify": "off"}, False, OK, ""),
    ({"verify": "off", "server_name": "other.example"}, True, OK, ""),
    ({"verify": "off"}, True, BAD, "status 500"),
    ({"verify": "system"}, True, OK, "certificate: unable to get local issuer certificate"),
])  # fmt: skip
def test_https_asks_for_a_status_of_whom_the_certificate_is_for(
    play: Callable[[Story], None], address: str, keys: dict[str, Any], known: bool, says: bytes, why: str
) -> None:
    authority = Authority(address, "web.example")
    trusted = authority if known else Authority("elsewhere")

    async def story() -> None:
        async with serving(says, address, authority.server) as (port, asked):
            health = PATIENT(**{"type": "https", "verify": trusted.pem, "path": "/ready"} | keys)
            assert await probe(health, address, port, address) == why
        assert len(asked) == (not why.startswith("certificate"))
        named = keys.get("server_name") or keys.get("host", "").partition(":")[0] or None
        assert authority.asked_for == [named]

    play(story)


def test_what_speaks_no_tls_or_says_nothing_is_down(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            health = Health(type="https", verify=Trust("off"), timeout=0.2)
            assert await probe(health, "127.0.0.1", silent.getsockname()[1], None) == "no answer in 0.2 s"

        async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            await asyncio.sleep(0.5)
            writer.close()

        async with await asyncio.start_server(chat, "127.0.0.1", 0) as server:
            why = await probe(PATIENT(type="https", verify=Trust("off")), "127.0.0.1", server.sockets[0].getsockname()[1], None)
            assert why.startswith("TLS: ")
        assert "refused" in (await probe(PATIENT(type="https"), "127.0.0.1", unused(socket.SOCK_STREAM), None)).lower()

    play(story)


def test_a_server_that_takes_the_connection_and_says_nothing_is_not_waited_for_longer(play: Callable[[Story], None]) -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            health = Health(type="http", timeout=0.05)
            assert await probe(health, "127.0.0.1", silent.getsockname()[1], None) == "no answer in 0.05 s"
            assert await probe(PATIENT(), "127.0.0.1", silent.getsockname()[1], None) == ""

    play(story)


class Echo(asyncio.DatagramProtocol):
    """Answers with what it was told; `silent`: hears only."""

    def __init__(self, silent: bool) -> None:
        self.silent, self.heard = silent, list[bytes]()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.append(data)
        if not self.silent:
            self.transport.sendto(data, addr)


@pytest.mark.parametrize("address", ADDRESSES)
def test_udp_asks_for_an_answer_or_for_nobody_to_object(play: Callable[[Story], None], address: str) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        udp: dict[str, Any] = {"type": "udp", "send": "hex:00ff"}
        for silent, patience, expected in ((False, PATIENCE, ("", "")), (True, 0.1, ("no answer in 0.1 s", ""))):
            asks, trusts = Health(**udp, timeout=patience), Health(**udp, timeout=patience, silence="up")
            transport, echo = await loop.create_datagram_endpoint(lambda silent=silent: Echo(silent), (address, 0))  # type: ignore[misc]
            port = transport.get_extra_info("sockname")[1]
            assert (await probe(asks, address, port, address), await probe(trusts, address, port, None)) == expected
            assert echo.heard == [b"\x00\xff"] * 2
            transport.close()
        port = unused(socket.SOCK_DGRAM, address)
        for health in (PATIENT(**udp), PATIENT(**udp, silence="up")):
            assert "refused" in (await probe(health, address, port, None)).lower()

    play(story)


@pytest.mark.parametrize("address", ADDRESSES)
def test_icmp_asks_for_an_echo(play: Callable[[Story], None], address: str) -> None:
    async def story() -> None:
        assert await probe(PATIENT(type="icmp"), address, 0, address) == ""

    play(story)


def test_an_echo_of_something_else_is_no_answer(play: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        monkeypatch.setattr("appliance.host.probes._connected", lambda *_: ours)
        theirs.send(b"\x00" * 24)
        theirs.send(b"\x03\x01" + b"\x00" * 22)
        theirs.send(b"")
        assert await probe(Health(type="icmp", timeout=0.05), "192.0.2.1", 0, None) == "no answer in 0.05 s"
        assert theirs.recv(100)[:8] == bytes((8, 0, 0, 0, 0, 0, 0, 1))
        theirs.close()

    play(story)


def test_who_may_not_ping_is_told_what_to_change(play: Callable[[Story], None], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    async def story() -> None:
        monkeypatch.setattr("appliance.host.probes._connected", refuse)
        assert "net.ipv4.ping_group_range" in await probe(Health(type="icmp"), "192.0.2.1", 0, None)

    play(story)
