"""The control socket of a running program: accepts callers, reads one request a line, calls the method, answers.

Only root and the socket's group get in (mode 0660). The socket that a dead process left is replaced; one that is answered stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from inspect import isawaitable
from pathlib import Path
from typing import Final, Self

import structlog

from appliance.config.errors import ConfigError
from appliance.control.interface import APPLIANCE, Method, Methods, Program
from appliance.control.messages import MAX_REQUEST, ControlError, Params, failure, read_request, response
from ena_dev.errors import HostError, SoftenaError

MAX_CALLERS: Final = 32
PATIENCE: Final = 30.0
"""Seconds a caller may take to send a line, or to read an answer."""

log = structlog.get_logger("control")


class ControlServer:
    """Answers on `path` from `start` to `stop`, or inside `async with`. Start it while still privileged: the directory may be root's.

    `methods`: what can be asked, by name.
    """

    def __init__(self, path: Path, methods: Methods, program: Program = APPLIANCE, patience: float = PATIENCE) -> None:
        self._methods, self._path, self._program, self._patience = methods, path, program, patience
        self._server: asyncio.Server | None = None
        self._inode = (0, 0)
        self._callers: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open the socket. HostError: the place can't be used, or another process answers there."""
        listener = _listener(self._path, self._program.elsewhere)
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
            result = self._method(method)(Params(params))
            return response(await result if isawaitable(result) else result)
        except ControlError as error:
            return failure(error)
        except ConfigError as error:
            return failure(ControlError("config", str(error)))
        except SoftenaError as error:
            return failure(ControlError("refused", str(error)))
        except Exception:
            log.exception("a control request failed")
            return failure(ControlError("internal", "the request failed inside the program; its log says more"))

    def _method(self, name: str) -> Method:
        method = self._methods.get(name)
        if method is None:
            *others, last = self._methods
            raise ControlError("unknown-method", f"unknown method {name[:40]!r}: use {', '.join(others)} or {last}")
        return method


def _listener(path: Path, elsewhere: str) -> socket.socket:
    """A bound socket, its mode set before anybody can connect."""
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
            path.parent.chmod(0o755)
        _remove_dead(path, elsewhere)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(os.fspath(path))
            path.chmod(0o660)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise HostError(f"can't open the control socket {path}", error.strerror or str(error), elsewhere) from error
    return listener


def _remove_dead(path: Path, elsewhere: str) -> None:
    """Make room at `path` if only a dead process's socket is there. HostError: something else is."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise HostError(f"can't open the control socket {path}", "there is something else of that name", elsewhere)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except (TimeoutError, BlockingIOError):
            pass  # somebody listens, and is busy
    raise HostError(f"can't open the control socket {path}", "another process answers there", f"stop it, or {elsewhere}")


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino
