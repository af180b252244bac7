"""The clients of a peer: single questions, many at once, connections that are held, and conversations that go on in the background."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 1.2
"""Seconds until a question counts as unanswered."""
RHYTHM = 0.005
"""Seconds between the lines of a conversation."""
AT_ONCE = 16


@dataclass(slots=True)
class Connection:
    """One TCP connection, greeted by `server`, who sees us as `seen`."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: str
    seen: str

    async def echo(self) -> None:
        """Send a line nobody can guess, and have it back. Raises OSError if it does not come, or something else does."""
        line = os.urandom(16).hex().encode() + b"\n"
        self.writer.write(line)
        async with asyncio.timeout(PATIENCE):
            if await self.reader.readline() != line:
                raise ConnectionResetError("the connection ended")


async def connect(address: str, port: int, source: str | None = None) -> Connection:
    """Connect and be greeted. Raises TimeoutError, OSError."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(address, port, local_addr=(source, 0) if source else None)
        line = await reader.readline()
    if not line:
        raise ConnectionResetError("the connection ended")
    greeting = json.loads(line)
    return Connection(reader, writer, greeting["server"], greeting["seen"])


@dataclass(slots=True)
class Conversation:
    """Lines sent and echoed, one after the other, until stopped or cut off."""

    task: asyncio.Task[None]
    answered: int = 0
    longest_wait: float = 0.0
    end: str = ""


@dataclass(slots=True)
class Asking:
    """The state of a peer's clients."""

    _held: list[Connection] = field(default_factory=list)
    _conversations: dict[str, Conversation] = field(default_factory=dict)

    async def tcp(self, address: str, port: int, source: str | None = None) -> dict[str, Any]:
        """Connect, be greeted, have a line echoed, leave."""
        connection = await connect(address, port, source)
        try:
            await connection.echo()
        finally:
            connection.writer.close()
        return {"server": connection.server, "seen": connection.seen}

    async def udp(self, address: str, port: int, source: str | None = None) -> dict[str, Any]:
        """One datagram, and the answer to it."""
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as asker:
            if source:
                asker.bind((source, 0))
            asker.connect((address, port))
            token = os.urandom(16)
            await loop.sock_sendall(asker, token)
            async with asyncio.timeout(PATIENCE):
                greeting, _, echoed = (await loop.sock_recv(asker, 2048)).partition(b"\n")
        if echoed != token:
            raise OSError("the answer was changed on its way")
        return dict(json.loads(greeting))

    async def spread(self, protocol: str, address: str, port: int, count: int) -> dict[str, Any]:
        """Ask `count` times, and count who answered (or why nobody did)."""
        free = asyncio.Semaphore(AT_ONCE)
        answers: Counter[str] = Counter()

        async def ask() -> None:
            async with free:
                try:
                    answers[(await (self.tcp if protocol == "tcp" else self.udp)(address, port))["server"]] += 1
                except TimeoutError:
                    answers["no answer"] += 1
                except OSError as error:
                    answers[os.strerror(error.errno).lower() if error.errno else str(error)] += 1

        await asyncio.gather(*(ask() for _ in range(count)))
        return dict(answers)

    async def hold(self, address: str, port: int, count: int) -> dict[str, Any]:
        """Open connections and keep them; who answered how many."""
        self._held += await asyncio.gather(*(connect(address, port) for _ in range(count)))
        return dict(Counter(connection.server for connection in self._held))

    async def held(self) -> dict[str, Any]:
        """Which held connections still echo: alive and lost by server."""
        alive: Counter[str] = Counter()
        lost: Counter[str] = Counter()

        async def see(connection: Connection) -> None:
            try:
                await connection.echo()
                alive[connection.server] += 1
            except OSError:
                lost[connection.server] += 1

        await asyncio.gather(*(see(connection) for connection in self._held))
        return {"alive": dict(alive), "lost": dict(lost)}

    async def start(self, name: str, address: str, port: int) -> dict[str, Any]:
        """Begin a conversation that goes on in the background: one TCP connection, a line every few milliseconds."""
        connection = await connect(address, port)
        conversation = Conversation(asyncio.create_task(asyncio.sleep(0)))
        conversation.task = asyncio.create_task(self._converse(connection, conversation))
        self._conversations[name] = conversation
        return {}

    async def _converse(self, connection: Connection, conversation: Conversation) -> None:
        try:
            while True:
                begun = time.monotonic()
                await connection.echo()
                conversation.answered += 1
                conversation.longest_wait = max(conversation.longest_wait, time.monotonic() - begun)
                await asyncio.sleep(RHYTHM)
        except OSError as error:
            conversation.end = str(error) or "no answer"
        finally:
            connection.writer.close()

    async def finish(self, name: str, within: float = 0.0) -> dict[str, Any]:
        """How a conversation went; `end` is why it was cut off, empty if it was not. Waits up to `within` seconds for that."""
        conversation = self._conversations.pop(name)
        await asyncio.wait([conversation.task], timeout=within)
        conversation.task.cancel()
        return {"answered": conversation.answered, "longest_wait": conversation.longest_wait, "end": conversation.end}
