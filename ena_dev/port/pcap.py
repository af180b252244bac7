"""Capture files at the far end of a wire: replayed into a card with their time stamps, and written from what the card sends.

    file --PcapReplay, when due--> WirePort --> card --> WirePort --PcapRecorder--> file

Both are told the time: tests step them, `run` follows the event loop's clock. Source: libpcap file format, Ethernet link type.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import dpkt

from ena_dev.errors import PortError
from ena_dev.port.wire import WirePort

ETHERNET = 1  # link type
LONGEST_FRAME = 65_600  # bytes; longer records are no frames of a card


class PcapReplay:
    """Frames of a capture, each put on the wire as long after the first `step` as it was captured after the first frame.

    `frames` counts what was put on the wire, `dropped` what found it full, `skipped` records that were cut off or are too long. The file
    is read as it is needed. Raises PortError if it can't be read or holds no Ethernet frames.
    """

    def __init__(self, path: str | Path, wire: WirePort, *, queue: int = 0) -> None:
        self._path, self._wire, self._queue = Path(path), wire, queue
        self.frames = self.dropped = self.skipped = 0
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise PortError(f"{path}: can't be read: {error.strerror}") from error
        try:
            self._reader = dpkt.pcap.UniversalReader(self._file)
        except (dpkt.Error, ValueError) as error:
            self._file.close()
            raise PortError(f"{path}: not a capture in pcap or pcapng format") from error
        if self._reader.datalink() != ETHERNET:
            self._file.close()
            raise PortError(f"{path}: link type {self._reader.datalink()}, but only Ethernet can be replayed")
        self._records = self._read()
        self._start: float | None = None
        self._first = 0.0
        self._next = next(self._records, None)
        if self._next is not None:
            self._first = self._next[0]

    def step(self, now: float) -> int:
        """Put on the wire what is due at `now` (seconds of any steady clock); returns how many frames."""
        if self._start is None:
            self._start = now
        put = 0
        while self._next is not None and self._due(self._next[0]) <= now:
            if self._wire.inject(self._next[1], queue=self._queue):
                put += 1
            else:
                self.dropped += 1
            self._next = next(self._records, None)
        self.frames += put
        return put

    def deadline(self) -> float | None:
        """When the next frame is due; None when all are out, or before the first `step`."""
        return None if self._next is None or self._start is None else self._due(self._next[0])

    @property
    def done(self) -> bool:
        return self._next is None

    async def run(self) -> None:
        """Replay to the end, on the event loop's clock."""
        now = asyncio.get_running_loop().time
        self.step(now())
        while (due := self.deadline()) is not None:
            await asyncio.sleep(max(0.0, due - now()))
            self.step(now())

    def close(self) -> None:
        self._next = None
        self._file.close()

    def _due(self, stamp: float) -> float:
        # A frame stamped before the first one goes out at once: captures of several interfaces aren't always in order.
        return (self._start or 0.0) + max(0.0, stamp - self._first)

    def _read(self) -> Iterator[tuple[float, bytes]]:
        while True:
            try:
                stamp, frame = next(self._reader)
            except StopIteration:
                return
            except (dpkt.Error, ValueError) as error:
                raise PortError(f"{self._path}: broken after {self.frames + self.dropped + self.skipped} frames: {error}") from error
            if 0 < len(frame) <= LONGEST_FRAME:
                yield float(stamp), bytes(frame)
            else:
                self.skipped += 1


class PcapRecorder:
    """A capture file, with nanoseconds, of what a card puts on the wire. Raises PortError if it can't be written."""

    def __init__(self, path: str | Path) -> None:
        self.frames, destination = 0, Path(path)
        try:
            self._file = destination.open("wb")
        except OSError as error:
            raise PortError(f"{path}: can't be written: {error.strerror}") from error
        self._writer = dpkt.pcap.Writer(self._file, snaplen=LONGEST_FRAME, linktype=ETHERNET, nano=True)

    def record(self, frame: bytes, now: float) -> None:
        self._writer.writepkt(frame, ts=now)
        self.frames += 1

    def drain(self, wire: WirePort, now: float, *, queue: int = 0) -> list[bytes]:
        """Take what the card has sent and record it; returns the frames."""
        frames = wire.take(queue=queue)
        for frame in frames:
            self.record(frame, now)
        return frames

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
