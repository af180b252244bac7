"""A virtual machine monitor by script: speaks vfio-user in raw numbers, in QEMU's order, and lends its memory to a scripted driver.

It shares no table with the server. Blocking: the server runs in another thread or process.
"""

from __future__ import annotations

import array
import ctypes
import mmap
import os
import select
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RAM_BASE, RAM_SIZE = 0x100000, 0x400000
PATIENCE = 60.0  # seconds


class Refusal(Exception):
    """An error reply."""

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.number = number


class GuestRam:
    """A memory file at one bus address; the scripted driver's memory."""

    def __init__(self, base: int = RAM_BASE, size: int = RAM_SIZE) -> None:
        self.base, self.size = base, size
        self.fd = os.memfd_create("guest-ram")
        os.ftruncate(self.fd, size)
        self._map = mmap.mmap(self.fd, size)
        self._next = 0

    def allocate(self, size: int) -> int:
        address = self.base + self._next
        self._next += (size + 4095) & -4096
        assert self._next <= self.size
        return address

    @property
    def host_address(self) -> int:
        """Where this process sees it."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    @property
    def inode(self) -> int:
        return os.fstat(self.fd).st_ino

    def start_over(self) -> None:
        """All is free again, and zeros."""
        self._map[:] = bytes(self.size)
        self._next = 0

    def peek(self, address: int, length: int) -> bytes:
        return self._map[address - self.base : address - self.base + length]

    def poke(self, address: int, data: bytes) -> None:
        self._map[address - self.base : address - self.base + len(data)] = data

    def close(self) -> None:
        self._map.close()
        os.close(self.fd)


class VfioClient:
    """One connection."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(path))
        self._id = 0xFFFE  # wraps soon

    def send(self, command: int, payload: bytes = b"", fds: Sequence[int] = (), *, no_reply: bool = False) -> int:
        self._id = (self._id + 1) & 0xFFFF
        message = struct.pack("<HHIII", self._id, command, 16 + len(payload), 0x10 if no_reply else 0, 0) + payload
        self.sock.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
        return self._id

    def receive(self, request: int, command: int) -> bytes:
        """The reply to a request; the next thing to come."""
        identity, echoed, size, flags, error = struct.unpack("<HHIII", self._exactly(16))
        assert (identity, echoed) == (request, command), "a reply to something else"
        payload = self._exactly(size - 16)
        if flags & 0x20:
            assert (flags, size) == (0x21, 16)
            raise Refusal(error)
        assert (flags, error) == (1, 0)
        return payload

    def request(self, command: int, payload: bytes = b"", fds: Sequence[int] = ()) -> bytes:
        return self.receive(self.send(command, payload, fds), command)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.sock.recv(count - len(data))
            assert piece, "the server closed the connection"
            data += piece
        return data

    def close(self) -> None:
        self.sock.close()

    # what is asked for

    def version(self) -> bytes:
        said = b'{"pgsizes":4096,"max_msg_fds":16,"max_dma_maps":65535,"max_data_xfer_size":1048576,"write_multiple":true}'
        return self.request(1, struct.pack("<HH", 0, 0) + b'{"capabilities":' + said + b"}\0")

    def map(self, ram: GuestRam) -> None:
        assert self.request(2, struct.pack("<IIQQQ", 32, 3, 0, ram.base, ram.size), [ram.fd]) == b""

    def unmap(self, ram: GuestRam) -> None:
        payload = struct.pack("<IIQQ", 24, 0, ram.base, ram.size)
        assert self.request(3, payload) == payload

    def region_info(self, index: int) -> tuple[int, int]:
        """Flags and size."""
        _, flags, echoed, _, size, _ = struct.unpack("<IIIIQQ", self.request(5, struct.pack("<IIIIQQ", 32, 0, index, 0, 0, 0)))
        assert echoed == index
        return flags, size

    def region_files(self, index: int) -> list[int]:
        """The descriptors that came with a region's description; they are the caller's."""
        request = self.send(5, struct.pack("<IIIIQQ", 32, 0, index, 0, 0, 0))
        header, ancillary, _, _ = self.sock.recvmsg(16, socket.CMSG_SPACE(64), socket.MSG_CMSG_CLOEXEC)
        assert struct.unpack("<HHIII", header) == (request, 5, 48, 1, 0)
        self._exactly(32)
        fds = array.array("i")
        for level, kind, data in ancillary:
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            fds.frombytes(data)
        return list(fds)

    def irq_info(self, index: int) -> tuple[int, int]:
        """Flags and count."""
        _, flags, _, count = struct.unpack("<IIII", self.request(7, struct.pack("<IIII", 16, 0, index, 0)))
        return flags, count

    def set_irqs(self, flags: int, index: int, start: int, count: int, fds: Sequence[int] = (), data: bytes = b"") -> None:
        assert self.request(8, struct.pack("<IIIII", 20 + len(data), flags, index, start, count) + data, fds) == b""

    def read(self, region: int, offset: int, count: int) -> bytes:
        asked = struct.pack("<QII", offset, region, count)
        reply = self.request(9, asked)
        assert reply[:16] == asked
        assert len(reply) == 16 + count
        return reply[16:]

    def write(self, region: int, offset: int, data: bytes) -> None:
        header = struct.pack("<QII", offset, region, len(data))
        assert self.request(10, header + data) == header

    def post(self, region: int, offset: int, data: bytes) -> None:
        self.send(10, struct.pack("<QII", offset, region, len(data)) + data, no_reply=True)

    def config(self, offset: int, form: str) -> int:
        return int(struct.unpack("<" + form, self.read(7, offset, struct.calcsize("<" + form)))[0])

    # in QEMU's order

    def attach(self, ram: GuestRam) -> None:
        """From the connection to the end of the machine's reset."""
        self.version()
        self.map(ram)
        assert self.request(2, struct.pack("<IIQQQ", 32, 1, 0, 0xFFFC0000, 0x40000)) == b""  # the BIOS, without a descriptor
        assert struct.unpack("<IIII", self.request(4, struct.pack("<IIII", 16, 0, 0, 0))) == (16, 3, 9, 5)
        for index in (0, 1, 2, 3, 4, 5, 7):
            self.region_info(index)
        self.irq_info(3)
        self.read(7, 0, 4096)
        for bar in range(6):
            self.read(7, 0x10 + 4 * bar, 4)
        self.irq_info(2)
        assert self.config(0x3D, "B") == 0
        self.write(7, 4, struct.pack("<H", self.config(4, "H") & ~7))
        assert self.request(13) == b""
        for bar in range(6):
            self.write(7, 0x10 + 4 * bar, bytes(4))

    def enable(self) -> None:
        """What a driver's probe does first: memory decode and bus master."""
        self.write(7, 4, struct.pack("<H", 0x0006))

    def unmask_vector(self, vector: int) -> Eventfd:
        """A fresh eventfd for one vector, as the guest's unmasking brings it."""
        event = Eventfd(os.eventfd(0, os.EFD_NONBLOCK))
        self.set_irqs(0x24, 2, vector, 1, [event.fd])
        return event


@dataclass
class Eventfd:
    fd: int

    def wait(self, timeout: float = PATIENCE) -> int:
        """How often it was signalled, waiting for the first time; 0 if it never was."""
        if not select.select([self.fd], [], [], timeout)[0]:
            return 0
        return os.eventfd_read(self.fd)

    def close(self) -> None:
        os.close(self.fd)


class GuestDevice:
    """BAR 0 as a guest's driver sees it: posted writes, reads that wait. What the scripted driver takes for a device."""

    def __init__(self, client: VfioClient) -> None:
        self._client = client

    def read(self, offset: int) -> int:
        return int.from_bytes(self._client.read(0, offset, 4), "little")

    def write(self, offset: int, value: int) -> None:
        self._client.post(0, offset, (value & 0xFFFFFFFF).to_bytes(4, "little"))
        if offset == 0x5C:  # the driver spins on its memory next
            self.read(0x58)

    def poll(self, now: float) -> None:
        """Two round trips: what was posted before the first has been worked off by the second."""
        self.read(0x58)
        self.read(0x58)
