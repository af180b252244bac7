"""The socket of one card: listens, serves one client at a time, and makes the card ready again when the client is gone.

    listening --accept--> one client: recvmsg --> Connection.feed --> replies, sent as far as the socket takes them
        ^                                                 |
        `------ abandon: no DMA, no memory, no eventfds <-' end of stream, a broken stream, an error of the socket, lost memory

A second client waits in the socket's queue. The file is made for its owner alone, unless more is asked for; one that a dead process left
is replaced, one that is answered stays. Runs on any asyncio loop with `add_reader`.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from ena_dev.errors import PortError
from ena_dev.vfio_user.connection import Connection, ProtocolBroken
from ena_dev.vfio_user.function import CardFunction
from ena_dev.vfio_user.messages import MOST_FDS, Reply

log = logging.getLogger(__name__)

CHUNK: Final = 1 << 12  # bytes of one read: a turn of the event loop, about a hundred requests, so that no guest keeps others waiting
MOST_UNSENT: Final = 1 << 20  # bytes of replies; a client that doesn't read them is not read either
ANCILLARY: Final = socket.CMSG_SPACE(4 * MOST_FDS)


class CardServer:
    """Serves `function` at `path` from `start` to `stop`, or inside `async with`. Who may write the file, by its `mode`, may connect."""

    def __init__(self, path: Path, function: CardFunction, mode: int = 0o600) -> None:
        self.path = path
        self._function, self._mode = function, mode
        self._listener: socket.socket | None = None
        self._inode = (0, 0)
        self._client: _Client | None = None
        self.clients = 0

    async def start(self) -> None:
        """Listen. Raises PortError when the path can't be used, or another process answers there."""
        self._listener = _listen(self.path, self._mode)
        self._inode = _identity(self.path)
        self._await_client()

    async def stop(self) -> None:
        """Drop the client, close the socket, and remove its file if it is still ours. Idempotent."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        asyncio.get_running_loop().remove_reader(listener.fileno())
        listener.close()
        if self._client is not None:
            self._client.close()
            self._gone()
        with contextlib.suppress(OSError):
            if _identity(self.path) == self._inode:
                self.path.unlink()

    @property
    def connected(self) -> bool:
        return self._client is not None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _await_client(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            sock, _ = self._listener.accept()
        except OSError as error:  # it left again, or the process has no descriptors left
            log.log(logging.DEBUG if error.errno == errno.EAGAIN else logging.WARNING, "%s: no client accepted: %s", self.path, error)
            return
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self.clients += 1
        log.info("%s: client connected", self.path)
        self._client = _Client(sock, self._function, self._gone)

    def _gone(self) -> None:
        self._client = None
        self._function.abandon()
        log.info("%s: client gone", self.path)
        self._await_client()


class _Client:
    """One client's socket, until it closes. `gone` is called once, when the client ends it."""

    def __init__(self, sock: socket.socket, function: CardFunction, gone: Callable[[], None]) -> None:
        self._sock, self._gone, self._memory = sock, gone, function.fileno()
        self._connection = Connection(function)
        self._unsent: deque[Reply] = deque()
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._readable)
        self._loop.add_reader(self._memory, self._end, "a file of its memory was cut short, or could not be filled")

    def close(self) -> None:
        """Say no more, and forget what is incomplete."""
        self._loop.remove_reader(self._memory)
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._connection.close()

    def _readable(self) -> None:
        try:
            chunk, fds = _receive(self._sock)
            if not chunk:
                self._end("it closed the connection")
                return
            self._unsent += self._connection.feed(chunk, fds)
            self._send()
        except (BlockingIOError, InterruptedError):
            return
        except (ProtocolBroken, OSError) as error:
            self._end(str(error))
        except Exception:  # a mistake in here must not leave a guest waiting for its answer
            log.exception("a request failed")
            self._end("a request failed")

    def _writable(self) -> None:
        try:
            self._send()
        except OSError as error:
            self._end(str(error))

    def _send(self) -> None:
        """Send what the socket takes; read on only while not too much is left."""
        with contextlib.suppress(BlockingIOError, InterruptedError):
            while self._unsent:
                sent = _pass(self._sock, self._unsent[0])
                rest = self._unsent.popleft().data[sent:]
                if rest:
                    self._unsent.appendleft(Reply(rest))  # its descriptor went with the first byte
        if self._unsent:
            self._loop.add_writer(self._sock.fileno(), self._writable)
        else:
            self._loop.remove_writer(self._sock.fileno())
        if sum(len(each.data) for each in self._unsent) > MOST_UNSENT:
            self._loop.remove_reader(self._sock.fileno())
        else:
            self._loop.add_reader(self._sock.fileno(), self._readable)

    def _end(self, why: str) -> None:
        log.info("client ends: %s", why)
        self.close()
        self._gone()


def _pass(sock: socket.socket, message: Reply) -> int:
    """Send the start of a message, with its descriptor; returns how many bytes went."""
    if message.fd is None:
        return sock.send(message.data)
    return sock.sendmsg([message.data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [message.fd]))])


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """A chunk, and the descriptors of the last message that begins in it: the system hands out no bytes behind those."""
    chunk, ancillary, flags, _ = sock.recvmsg(CHUNK, ANCILLARY, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    if flags & socket.MSG_CTRUNC:
        for fd in fds:
            os.close(fd)
        raise ProtocolBroken("more descriptors came than a message may carry, or than this process may open")
    return chunk, list(fds)


def _listen(path: Path, mode: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        _make_room(path)
        before = os.umask(0o777 & ~mode)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(1)
    except OSError as error:
        listener.close()
        raise PortError(f"{path}: can't listen there: {error.strerror or error}") from error
    except BaseException:
        listener.close()
        raise
    return listener


def _make_room(path: Path) -> None:
    """Remove the socket that a dead process left. Raises PortError for one that lives, and for anything else."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise PortError(f"{path}: is there already, and no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:  # its queue is full: it lives
            pass
    raise PortError(f"{path}: another process listens there")


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino
