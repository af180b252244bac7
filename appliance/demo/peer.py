"""A program inside a namespace: takes orders as JSON lines on standard input, answers each on standard output.

    <- {"id": 1, "do": "tcp", "with": {"address": "192.0.2.10", "port": 80}}
    -> {"id": 1, "result": {"server": "site", "seen": "10.1.0.10"}}    or    {"id": 1, "error": "no answer"}

Orders run side by side. The program ends when its standard input does, so it never outlives its demo.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from appliance.demo import bulk, probing
from appliance.demo.answering import Answering
from appliance.demo.asking import Asking

Order = Callable[..., Awaitable[dict[str, Any]]]


def orders(name: str) -> dict[str, Order]:
    """What a peer can be told to do."""
    server, client = Answering(name), Asking()
    return {
        "serve": server.serve, "heard": server.heard,
        "tcp": client.tcp, "udp": client.udp, "spread": client.spread,
        "hold": client.hold, "held": client.held, "start": client.start, "finish": client.finish,
        "ping": _in_thread(probing.ping), "probe": _in_thread(probing.probe),
        "serve_bulk": bulk.serve, "upload": _in_thread(bulk.upload), "download": _in_thread(bulk.download),
        "interfaces": _in_thread(interfaces),
    }  # fmt: skip


def interfaces() -> dict[str, Any]:
    """Packets and bytes of each interface of this namespace, as its kernel counts them."""
    found = {}
    for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]:
        name, _, numbers = line.partition(":")
        counts = [int(number) for number in numbers.split()]
        found[name.strip()] = {"rx": {"packets": counts[1], "bytes": counts[0]}, "tx": {"packets": counts[9], "bytes": counts[8]}}
    return found


def _in_thread(function: Callable[..., dict[str, Any]]) -> Order:
    async def order(**arguments: Any) -> dict[str, Any]:
        return await asyncio.to_thread(function, **arguments)

    return order


async def _obey(order: Order, number: int, arguments: dict[str, Any]) -> None:
    try:
        answer: dict[str, Any] = {"id": number, "result": await order(**arguments)}
    except TimeoutError:
        answer = {"id": number, "error": "no answer"}
    except OSError as error:
        answer = {"id": number, "error": os.strerror(error.errno).lower() if error.errno else str(error)}
    print(json.dumps(answer), flush=True)


async def obey(name: str) -> None:
    """Do what standard input says until it ends."""
    known = orders(name)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        message = json.loads(line)
        task = asyncio.create_task(_obey(known[message["do"]], message["id"], message["with"]))
        running.add(task)
        task.add_done_callback(running.discard)


if __name__ == "__main__":
    asyncio.run(obey(sys.argv[1]))
    os._exit(0)  # a thread in the middle of a transfer holds nothing worth waiting for
