"""The control socket of a running appliance: accepts callers, reads one request a line, asks the appliance, answers.

Only root and the socket's group get in (mode 0660). The socket that a dead appliance left is replaced; one that is answered stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import structlog

from appliance.config.errors import ConfigError
from appliance.control.interface import ETHTOOL_KINDS, ControlledAppliance, Result
from appliance.control.messages import MAX_REQUEST, ControlError, Params, failure, read_request, response
from ena_dev.errors import HostError, SoftenaError

MAX_CALLERS: Final = 32
MAX_FLOWS: Final = 1000
"""Flows in one answer; the cursor leads to the rest."""
PATIENCE: Final = 30.0
"""Seconds a caller may take to send a line, or to read an answer."""
ELSEWHERE: Final = "name another place in the file: `control: {socket: PATH}`"

log = structlog.get_logger("control")


class ControlServer:
    """Answers on `path` from `start` to `stop`, or inside `async with`. Start it while still privileged: the directory may be root's."""

    def __init__(self, path: Path, appliance: ControlledAppliance, patience: float = PATIENCE) -> None:
        self._appliance, self._path, self._patience = appliance, path, patience
        self._server: asyncio.Server | None = None
        self._inode = (0, 0)
        self._callers: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()

    async def start(self) -> None:
        """Open the socket. HostError: the place can't be used, or another appliance answers there."""
        listener = _listener(self._path)
        self._inode = _identity(self._path)
        self._server = await asyncio.start_unix_server(self._accepted, sock=listener, limit=MAX_REQUEST)

    async def stop(self) -> None:
        """Close the socket and every connection, and remove the file if it is still ours and we may. Idempotent."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for caller in self._callers:
            caller.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)
        with contextlib.suppress(OSError):  # privileges were dropped, or the directory is gone: the next start replaces it
            if _identity(self._path) == self._inode:
                self._path.unlink()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._callers.add(task)
            task.add_done_callback(self._callers.discard)
        with contextlib.suppress(TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if len(self._callers) > MAX_CALLERS:
                await self._send(writer, failure(ControlError("busy", f"{MAX_CALLERS} others are connected")))
            else:
                await self._converse(reader, writer)
        writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the caller leaves, is silent too long, or sends an endless line."""
        while True:
            try:
                async with asyncio.timeout(self._patience):
                    line = await reader.readuntil()
            except asyncio.LimitOverrunError:
                await self._send(writer, failure(ControlError("too-long", f"a request has at most {MAX_REQUEST} bytes")))
                return
            await self._send(writer, await self._answer(line))

    async def _send(self, writer: asyncio.StreamWriter, line: bytes) -> None:
        writer.write(line)
        async with asyncio.timeout(self._patience):
            await writer.drain()

    async def _answer(self, line: bytes) -> bytes:
        try:
            method, params = read_request(line)
            return response(await self._call(method, params))
        except ControlError as error:
            return failure(error)
        except ConfigError as error:
            return failure(ControlError("config", str(error)))
        except SoftenaError as error:
            return failure(ControlError("refused", str(error)))
        except Exception:
            log.exception("a control request failed")
            return failure(ControlError("internal", "the request failed inside the appliance; its log says more"))

    async def _call(self, method: str, given: Mapping[str, object]) -> Result:
        params = Params(given)
        match method:
            case "status":
                params.finish()
                return self._appliance.status()
            case "flows":
                limit, cursor = params.whole("limit", 1, MAX_FLOWS, 100), params.whole("cursor", 0, 2**63 - 1, 0)
                params.finish()
                return self._appliance.flows(limit, cursor)
            case "ethtool":
                nic, kind = params.text("nic"), params.word("kind", ETHTOOL_KINDS)
                params.finish()
                return self._appliance.ethtool(nic, kind)
            case "reload":
                params.finish()
                async with self._reloading:
                    return await self._appliance.reload()
        raise ControlError("unknown-method", f"unknown method {method[:40]!r}: use status, flows, ethtool or reload")


def _listener(path: Path) -> socket.socket:
    """A bound socket, its mode set before anybody can connect."""
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
            path.parent.chmod(0o755)
        _remove_dead(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(os.fspath(path))
            path.chmod(0o660)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise HostError(f"can't open the control socket {path}", error.strerror or str(error), ELSEWHERE) from error
    return listener


def _remove_dead(path: Path) -> None:
    """Make room at `path` if only a dead appliance's socket is there. HostError: something else is."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise HostError(f"can't open the control socket {path}", "there is something else of that name", ELSEWHERE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except (TimeoutError, BlockingIOError):
            pass  # somebody listens, and is busy
    raise HostError(f"can't open the control socket {path}", "another appliance answers there", f"stop it, or {ELSEWHERE}")


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino
