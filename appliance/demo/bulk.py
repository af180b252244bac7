"""Bulk transfer over one TCP connection, as fast as it goes for some seconds, with a checksum of the content at its end.

    client: one line, "upload SECONDS" or "download SECONDS"
    stream: blocks of 4-byte length and content, then length 0 and the SHA-256 of all content
    the receiver of an upload answers with one line of JSON

Blocking sockets in threads: the interpreter is out of the way while the kernel copies.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
from typing import Any, Final

BLOCK: Final = 1 << 18
PATIENCE: Final = 10.0
"""Seconds without progress until a transfer counts as broken."""


async def serve(address: str, port: int) -> dict[str, Any]:
    """Serve transfers for as long as the peer lives."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family)
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    return {}


def _accept(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection:
        connection.settimeout(PATIENCE)
        word, seconds = _line(connection).split()
        if word == b"download":
            send(connection, float(seconds))
        else:
            connection.sendall(json.dumps(receive(connection)).encode() + b"\n")


def upload(address: str, port: int, seconds: float) -> dict[str, Any]:
    """Send for `seconds`; what the server received: {bytes, seconds, intact}. Raises OSError."""
    with socket.create_connection((address, port), PATIENCE) as connection:
        connection.sendall(f"upload {seconds}\n".encode())
        sent = send(connection, seconds)
        result = dict(json.loads(_line(connection)))
        result["intact"] = result["intact"] and result["bytes"] == sent
        return result


def download(address: str, port: int, seconds: float) -> dict[str, Any]:
    """Receive what the server sends for `seconds`: {bytes, seconds, intact}. Raises OSError."""
    with socket.create_connection((address, port), PATIENCE) as connection:
        connection.sendall(f"download {seconds}\n".encode())
        return receive(connection)


def send(connection: socket.socket, seconds: float) -> int:
    """Send random blocks, no two alike, and their checksum. Returns the bytes of content."""
    digest = hashlib.sha256()
    block = bytearray(BLOCK.to_bytes(4) + os.urandom(BLOCK))
    content = memoryview(block)[4:]
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        content[:8] = number.to_bytes(8)
        digest.update(content)
        connection.sendall(block)
        number += 1
    connection.sendall(bytes(4) + digest.digest())
    return number * BLOCK


def receive(connection: socket.socket) -> dict[str, Any]:
    """Receive blocks to the end: {bytes, seconds, intact}. Raises OSError if the stream breaks off or makes no sense."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(BLOCK))
    header = memoryview(bytearray(4))
    total, begun = 0, time.monotonic()
    while True:
        _fill(connection, header)
        length = int.from_bytes(header)
        if length == 0:
            break
        if length > BLOCK:
            raise ConnectionError("the stream was changed on its way")
        _fill(connection, buffer[:length])
        digest.update(buffer[:length])
        total += length
    _fill(connection, buffer[: digest.digest_size])
    intact = bytes(buffer[: digest.digest_size]) == digest.digest()
    return {"bytes": total, "seconds": time.monotonic() - begun, "intact": intact}


def _fill(connection: socket.socket, buffer: memoryview) -> None:
    while buffer:
        count = connection.recv_into(buffer)
        if count == 0:
            raise ConnectionResetError("the stream broke off")
        buffer = buffer[count:]


def _line(connection: socket.socket) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n") and len(line) < 1000:
        piece = connection.recv(1)
        if not piece:
            raise ConnectionResetError("the stream broke off")
        line += piece
    return bytes(line)
