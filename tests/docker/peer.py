"""What the client and server containers run: the Python of the image, and nothing of the appliance.

    peer.py listen NAME GATEWAY PORT...            route everything by GATEWAY; answer TCP and UDP on PORT with name and caller
    peer.py ask tcp|udp|ping ADDRESS PORT COUNT    ask so often; print the answers, a line each: JSON, or how it failed
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
from contextlib import suppress

from pyroute2 import IPRoute

PATIENCE = 1.0
"""Seconds after which no answer counts as none."""
ECHO_REQUEST, ECHO_REPLY = bytes.fromhex("0800000000000001"), 0


def route_by(gateway: str) -> None:
    """Send all but the own network by a gateway."""
    with IPRoute() as ip:
        ip.route("replace", dst="default", gateway=gateway)


def answer(name: str, caller: str) -> bytes:
    return json.dumps({"name": name, "caller": caller}).encode()


def stream(name: str, listener: socket.socket) -> None:
    while True:
        connection, caller = listener.accept()
        with suppress(OSError), connection:
            connection.sendall(answer(name, caller[0]))


def datagrams(name: str, listener: socket.socket) -> None:
    while True:
        _, caller = listener.recvfrom(2048)
        listener.sendto(answer(name, caller[0]), caller)


def listen(name: str, gateway: str, *ports: str) -> None:
    """Until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    route_by(gateway)
    for port in map(int, ports):
        tcp = socket.create_server(("", port), backlog=128)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("", port))
        threading.Thread(target=stream, args=(name, tcp), daemon=True).start()
        threading.Thread(target=datagrams, args=(name, udp), daemon=True).start()
    print("listening", flush=True)
    signal.pause()


def ask_tcp(address: str, port: int) -> str:
    with socket.create_connection((address, port), PATIENCE) as connection:
        return connection.recv(200).decode()


def ask_udp(address: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(PATIENCE)
        one.connect((address, port))
        one.send(b"who?")
        return one.recv(200).decode()


def ask_ping(address: str, _: int) -> str:
    """An echo request by the unprivileged kind of socket; the kernel fills identifier and checksum in."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as one:
        one.settimeout(PATIENCE)
        one.sendto(ECHO_REQUEST, (address, 0))
        reply, caller = one.recvfrom(200)
        return answer("ping" if reply[0] == ECHO_REPLY else f"ICMP type {reply[0]}", caller[0]).decode()


def ask(protocol: str, address: str, port: str, count: str) -> None:
    question = {"tcp": ask_tcp, "udp": ask_udp, "ping": ask_ping}[protocol]
    for _ in range(int(count)):
        try:
            print(question(address, int(port)) or "closed", flush=True)
        except OSError as error:
            print(type(error).__name__, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "listen":
        listen(*sys.argv[2:])
    else:
        ask(*sys.argv[2:])
