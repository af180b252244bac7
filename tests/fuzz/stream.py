"""The target of the vfio-user stream: messages of any kind, cut, grown, out of order, with the wrong descriptors, and plain noise.

Each input is one client's life. The card serves the next client as if nothing had been, and no descriptor stays behind.
"""

from __future__ import annotations

import errno
import gc
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from ena_dev.vfio_user.connection import Connection, ProtocolBroken
from ena_dev.vfio_user.function import CardFunction
from ena_dev.vfio_user.messages import Reply
from tests.fuzz.decode import Decisions
from tests.fuzz.good_driver import passes_frames
from tests.fuzz.rig import RAM_SIZE, Rig
from tests.support.scripted_driver import ScriptedDriver
from tests.support.vfio_client import RAM_BASE

LONGEST = 48  # messages of one input
COMMANDS = (2, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10, 10, 13, 15, 1)
REGIONS = (0, 0, 0, 1, 2, 7, 7, 8, 9)
OFFSETS = (0, 4, 0x10, 0x14, 0x18, 0x2C, 0x54, 0x5C, 0x60, 0x64, 0x78, 0x79, 0xB2, 0x1000, 0x1004, 0x2004, 0x3FFC, 0x4000)
IRQ_FLAGS = (0x24, 0x24, 0x21, 0x22, 0x20, 0x0C, 0x14)


class Client:
    """One end of a connection whose other end is `connection`, without a socket between them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._id = 0

    def request(self, command: int, payload: bytes = b"", fds: tuple[int, ...] = ()) -> bytes:
        """A reply's payload. AssertionError for an error reply."""
        self._id += 1
        message = struct.pack("<HHIII", self._id, command, 16 + len(payload), 0, 0) + payload
        reply = together(self.connection.feed(message, [os.dup(fd) for fd in fds]))
        assert struct.unpack_from("<HHIII", reply) == (self._id, command, len(reply), 1, 0), f"command {command} refused"
        return reply[16:]

    def read(self, offset: int) -> int:
        return int.from_bytes(self.request(9, struct.pack("<QII", offset, 0, 4))[16:], "little")

    def write(self, offset: int, value: int) -> None:
        self.request(10, struct.pack("<QIII", offset, 0, 4, value & 0xFFFFFFFF))


def together(replies: list[Reply]) -> bytes:
    return b"".join(reply.data for reply in replies)


class Registers(Client):
    """What a scripted driver takes for a device."""

    def __init__(self, connection: Connection, rig: Rig) -> None:
        super().__init__(connection)
        self._rig = rig

    def poll(self, now: float) -> None:
        self._rig.settle()


def stream(data: bytes) -> None:
    """Any stream of bytes and descriptors."""
    dice = Decisions(data)
    with Rig(map_ram=False) as rig:
        function = CardFunction(rig.card, rig.memory)
        with no_collection():
            before = len(os.listdir("/proc/self/fd"))
            life(rig, dice, Connection(function))
            function.abandon()
            assert rig.memory.ranges == []
            assert len(os.listdir("/proc/self/fd")) == before, "the client's descriptors stay behind"
        next_client(rig, function)
        function.abandon()


@contextmanager
def no_collection() -> Iterator[None]:
    """Nothing that an earlier input left is closed inside."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def life(rig: Rig, dice: Decisions, connection: Connection) -> None:
    """Messages until the input ends, or the stream is given up."""
    client = Client(connection)
    try:
        greeted = dice.chance(240)
        if greeted:
            client.request(1, bytes(4) + b"{}\0")
        if greeted and dice.chance(224):
            client.request(2, struct.pack("<IIQQQ", 32, 3, 0, RAM_BASE, RAM_SIZE), (rig.ram.fd,))
            client.request(10, struct.pack("<QIIH", 4, 7, 2, 6))
        for _ in range(LONGEST):
            if not dice.more:
                break
            say(rig, dice, connection)
            if dice.chance(64):
                rig.settle(0.5)
    except ProtocolBroken:
        pass
    finally:
        connection.close()


def say(rig: Rig, dice: Decisions, connection: Connection) -> None:
    """A message or two, in one chunk or in several, with the descriptors that come along."""
    chunk = b"".join(message(rig, dice) for _ in range(1 + dice.chance(32)))
    if dice.chance(16):
        chunk = chunk[: dice.below(len(chunk) + 1)]
    cut = dice.below(len(chunk) + 1) if dice.chance(32) else len(chunk)
    replies = together(connection.feed(chunk[:cut], descriptors(rig, dice))) if cut else b""
    if cut < len(chunk):
        replies += together(connection.feed(chunk[cut:], descriptors(rig, dice) if dice.chance(16) else []))
    while replies:
        _, _, size, flags, error = struct.unpack_from("<HHIII", replies)
        assert 16 <= size <= len(replies)
        assert flags in (1, 0x21)
        assert (flags == 0x21) == bool(error)
        assert not error or errno.errorcode[error]
        replies = replies[size:]


def message(rig: Rig, dice: Decisions) -> bytes:
    if dice.chance(4):
        return dice.take(dice.byte())
    command = dice.choice(COMMANDS) if dice.chance(248) else dice.byte()
    payload = body(rig, dice, command)
    if dice.chance(8):
        payload = payload[: dice.byte()] if dice.chance(128) else payload + dice.take(dice.byte())
    size = 16 + len(payload) if dice.chance(250) else dice.number()
    flags = dice.choice((0, 0, 0, 0x10)) if dice.chance(248) else dice.byte()
    return struct.pack("<HHIII", dice.byte(), command, size, flags, 0) + payload


def body(rig: Rig, dice: Decisions, command: int) -> bytes:
    """A payload as the command wants it, most often."""
    match command:
        case 1:
            return dice.choice((bytes(4) + b"{}\0", b"\1\0\0\0", bytes(4) + b'{"capabilities":[]}\0', dice.take(dice.byte())))
        case 2:
            offset = 4096 * dice.below(8) if dice.chance(240) else dice.number(8)
            return struct.pack("<IIQQQ", 32, dice.choice((3, 3, 3, 1, 2, 0, 7)), offset, *extent(dice))
        case 3:
            return struct.pack("<IIQQ", 24, dice.choice((0, 0, 0, 2, 1)), *extent(dice))
        case 4 | 7:
            return struct.pack("<IIII", 16, 0, dice.below(6), 0)
        case 5 | 6:
            return struct.pack("<IIIIQQ", 32, 0, dice.choice(REGIONS), 0, 0, 0)
        case 8:
            start, count = dice.choice((0, 1, 2, 4, 5, dice.number())), dice.choice((0, 1, 2, 5, dice.number()))
            data = dice.take(min(count, 8)) if dice.chance(64) else b""
            return struct.pack("<IIIII", 20, dice.choice(IRQ_FLAGS), dice.choice((2, 2, 2, 3, 0, 9)), start, count) + data
        case 9:
            return struct.pack("<QII", *place(dice), dice.choice((4, 4, 2, 1, 8, 4096, dice.number())))
        case 10:
            data = words(rig, dice)
            return struct.pack("<QII", *place(dice), len(data)) + data
        case 15:
            count = dice.below(4)
            writes = (struct.pack("<QII", *place(dice), dice.choice((4, 4, 8, 1, 0, 9))) + dice.take(8) for _ in range(count))
            return count.to_bytes(8, "little") + b"".join(writes)
    return dice.take(dice.below(40))


def place(dice: Decisions) -> tuple[int, int]:
    """An offset, and a region."""
    offset = dice.choice(OFFSETS) if dice.chance(224) else dice.number(8)
    return offset, dice.choice(REGIONS) if dice.chance(248) else dice.number()


def words(rig: Rig, dice: Decisions) -> bytes:
    """What is written: values that registers know, most often."""
    kind = dice.byte()
    if kind < 64:
        return dice.choice((0, 1, 6, 0x8000, 64 << 16 | 32, rig.ram.base, rig.ram.base + 4096)).to_bytes(4, "little")
    return dice.take(dice.choice((4, 4, 4, 2, 1, 8, 64)))


def extent(dice: Decisions) -> tuple[int, int]:
    """An address and a size, of whole pages most often."""
    first, count = dice.below(64), 1 + dice.below(64)
    if dice.chance(16):
        return dice.number(8), dice.number(8)
    if dice.chance(96):
        return RAM_BASE, RAM_SIZE
    return RAM_BASE + 4096 * first, 4096 * count


def descriptors(rig: Rig, dice: Decisions) -> list[int]:
    """Those that come with a chunk: none, the right one, or others."""
    kind, count = dice.byte() % 16, 1
    if kind < 7:
        return []
    if kind == 15:
        count = dice.below(20)
    return [descriptor(rig, dice.byte() if kind > 12 else kind) for _ in range(count)]


def descriptor(rig: Rig, kind: int) -> int:
    match kind % 6:
        case 0:
            return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        case 1 | 2:
            return os.dup(rig.ram.fd)
        case 3 | 4:
            return os.eventfd(0, os.EFD_CLOEXEC)
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def next_client(rig: Rig, function: CardFunction) -> None:
    """In the order of a monitor and its guest."""
    connection = Connection(function)
    client = Registers(connection, rig)
    rig.ram.start_over()
    client.request(1, bytes(4) + b"{}\0")
    client.request(2, struct.pack("<IIQQQ", 32, 3, 0, rig.ram.base, rig.ram.size), (rig.ram.fd,))
    client.request(13)
    client.request(10, struct.pack("<QIIH", 4, 7, 2, 6))
    rig.settle(1.0)
    driver = ScriptedDriver(client, rig.ram)  # type: ignore[arg-type]
    driver.now = rig.now
    passes_frames(driver, rig.ram, rig.wire, client.write, rig.settle)
    connection.close()
