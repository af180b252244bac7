"""Sends back what comes, on any number of TCP connections: a process of its own, for descriptors are counted by process.

    python -m tests.soak.echo ADDRESS PORT [ADDRESS PORT...]        prints `ready`; ends with its input
"""

from __future__ import annotations

import selectors
import socket
import sys
from contextlib import suppress

from tests.soak.site import many_descriptors


def main() -> None:
    """Serve until standard input ends."""
    many_descriptors()
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    places = iter(sys.argv[1:])
    for address, port in zip(places, places, strict=True):
        listener = socket.create_server((address, int(port)), backlog=4096)
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, True)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if not isinstance(key.fileobj, socket.socket):
                return
            (accept if key.data else echo)(selector, key.fileobj)


def accept(selector: selectors.BaseSelector, listener: socket.socket) -> None:
    """All that wait there."""
    with suppress(OSError):
        while True:
            one, _ = listener.accept()
            selector.register(one, selectors.EVENT_READ, False)


def echo(selector: selectors.BaseSelector, one: socket.socket) -> None:
    """What it said, or its end."""
    try:
        data = one.recv(65536)
        if data:
            one.sendall(data)
    except OSError:
        data = b""
    if not data:
        selector.unregister(one)
        one.close()


if __name__ == "__main__":
    main()
