"""The checksum of a bulk transfer notices what happens to its content."""

from __future__ import annotations

import hashlib
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance.demo.bulk import receive, send


def stream(content: bytes, digest: bytes | None = None) -> bytes:
    return len(content).to_bytes(4) + content + bytes(4) + (digest or hashlib.sha256(content).digest())


def received(data: bytes) -> dict[str, object]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        return receive(ours)


def test_a_whole_stream_is_intact() -> None:
    result = received(stream(b"x" * 1000))
    assert (result["bytes"], result["intact"]) == (1000, True)


def test_one_changed_byte_is_noticed() -> None:
    data = bytearray(stream(b"x" * 1000))
    data[500] ^= 1
    assert received(bytes(data))["intact"] is False


@pytest.mark.parametrize("cut", [2, 500, 1010])
def test_a_stream_that_breaks_off_is_an_error(cut: int) -> None:
    with pytest.raises(ConnectionResetError):
        received(stream(b"x" * 1000)[:cut])


def test_a_length_out_of_bounds_is_an_error() -> None:
    with pytest.raises(ConnectionError, match="changed on its way"):
        received(b"\xff" * 100)



def test_what_is_sent_is_received() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ThreadPoolExecutor(1) as pool:
        receiving = pool.submit(receive, theirs)
        sent = send(ours, 0.05)
        result = receiving.result()
    assert sent > 0
    assert (result["bytes"], result["intact"]) == (sent, True)
