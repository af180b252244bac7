"""A pcapng file of what passes a port, written while it passes.

    RecordingPort --take, forty times a second--> file

The file is one section with one interface, Ethernet, times in nanoseconds; each frame says its direction as the card sees it. At the end
stands how many frames there were, and how many found the tape full. A file that can't be written on ends the recording, not the card.
Source: PCAP Next Generation file format.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
import time
from pathlib import Path
from typing import Final, Self

from ena_dev.errors import PortError
from ena_dev.port.port import Port
from ena_dev.port.recorder import RecordingPort

SECTION, INTERFACE, STATISTICS = 0x0A0D0D0A, 1, 5  # block types
BYTE_ORDER: Final = 0x1A2B3C4D
ETHERNET: Final = 1
SNAP_LENGTH: Final = 0x40000
END, APPLICATION, NAME, RESOLUTION, RECEIVED, DROPPED = 0, 4, 2, 9, 4, 5  # options
NANOSECONDS: Final = 9
PERIOD: Final = 0.025  # seconds between looks at the tape

log = logging.getLogger(__name__)


class Recording:
    """Writes what passes `port` into the file at `path`, inside `async with`. `name` is the interface's. Raises PortError at the start.

    The card is to use `self.port`. `port` stays its opener's.
    """

    def __init__(self, path: Path, port: Port, name: str) -> None:
        self.path, self.port, self._name = path, RecordingPort(port), name
        self.failed = ""
        self._size = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            self._file = self.path.open("wb", buffering=0)
        except OSError as error:
            raise PortError(f"{self.path}: can't be written: {error.strerror}") from error
        self._write(section() + interface(self._name))
        self._task = asyncio.create_task(self._run(), name="recording")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write what is left, and the counts. The card is to be gone, or silent, by then."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._write(self.port.take() + statistics(self.port.frames, self.port.lost))
        self._file.close()
        log.log(
            logging.WARNING if self.port.lost else logging.INFO,
            "%s: %d frames recorded, %d passed unrecorded", self.path, self.port.frames, self.port.lost,
        )  # fmt: skip

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            self._write(self.port.take())

    def _write(self, blocks: bytes) -> None:
        """All of it; if that fails, the file ends with its last whole block."""
        left = memoryview(blocks)
        try:
            while left and not self.failed:
                left = left[self._file.write(left) :]
            self._size += len(blocks)
        except OSError as error:
            self.failed = error.strerror or str(error)
            log.error("%s: the recording ends here: %s", self.path, self.failed)
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)


def block(kind: int, body: bytes) -> bytes:
    """A block of any type, in this machine's byte order."""
    length = struct.pack("=I", 12 + len(body))
    return struct.pack("=I", kind) + length + body + length


def options(*pairs: tuple[int, bytes]) -> bytes:
    """Options, each padded to 32 bits, and their end."""
    return b"".join(struct.pack("=HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in (*pairs, (END, b"")))


def section() -> bytes:
    """The beginning of a file."""
    return block(SECTION, struct.pack("=IHHq", BYTE_ORDER, 1, 0, -1) + options((APPLICATION, b"softena")))


def interface(name: str) -> bytes:
    """Interface 0."""
    named = options((NAME, name.encode()[:200]), (RESOLUTION, bytes([NANOSECONDS])))
    return block(INTERFACE, struct.pack("=HHI", ETHERNET, 0, SNAP_LENGTH) + named)


def statistics(frames: int, lost: int) -> bytes:
    """What there is to say of interface 0 at the end: frames that passed, and those among them that were not recorded."""
    now = time.time_ns()
    counts = options((RECEIVED, struct.pack("=Q", frames + lost)), (DROPPED, struct.pack("=Q", lost)))
    return block(STATISTICS, struct.pack("=III", 0, now >> 32, now & 0xFFFFFFFF) + counts)
