"""What client and server say to each other: a header of 16 bytes, then one of these records. Little-endian, packed, sizes in bytes.

    parse(command, payload) -> record        raises Refused for what is too short, too long or out of range
    bytes(record)                            the same form, where it is sent back

Nothing here is trusted: a count is compared with the bytes that are there before it is used.
Source: vfio-user protocol, version 0.0.
"""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import ClassVar, Final, Self

from ena_dev.errors import SoftenaError

HEADER: Final = struct.Struct("<HHIII")  # id, command, size, flags, error
MOST_TRANSFERRED: Final = 1 << 20  # bytes of one access, as told to the client
LONGEST: Final = MOST_TRANSFERRED + 4096  # of a message
MOST_FDS: Final = 16  # descriptors of one message
LONGEST_VERSION: Final = 1 << 16


class Refused(SoftenaError):
    """A request that is answered with an error. `number`: an errno."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"{errno.errorcode.get(number, number)}: {why}")
        self.number, self.why = number, why


class Command(IntEnum):
    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    DEVICE_GET_INFO = 4
    DEVICE_GET_REGION_INFO = 5
    DEVICE_GET_REGION_IO_FDS = 6
    DEVICE_GET_IRQ_INFO = 7
    DEVICE_SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    DMA_READ = 11
    DMA_WRITE = 12
    DEVICE_RESET = 13
    DIRTY_PAGES = 14
    REGION_WRITE_MULTI = 15
    DEVICE_FEATURE = 16
    MIG_DATA_READ = 17
    MIG_DATA_WRITE = 18


class Flag(IntFlag):
    """Of a header. The low four bits are the type: 0 command, 1 reply."""

    REPLY = 0x1
    TYPE = 0xF
    NO_REPLY = 0x10
    ERROR = 0x20


class RegionFlag(IntFlag):
    READ = 1
    WRITE = 2
    MMAP = 4
    CAPABILITIES = 8


class IrqFlag(IntFlag):
    """Of DEVICE_SET_IRQS: one kind of data, and one action."""

    NONE = 0x01
    BOOL = 0x02
    EVENTFD = 0x04
    MASK = 0x08
    UNMASK = 0x10
    TRIGGER = 0x20


@dataclass(frozen=True, slots=True)
class Header:
    id: int
    command: int
    size: int  # of the whole message
    flags: int
    error: int

    @classmethod
    def parse(cls, data: bytes | bytearray | memoryview, offset: int = 0) -> Self:
        return cls(*HEADER.unpack_from(data, offset))


class Fixed:
    """A record of fixed size: its fields are those of `FORM`, in order."""

    __slots__ = ()
    FORM: ClassVar[struct.Struct]

    @classmethod
    def parse(cls, payload: memoryview) -> Self:
        if len(payload) != cls.FORM.size:
            raise Refused(errno.EINVAL, f"{cls.__name__}: {len(payload)} bytes instead of {cls.FORM.size}")
        return cls(*cls.FORM.unpack(payload))

    def __bytes__(self) -> bytes:
        return self.FORM.pack(*(getattr(self, name) for name in self.__dataclass_fields__))  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Version:
    """The client's proposal."""

    major: int
    minor: int
    capabilities: dict[str, object]

    @classmethod
    def parse(cls, payload: memoryview) -> Self:
        if not 4 <= len(payload) <= LONGEST_VERSION:
            raise Refused(errno.EINVAL, f"a version of {len(payload)} bytes")
        major, minor = struct.unpack_from("<HH", payload)
        text = bytes(payload[4:])
        if text and not text.endswith(b"\0"):
            raise Refused(errno.EINVAL, "a version whose text does not end")
        try:
            said = json.loads(text[:-1]) if text else {}
        except (ValueError, RecursionError):
            raise Refused(errno.EINVAL, "a version whose text is not JSON") from None
        capabilities = said.get("capabilities", {}) if isinstance(said, dict) else None
        if not isinstance(capabilities, dict):
            raise Refused(errno.EINVAL, "a version whose capabilities are none")
        return cls(major, minor, capabilities)

    def __bytes__(self) -> bytes:
        return struct.pack("<HH", self.major, self.minor) + json.dumps({"capabilities": self.capabilities}).encode() + b"\0"


@dataclass(frozen=True, slots=True)
class DmaMap(Fixed):
    FORM = struct.Struct("<IIQQQ")
    argsz: int
    flags: int  # 1 readable, 2 writable
    offset: int  # in the file
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class DmaUnmap(Fixed):
    FORM = struct.Struct("<IIQQ")
    argsz: int
    flags: int  # 2: all
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class DeviceInfo(Fixed):
    FORM = struct.Struct("<IIII")
    argsz: int
    flags: int = 0  # 1 can be reset, 2 is a PCI device
    regions: int = 0
    irqs: int = 0


@dataclass(frozen=True, slots=True)
class RegionInfo(Fixed):
    FORM = struct.Struct("<IIIIQQ")
    argsz: int
    flags: int  # RegionFlag
    index: int
    cap_offset: int = 0
    size: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class IrqInfo(Fixed):
    FORM = struct.Struct("<IIII")
    argsz: int
    flags: int  # 1: by eventfd
    index: int
    count: int = 0


@dataclass(frozen=True, slots=True)
class SetIrqs:
    FORM = struct.Struct("<IIIII")
    argsz: int
    flags: int  # IrqFlag
    index: int
    start: int
    count: int
    data: bytes = b""

    @classmethod
    def parse(cls, payload: memoryview) -> Self:
        if len(payload) < cls.FORM.size:
            raise Refused(errno.EINVAL, f"SetIrqs: {len(payload)} bytes")
        argsz, flags, index, start, count = cls.FORM.unpack_from(payload)
        return cls(argsz, flags, index, start, count, bytes(payload[cls.FORM.size :]))

    def __bytes__(self) -> bytes:
        return self.FORM.pack(self.argsz, self.flags, self.index, self.start, self.count) + self.data


@dataclass(frozen=True, slots=True)
class RegionRead(Fixed):
    FORM = struct.Struct("<QII")
    offset: int
    region: int
    count: int


@dataclass(frozen=True, slots=True)
class RegionWrite:
    FORM = struct.Struct("<QII")
    offset: int
    region: int
    count: int
    data: bytes

    @classmethod
    def parse(cls, payload: memoryview) -> Self:
        if len(payload) < cls.FORM.size:
            raise Refused(errno.EINVAL, f"RegionWrite: {len(payload)} bytes")
        offset, region, count = cls.FORM.unpack_from(payload)
        if count != len(payload) - cls.FORM.size:
            raise Refused(errno.EINVAL, f"RegionWrite: {count} bytes announced, {len(payload) - cls.FORM.size} came")
        return cls(offset, region, count, bytes(payload[cls.FORM.size :]))

    def __bytes__(self) -> bytes:
        """The reply: without the data."""
        return self.FORM.pack(self.offset, self.region, self.count)


@dataclass(frozen=True, slots=True)
class RegionWriteMulti:
    ENTRY: ClassVar = struct.Struct("<QII8s")
    writes: tuple[RegionWrite, ...]

    @classmethod
    def parse(cls, payload: memoryview) -> Self:
        if len(payload) < 8 or int.from_bytes(payload[:8], "little") * cls.ENTRY.size != len(payload) - 8:
            raise Refused(errno.EINVAL, f"RegionWriteMulti: {len(payload)} bytes are not what their count says")
        writes = []
        for offset, region, count, data in cls.ENTRY.iter_unpack(payload[8:]):
            if not 1 <= count <= 8:
                raise Refused(errno.EINVAL, f"RegionWriteMulti: a write of {count} bytes")
            writes.append(RegionWrite(offset, region, count, data[:count]))
        return cls(tuple(writes))

    def __bytes__(self) -> bytes:
        """The reply: how many."""
        return len(self.writes).to_bytes(8, "little")


@dataclass(frozen=True, slots=True)
class DeviceReset(Fixed):
    FORM = struct.Struct("")


Record = (
    Version | DmaMap | DmaUnmap | DeviceInfo | RegionInfo | IrqInfo | SetIrqs | RegionRead | RegionWrite | RegionWriteMulti | DeviceReset
)

PARSERS: Final[dict[int, Callable[[memoryview], Record]]] = {
    Command.VERSION: Version.parse,
    Command.DMA_MAP: DmaMap.parse,
    Command.DMA_UNMAP: DmaUnmap.parse,
    Command.DEVICE_GET_INFO: DeviceInfo.parse,
    Command.DEVICE_GET_REGION_INFO: RegionInfo.parse,
    Command.DEVICE_GET_IRQ_INFO: IrqInfo.parse,
    Command.DEVICE_SET_IRQS: SetIrqs.parse,
    Command.REGION_READ: RegionRead.parse,
    Command.REGION_WRITE: RegionWrite.parse,
    Command.DEVICE_RESET: DeviceReset.parse,
    Command.REGION_WRITE_MULTI: RegionWriteMulti.parse,
}
"""The commands that are carried out. Others exist, for servers that migrate or pass more descriptors."""


def parse(command: int, payload: memoryview) -> Record:
    """A request's record. Raises Refused: ENOTSUP for commands that are not carried out, EINVAL for sizes that make no sense."""
    if command not in PARSERS:
        raise Refused(errno.ENOTSUP, f"command {command}")
    return PARSERS[command](payload)


@dataclass(frozen=True, slots=True)
class Reply:
    """One message to send. `fd` goes with its first byte, and stays its owner's."""

    data: bytes
    fd: int | None = None


def reply(header: Header, payload: bytes, fd: int | None = None) -> Reply:
    """The answer to a request."""
    return Reply(HEADER.pack(header.id, header.command, HEADER.size + len(payload), Flag.REPLY, 0) + payload, fd)


def error_reply(header: Header, number: int) -> Reply:
    """The answer to a request that was not carried out."""
    return Reply(HEADER.pack(header.id, header.command, HEADER.size, Flag.REPLY | Flag.ERROR, number))
