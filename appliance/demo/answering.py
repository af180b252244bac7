"""The servers of a peer. A TCP server greets with its name and whom it sees, then echoes lines; a UDP server answers each datagram so."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from typing import Any, cast


class Answering:
    """Servers that all say the same name, and count who came."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._heard: Counter[str] = Counter()
        self._kept: list[object] = []

    async def serve(self, protocol: str, address: str, port: int) -> dict[str, Any]:
        """Open one server, "tcp" or "udp", for as long as the peer lives."""
        loop = asyncio.get_running_loop()
        if protocol == "tcp":
            self._kept.append(await asyncio.start_server(self._greet, address, port, backlog=512))
        else:
            self._kept.append(await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=(address, port)))
        return {}

    async def heard(self, protocol: str, port: int) -> dict[str, Any]:
        """How many connections or datagrams came to a port."""
        return {"count": self._heard[f"{protocol}/{port}"]}

    def answer(self, protocol: str, port: int, seen: str) -> bytes:
        """The greeting: one line of JSON."""
        self._heard[f"{protocol}/{port}"] += 1
        return json.dumps({"server": self._name, "seen": seen}).encode() + b"\n"

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(self.answer("tcp", writer.get_extra_info("sockname")[1], writer.get_extra_info("peername")[0]))
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, owner: Answering) -> None:
        self._owner = owner
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # it is one, though not every Python declares it so

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        if self._transport is not None:
            port = self._transport.get_extra_info("sockname")[1]
            self._transport.sendto(self._owner.answer("udp", port, address[0]) + data, address)
