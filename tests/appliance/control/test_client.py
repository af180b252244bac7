"""The blocking caller: results, refusals, and the ways nobody can be there, each with what to do."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.control.client import ControlClient, UnreachableError
from appliance.control.interface import methods
from appliance.control.messages import ControlError
from appliance.control.server import ControlServer
from tests.support.fake_appliance import STATUS, FakeAppliance


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


async def test_a_call_returns_the_result(path: Path) -> None:
    async with ControlServer(path, methods(FakeAppliance())):
        assert await asyncio.to_thread(ControlClient(path).call, "status") == STATUS
        many = await asyncio.to_thread(ControlClient(path).call, "flows", limit=1000)
        assert len(many["flows"]) == 1000


async def test_a_refusal_is_raised_with_its_code(path: Path) -> None:
    async with ControlServer(path, methods(FakeAppliance())):
        with pytest.raises(ControlError, match="no nic is called lan") as refusal:
            await asyncio.to_thread(lambda: ControlClient(path).call("ethtool", nic="lan", kind="i"))
    assert refusal.value.code == "refused"


def test_no_socket(path: Path) -> None:
    with pytest.raises(UnreachableError, match="no such socket; start one with `softena run FILE`"):
        ControlClient(path).call("status")


def test_a_dead_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(UnreachableError, match="has ended"):
        ControlClient(path).call("status")


def test_a_path_longer_than_sockets_allow() -> None:
    with pytest.raises(UnreachableError, match="too long"):
        ControlClient(Path("/tmp/" + "x" * 200)).call("status")


@pytest.fixture
def listener(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield server


def test_no_answer_in_time(path: Path, listener: socket.socket) -> None:
    with pytest.raises(UnreachableError, match=r"no answer in 0.05 s"):
        ControlClient(path, timeout=0.05).call("status")


@pytest.mark.parametrize(("said", "what"), [(b'{"v":1,"resu', "hung up"), (b"", "hung up")])
def test_half_an_answer(path: Path, listener: socket.socket, said: bytes, what: str) -> None:
    def answer() -> None:
        connection, _ = listener.accept()
        connection.recv(1000)
        connection.sendall(said)
        connection.close()

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    with pytest.raises(UnreachableError, match=what):
        ControlClient(path).call("status")
    thread.join()
