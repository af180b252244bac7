"""A peer from the demo's side: its process, and orders to it as calls."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

from appliance.host.namespaces import Namespace
from ena_dev.errors import SoftenaError

PATIENCE = 30.0
"""Seconds until an order counts as lost; each has shorter bounds of its own."""


class PeerError(SoftenaError):
    """A peer could not do what it was told: nobody answered, a connection was refused, the peer is gone."""


def environment() -> dict[str, str]:
    """The environment of child processes: they find this package, installed or not."""
    package = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))}


class Peer:
    """A running peer. `name` is what its servers greet with."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self._process = process
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, name: str, namespace: Namespace) -> Peer:
        """Start a peer inside a namespace."""
        command = (sys.executable, "-m", "appliance.demo.peer", name)
        return cls(name, await namespace.run(*command, stdin=PIPE, stdout=PIPE, env=environment(), start_new_session=True))

    async def call(self, order: str, **arguments: object) -> dict[str, Any]:
        """Have an order carried out. Raises PeerError with the reason if that failed."""
        if self._process.stdin is None or self._listening.done():
            raise PeerError(f"peer {self.name} has ended")
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"id": number, "do": order, "with": arguments}).encode() + b"\n")
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self._waiting[number]
        except TimeoutError:
            raise PeerError(f"peer {self.name} did not finish in {PATIENCE:g} s") from None
        finally:
            del self._waiting[number]
        if "error" in answer:
            raise PeerError(str(answer["error"]))
        return dict(answer["result"])

    async def kill(self) -> None:
        """End it at once, as a crash would; its kernel closes its sockets. Idempotent."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._listening

    async def _listen(self) -> None:
        while self._process.stdout is not None and (line := await self._process.stdout.readline()):
            answer = json.loads(line)
            if (waiting := self._waiting.get(answer["id"])) is not None and not waiting.done():
                waiting.set_result(answer)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result({"error": f"peer {self.name} has ended"})
