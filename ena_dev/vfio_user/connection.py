"""One client's conversation, without a socket: bytes and descriptors in, replies out, and what they ask for done on a `Function`.

    feed(chunk, descriptors) --> cut into messages --> parse --> Function --> Reply | error Reply | nothing (NO_REPLY)

Requests are carried out in the order received, each before the next is looked at. A request that makes no sense is answered with an
error; a stream that can't be cut into messages any more raises ProtocolBroken, and only its end helps.

Every descriptor passed in is closed or owned by the function when `feed` returns, but for those of a message that is still incomplete;
`close` closes these. A descriptor passed out with a reply is lent: it stays the function's. Source: vfio-user protocol, version 0.0.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Protocol

from ena_dev.errors import BusError, SoftenaError
from ena_dev.vfio_user.messages import (
    HEADER,
    LONGEST,
    MOST_FDS,
    MOST_TRANSFERRED,
    Command,
    DeviceInfo,
    DeviceReset,
    DmaMap,
    DmaUnmap,
    Flag,
    Header,
    IrqInfo,
    Record,
    Refused,
    RegionInfo,
    RegionRead,
    RegionWrite,
    RegionWriteMulti,
    Reply,
    SetIrqs,
    Version,
    error_reply,
    parse,
    reply,
)

log = logging.getLogger(__name__)

CAPABILITIES: dict[str, object] = {
    "max_msg_fds": MOST_FDS,
    "max_data_xfer_size": MOST_TRANSFERRED,
    "max_dma_maps": 256,
    "write_multiple": True,
}
DEVICE_FLAGS = 3  # can be reset, is a PCI device
REGIONS, IRQS = 9, 5
UNMAP_ALL = 2
REPORTED = 16


class ProtocolBroken(SoftenaError):
    """What came is no stream of messages."""


class Function(Protocol):
    """The PCI function that a client drives. All may raise Refused, BusError or OSError, and change nothing then."""

    def map(self, request: DmaMap, fd: int | None) -> None:
        """The caller closes `fd`."""

    def unmap(self, address: int, size: int) -> None: ...

    def unmap_all(self) -> None: ...

    def region_info(self, request: RegionInfo) -> RegionInfo: ...

    def region_file(self, region: int) -> int | None:
        """The descriptor that a region can be mapped from: lent until the client is gone. None: its accesses come as messages."""

    def irq_info(self, request: IrqInfo) -> IrqInfo: ...

    def set_irqs(self, request: SetIrqs, fds: Sequence[int]) -> None:
        """Takes the descriptors: closes what it doesn't keep, also when it raises."""

    def read(self, region: int, offset: int, count: int) -> bytes: ...

    def write(self, region: int, offset: int, data: bytes) -> None: ...

    def reset(self) -> None: ...


