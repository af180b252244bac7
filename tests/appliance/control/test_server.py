"""The control socket, from outside: what is answered, what is refused, and whose socket file it is."""

# ruff: noqa: ASYNC240

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.config.errors import ConfigError, Mistake
from appliance.control.interface import methods
from appliance.control.messages import MAX_REQUEST
from appliance.control.server import ControlServer
from ena_dev.errors import HostError
from tests.support.fake_appliance import STATUS, FakeAppliance


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


@pytest.fixture
async def appliance(path: Path) -> AsyncIterator[FakeAppliance]:
    fake = FakeAppliance()
    async with ControlServer(path, methods(fake), patience=5.0):
        yield fake


async def ask(path: Path, *lines: bytes) -> list[dict[str, Any]]:
    """Send raw lines on one connection, and read as many answers, or all until the server hangs up."""
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 20)
    writer.write(b"".join(lines))
    answers = []
    async with asyncio.timeout(5):
        while len(answers) < len(lines) and (line := await reader.readline()):
            answers.append(json.loads(line))
    writer.close()
    return answers


def line(method: str, **params: object) -> bytes:
    return json.dumps({"v": 1, "method": method, "params": params}).encode() + b"\n"


async def code_of(path: Path, request: bytes) -> str:
    [answer] = await ask(path, request)
    assert answer["v"] == 1
    return str(answer["error"]["code"])


async def test_each_method_is_answered_on_one_connection(path: Path, appliance: FakeAppliance) -> None:
    answers = await ask(path, line("status"), line("flows", limit=2, cursor=7), line("ethtool", nic="wan", kind="S"), line("reload"))
    assert [sorted(answer) for answer in answers] == [["result", "v"]] * 4
    assert answers[0]["result"] == STATUS
    assert (len(answers[1]["result"]["flows"]), answers[1]["result"]["next"]) == (2, 9)
    assert answers[2]["result"]["text"] == "view S of wan"
    assert answers[3]["result"]["generation"] == 4


async def test_params_may_be_left_out(path: Path, appliance: FakeAppliance) -> None:
    [answer] = await ask(path, b'{"v":1,"method":"flows"}\n')
    assert len(answer["result"]["flows"]) == 100


@pytest.mark.parametrize(("request_line", "code"), [
    (b"hello\n", "bad-request"),
    (b"\xff\xfe\n", "bad-request"),
    (b"[1]\n", "bad-request"),
    (b"[" * 30000 + b"\n", "bad-request"),
    (b"9" * 30000 + b"\n", "bad-request"),
    (b'{"method":"status"}\n', "unknown-version"),
    (b'{"v":true,"method":"status"}\n', "unknown-version"),
    (b'{"v":2,"method":"status"}\n', "unknown-version"),
    (b'{"v":1,"method":7}\n', "bad-request"),
    (b'{"v":1,"method":"status","params":[]}\n', "bad-request"),
    (line("__class__"), "unknown-method"),
    (line("status", x=1), "bad-params"),
    (line("flows", limit=0), "bad-params"),
    (line("flows", limit=True), "bad-params"),
    (line("flows", limit=10**9), "bad-params"),
    (line("flows", cursor=-1), "bad-params"),
    (line("ethtool", nic="wan"), "bad-params"),
    (line("ethtool", nic="wan", kind="ig"), "bad-params"),
    (line("ethtool", nic=3, kind="i"), "bad-params"),
    (line("ethtool", nic="lan", kind="i"), "refused"),
])  # fmt: skip
async def test_what_makes_no_sense_is_refused_by_code(path: Path, appliance: FakeAppliance, request_line: bytes, code: str) -> None:
    assert await code_of(path, request_line) == code


async def test_an_endless_line_is_refused_and_ends_the_connection(path: Path, appliance: FakeAppliance) -> None:
    answers = await ask(path, b"x" * (MAX_REQUEST + 2), b"\n", line("status"))
    assert [answer["error"]["code"] for answer in answers] == ["too-long"]


async def test_a_file_with_mistakes_is_told_with_all_of_them(path: Path, appliance: FakeAppliance) -> None:
    appliance.error = ConfigError([Mistake("a.yaml", n, 1, "wrong", "this", "write that") for n in (3, 9)])
    [answer] = await ask(path, line("reload"))
    assert answer["error"] == {"code": "config", "message": str(appliance.error)}
    assert "a.yaml:9:1" in answer["error"]["message"]


async def test_a_bug_of_the_appliance_stays_inside(path: Path, appliance: FakeAppliance) -> None:
    appliance.error = KeyError("secret detail")
    [answer] = await ask(path, line("status"))
    assert answer["error"]["code"] == "internal"
    assert "secret" not in answer["error"]["message"]


async def test_a_result_that_is_no_json_is_a_bug_too(path: Path, appliance: FakeAppliance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STATUS, "uptime", float("nan"))
    assert await code_of(path, line("status")) == "internal"


async def test_silence_ends_the_connection(path: Path) -> None:
    async with ControlServer(path, methods(FakeAppliance()), patience=0.05):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"v":1')
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_one_caller_too_many_is_told_so(path: Path, appliance: FakeAppliance) -> None:
    others = [await asyncio.open_unix_connection(path) for _ in range(32)]
    assert await code_of(path, line("status")) == "busy"
    for _, writer in others:
        writer.close()


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.lists(st.binary(max_size=60), max_size=5))
def test_no_bytes_silence_the_socket(tmp_path_factory: pytest.TempPathFactory, junk: list[bytes]) -> None:
    async def story() -> None:
        path = tmp_path_factory.mktemp("junk") / "control.sock"
        async with ControlServer(path, methods(FakeAppliance())):
            _, writer = await asyncio.open_unix_connection(path)
            writer.write(b"\n".join(junk))
            writer.close()
            [answer] = await ask(path, line("status"))
            assert "result" in answer

    asyncio.run(story())


async def test_the_socket_is_for_root_and_its_group_and_goes_with_the_server(path: Path) -> None:
    server = ControlServer(path, methods(FakeAppliance()))
    await server.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    await server.stop()
    await server.stop()
    assert not path.exists()


async def test_a_dead_appliances_socket_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with ControlServer(path, methods(FakeAppliance())):
        assert "result" in (await ask(path, line("status")))[0]


async def test_a_living_appliances_socket_stays(path: Path, appliance: FakeAppliance) -> None:
    with pytest.raises(HostError, match="another process answers"):
        await ControlServer(path, methods(FakeAppliance())).start()
    assert "result" in (await ask(path, line("status")))[0]


async def test_a_file_in_its_place_stays(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(HostError, match="something else"):
        await ControlServer(path, methods(FakeAppliance())).start()
    assert path.read_text() == "precious"


async def test_a_successors_socket_is_not_removed(path: Path) -> None:
    first, second = ControlServer(path, methods(FakeAppliance())), ControlServer(path, methods(FakeAppliance()))
    await first.start()
    path.unlink()
    await second.start()
    await first.stop()
    assert path.exists()
    await second.stop()
