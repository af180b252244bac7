"""A host of a rig is a network namespace; this is what is done on one: run programs, set links up, read counters and flags."""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
from contextlib import suppress
from typing import IO, Final

from appliance.host.links import NAMESPACES
from appliance.host.namespaces import Namespace

SIOCGIFFLAGS: Final = 0x8913


class RigError(Exception):
    """A candidate could not be set up or measured: the message says what failed, and how its log ends."""


def inside(host: Namespace, *argv: str) -> list[str]:
    """The command line that runs a program on a host, as itself: nsenter becomes it."""
    return ["nsenter", f"--net={NAMESPACES / host.name}", "--", *argv]


def ip(host: Namespace, *commands: str) -> None:
    """Have iproute2 do things on a host."""
    run(host, "ip", "\n".join(commands))


def run(host: Namespace, tool: str, text: str) -> None:
    """Give a tool its commands. Raises RigError with its words."""
    argv = {"ip": ("ip", "-batch", "-"), "nft": ("nft", "-f", "-")}[tool]
    done = subprocess.run(inside(host, *argv), input=text + "\n", capture_output=True, text=True)
    if done.returncode:
        raise RigError(f"{' '.join(argv)}: {done.stderr.strip()}")


def knock(knocker: socket.socket) -> bool:
    """Send a datagram, and see whether one before it was refused by the other end."""
    try:
        knocker.send(b"knock")
    except ConnectionRefusedError:
        return True
    return False


def devices(asker: socket.socket) -> dict[str, int]:
    """The flags of the devices that are to be moved, as far as they are there, in a socket's namespace."""
    found = {}
    for name in ("client", "server"):
        with suppress(OSError):  # not yet there
            found[name] = struct.unpack("16xH", fcntl.ioctl(asker, SIOCGIFFLAGS, struct.pack("16sH", name.encode(), 0) + bytes(22))[:18])[0]
    return found


def rows(file: IO[str]) -> dict[str, list[int]]:
    """The counters of /proc/net/dev as they are now, by device. The open file goes on showing the namespace that it was opened in."""
    file.seek(0)
    named = (line.split(":") for line in file.read().splitlines() if ":" in line)
    return {name.strip(): [int(each) for each in numbers.split()] for name, numbers in named}