class Connection:
    """One client, from its first byte to its last. `refused`: requests that were not carried out; the first few are logged."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._buffer = bytearray()
        self._fds: list[int] = []  # of the message at the buffer's begin
        self._agreed = False
        self.refused = 0

    def feed(self, chunk: bytes, fds: Sequence[int] = ()) -> list[Reply]:
        """Carry out what is complete now; returns the replies in order. `fds` belong to the last message that begins in `chunk`.

        Raises ProtocolBroken when a size makes no sense: nothing of the chunk has been carried out.
        """
        given = list(fds)
        try:
            return self._take(chunk, given)
        finally:
            _close(given)

    def close(self) -> None:
        """Forget what is incomplete. Idempotent."""
        _close(self._fds)
        self._buffer.clear()

    def _take(self, chunk: bytes, given: list[int]) -> list[Reply]:
        begun, buffer = len(self._buffer), self._buffer
        buffer += chunk
        starts = self._starts()
        owner = max((start for start in starts if begun <= start < len(buffer)), default=None)
        replies = []
        for start, end in pairwise(starts):
            fds = self._owned(given if start == owner else None)
            answer = self._carry_out(bytes(buffer[start:end]), fds)
            if answer is not None:
                replies.append(answer)
        del buffer[: starts[-1]]
        if buffer and owner == starts[-1]:
            self._fds += given
            given.clear()
        return replies

    def _starts(self) -> list[int]:
        """Where messages begin; the last is where the first incomplete one does, or will."""
        starts = [0]
        while len(self._buffer) - starts[-1] >= HEADER.size:
            size = Header.parse(self._buffer, starts[-1]).size
            if not HEADER.size <= size <= LONGEST:
                raise ProtocolBroken(f"a message of {size} bytes")
            if size > len(self._buffer) - starts[-1]:
                break
            starts.append(starts[-1] + size)
        return starts

    def _owned(self, given: list[int] | None) -> list[int]:
        """A message's descriptors: those that came with its first part, or those of this chunk."""
        fds = self._fds
        self._fds = []
        if given is not None:
            fds += given
            given.clear()
        return fds

    def _carry_out(self, message: bytes, fds: list[int]) -> Reply | None:
        """One message; `fds` are closed or kept by the function."""
        header = Header.parse(message)
        try:
            if header.flags & Flag.TYPE:  # a reply, though nothing was asked
                return None
            answer = self._answer(header, memoryview(message)[HEADER.size :], fds)
        except (SoftenaError, OSError) as error:
            self._refused(header, error)
            answer = error_reply(header, _number(error))
        finally:
            _close(fds)
        return None if header.flags & Flag.NO_REPLY else answer

    def _refused(self, header: Header, error: Exception) -> None:
        self.refused += 1
        if self.refused <= REPORTED:
            log.warning("%s: %s", self._name(header.command), error)

    @staticmethod
    def _name(command: int) -> str:
        return Command(command).name if command in set(Command) else f"command {command}"

    def _answer(self, header: Header, payload: memoryview, fds: list[int]) -> Reply:
        request = parse(header.command, payload)
        if self._agreed == (header.command == Command.VERSION):
            raise Refused(errno.EINVAL, "the version comes first, and once")
        if len(fds) > {Command.DMA_MAP: 1, Command.DEVICE_SET_IRQS: MOST_FDS}.get(Command(header.command), 0):
            raise Refused(errno.EINVAL, f"{len(fds)} descriptors")
        said = self._do(request, fds)
        return reply(header, said, self._function.region_file(request.index) if isinstance(request, RegionInfo) else None)

    def _do(self, request: Record, fds: list[int]) -> bytes:
        """Have it done; returns the reply's payload."""
        match request:
            case RegionWrite(offset, region, _, data):
                self._function.write(region, offset, data)
                return bytes(request)
            case RegionRead(offset, region, count):
                if count > MOST_TRANSFERRED:
                    raise Refused(errno.EINVAL, f"a read of {count} bytes")
                return bytes(request) + self._function.read(region, offset, count)
            case RegionWriteMulti(writes):
                for write in writes:
                    self._function.write(write.region, write.offset, write.data)
                return bytes(request)
            case DmaMap():
                self._function.map(request, fds[0] if fds else None)
                return b""
            case DmaUnmap():
                return self._unmap(request)
            case SetIrqs():
                kept = fds.copy()
                fds.clear()
                self._function.set_irqs(request, kept)
                return b""
            case DeviceReset():
                self._function.reset()
                return b""
            case _:
                return self._tell(request)

    def _tell(self, request: Version | DeviceInfo | RegionInfo | IrqInfo) -> bytes:
        match request:
            case Version(major):
                if major != 0:
                    raise Refused(errno.ENOTSUP, f"version {major}")
                self._agreed = True
                return bytes(Version(0, 0, CAPABILITIES))
            case DeviceInfo():
                return bytes(DeviceInfo(DeviceInfo.FORM.size, DEVICE_FLAGS, REGIONS, IRQS))
            case RegionInfo():
                return bytes(self._function.region_info(request))
            case IrqInfo():
                return bytes(self._function.irq_info(request))

    def _unmap(self, request: DmaUnmap) -> bytes:
        if request.flags & ~UNMAP_ALL:
            raise Refused(errno.ENOTSUP, f"unmapping with flags {request.flags:#x}")
        if request.flags:
            self._function.unmap_all()
        else:
            self._function.unmap(request.address, request.size)
        return bytes(request)


def _number(error: SoftenaError | OSError) -> int:
    match error:
        case Refused():
            return error.number
        case BusError():
            return errno.EINVAL
        case OSError():
            return error.errno or errno.EIO
    return errno.EIO


def _close(fds: list[int]) -> None:
    while fds:
        with suppress(OSError):
            os.close(fds.pop())
