"""Network namespaces: the lab of the demo and of tests, and one of its own for an appliance that must not meet the machine's addresses.

    sweep()                                            # what killed runs left
    with Namespace("client") as client:                # /run/netns/softena-<pid>-client, loopback up
        move("lan0", client.name)
        client.set_up("lan0", [address], [gateway])
        listener = client.call(socket.create_server, ("192.168.10.20", 80))     # a socket stays where it was made
        process = await client.run("ping", "-c1", "192.168.10.1", stdout=PIPE)

Names carry the pid of their maker, so that `sweep` tells leftovers from the labs of living processes. It takes root.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from pyroute2 import netns

from appliance.host.changes import Changes, refusal, session
from appliance.host.links import NAMESPACES, Interface, add_addresses, bring_up, find
from ena_dev.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")

PREFIX = "softena"
CLONE_NEWNET = 0x40000000
HINT = "it takes root with CAP_SYS_ADMIN, which a container doesn't have by default"


class Namespace:
    """A named network namespace for the time of a `with` block. Leaving it ends the processes inside and deletes it."""

    def __init__(self, label: str, prefix: str = PREFIX) -> None:
        self.name = f"{prefix}-{os.getpid()}-{label}"

    def __enter__(self) -> Namespace:
        try:
            netns.create(self.name)
        except OSError as error:
            raise refusal(f"make network namespace {self.name}", error, HINT) from error
        try:
            self.call(bring_up, "lo", 65536)
        except BaseException:
            delete(self.name)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        delete(self.name)

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function inside, in a thread of its own, and wait for it. Sockets and devices that it makes stay inside."""
        result: Future[R] = Future()

        def inside() -> None:
            try:
                netns.setns(self.name)
                result.set_result(function(*args, **kwargs))
            except BaseException as error:
                result.set_exception(error)

        thread = threading.Thread(target=inside, name=f"in {self.name}")
        thread.start()
        thread.join()
        return result.result()

    async def run(self, *argv: str, **options: Any) -> asyncio.subprocess.Process:
        """Start a program inside. `options` are those of `asyncio.create_subprocess_exec`."""
        return await asyncio.create_subprocess_exec("nsenter", f"--net={NAMESPACES / self.name}", "--", *argv, **options)

    def set_up(
        self, link: str, addresses: Sequence[Interface], gateways: Sequence[IPv4Address | IPv6Address] = (), *, mtu: int = 1500
    ) -> None:
        """Bring an interface up inside, with addresses and default gateways. Raises HostError."""

        def inside() -> None:
            bring_up(link, mtu)
            add_addresses(link, addresses)
            with session() as ip:
                index = find(ip, link).index
                for gateway in gateways:
                    route = {"dst": "default", "gateway": str(gateway), "oif": index}
                    Changes().make(ip, f"route {self.name} by {gateway}", ("route", "add", route))

        self.call(inside)


def delete(name: str) -> None:
    """Delete a named network namespace and end the processes inside; those of the calling process's namespace are never touched."""
    path = NAMESPACES / name
    try:
        for pid in _inside(path):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        netns.remove(name)
    except FileNotFoundError:
        pass  # somebody else did
    except OSError as error:
        raise refusal(f"delete network namespace {name}", error, HINT) from error


def _inside(namespace: Path) -> list[int]:
    """The processes in a network namespace, unless it is our own."""
    if namespace.samefile("/proc/self/ns/net"):
        return []
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile
            if (process / "ns/net").samefile(namespace):
                found.append(int(process.name))
    return found


def sweep(prefix: str = PREFIX) -> list[str]:
    """Delete namespaces whose makers are dead, with the processes inside; returns their names."""
    swept = []
    for path in sorted(NAMESPACES.glob(f"{prefix}-*")):
        match = re.fullmatch(rf"{re.escape(prefix)}-(\d+)-.+", path.name)
        if match and not Path(f"/proc/{match[1]}").exists():
            delete(path.name)
            swept.append(path.name)
    return swept


def private_namespace() -> None:
    """Put this process into a new network namespace of its own, with the loopback up. Nothing is left when it ends.

    Only the calling thread moves, and threads that it starts later: so call it first of all. Raises UsageError after that, HostError.
    """
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise UsageError(f"a private network namespace must be made before threads are: there are {threads}")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        code = ctypes.get_errno()
        raise refusal("make a network namespace of its own", OSError(code, os.strerror(code)), HINT)
    bring_up("lo", 65536)
