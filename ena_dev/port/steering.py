"""RSS in the kernel: a program that picks the TAP queue of each frame by the card's own hash and table.

    frame --> program: toeplitz(addresses, ports) --> table[hash % 1024] --> queue

TCP and UDP over IPv4 and IPv6, whole and without IPv6 extension headers; everything else goes to queue 0. Hash rows and table lie in one
map value, so that a new key or table takes effect by writing the map. Built and loaded by the system call alone: neither compiler nor
library. Needs CAP_BPF (or root); OSError says so. Source: Linux, Documentation/bpf (instruction set, classic_vs_extended); ENA
interface, RSS.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import struct
from collections.abc import Sequence

from ena_dev.packet.toeplitz import Toeplitz

TUNSETSTEERINGEBPF = 0x800454E0
SYSTEM_CALL = {"x86_64": 321, "aarch64": 280}
MAP_CREATE, MAP_UPDATE, PROGRAM_LOAD = 0, 2, 5
MAP_ARRAY, SOCKET_FILTER, PSEUDO_MAP_VALUE = 2, 1, 2
INPUT, ROW = 36, 256 * 4  # bytes of hash input; bytes of one position's row
TABLE = 1024  # entries; shorter tables are repeated
VALUE = INPUT * ROW + TABLE * 4

# instruction codes
LOAD_BYTE, LOAD_HALF, LOAD_BYTE_AT, LOAD_WORD, LOAD_64 = 0x30, 0x28, 0x50, 0x61, 0x18
MOVE, MOVE_REG, ADD, ADD_REG, AND, SHIFT_LEFT, XOR_REG = 0xB7, 0xBF, 0x07, 0x0F, 0x57, 0x67, 0xAF
JUMP, JUMP_EQUAL, JUMP_UNEQUAL, EXIT = 0x05, 0x15, 0x55, 0x95


class Steering:
    """The program on one TAP. `update` before it does anything: an empty table means queue 0."""

    def __init__(self, tap: int) -> None:
        self._tap, self._program = tap, -1
        self._map = _bpf(MAP_CREATE, struct.pack("<5I", MAP_ARRAY, 4, VALUE, 1, 0))
        try:
            self._write(bytes(VALUE))
            self._program = _load(assemble(self._map))
            fcntl.ioctl(tap, TUNSETSTEERINGEBPF, struct.pack("i", self._program))
        except OSError:
            self.close()
            raise

    def update(self, key: bytes, initial: int, table: Sequence[int]) -> None:
        """Use this key (40 bytes, standard order), start value and table (a power of two of queue numbers) from the next frame on."""
        self._write(value(key, initial, table))

    def close(self) -> None:
        """Take the program off the interface, which may outlive us."""
        if self._program >= 0:
            fcntl.ioctl(self._tap, TUNSETSTEERINGEBPF, struct.pack("i", -1))
            os.close(self._program)
        os.close(self._map)
        self._map = self._program = -1

    def _write(self, content: bytes) -> None:
        index, buffer = ctypes.create_string_buffer(4), ctypes.create_string_buffer(content, VALUE)
        _bpf(MAP_UPDATE, struct.pack("<IIQQQ", self._map, 0, ctypes.addressof(index), ctypes.addressof(buffer), 0))


def value(key: bytes, initial: int, table: Sequence[int]) -> bytes:
    """The map's content: a row of 256 words for each input byte, then the table. The start value stands in the first row."""
    rows = bytearray()
    hasher = Toeplitz(key)
    for position in range(INPUT):
        start = initial if position == 0 else 0
        rows += struct.pack("<256I", *(start ^ hasher.hash(bytes(position) + bytes([byte])) for byte in range(256)))
    entries = list(table) or [0]
    return bytes(rows) + struct.pack(f"<{TABLE}I", *(entries[n % len(entries)] for n in range(TABLE)))


def assemble(map_fd: int) -> bytes:
    """The program: r6 is the frame, r8 the hash so far, r9 where IPv4's ports begin."""
    finish = _i(AND, 8, imm=TABLE - 1) + _i(SHIFT_LEFT, 8, imm=2) + _row(map_fd, INPUT) + _i(ADD_REG, 7, 8) + _i(LOAD_WORD, 0, 7) + _i(EXIT)
    give_up = _i(MOVE, 0) + _i(EXIT)
    v6 = b"".join(_i(LOAD_BYTE, imm=22 + n) + _mix(map_fd, n) for n in range(INPUT)) + finish
    v6 = _transport_only(20, v6) + v6
    v4 = b"".join(_i(LOAD_BYTE, imm=26 + n) + _mix(map_fd, n) for n in range(8))
    v4 += _i(LOAD_BYTE, imm=14) + _i(AND, 0, imm=15) + _i(SHIFT_LEFT, 0, imm=2) + _i(ADD, 0, imm=14) + _i(MOVE_REG, 9, 0)
    v4 += b"".join(_i(LOAD_BYTE_AT, 0, 9, imm=n) + _mix(map_fd, 8 + n) for n in range(4)) + finish
    v4 = _i(LOAD_HALF, imm=20) + _i(AND, 0, imm=0x3FFF) + _i(JUMP_UNEQUAL, 0, off=_slots(v4)) + v4  # fragments
    v4 = _transport_only(23, v4) + v4
    v4, v6 = v4 + give_up, v6 + give_up
    start = _i(MOVE_REG, 6, 1) + _i(MOVE, 8) + _i(LOAD_HALF, imm=12)
    return start + _i(JUMP_UNEQUAL, 0, off=_slots(v4), imm=0x0800) + v4 + _i(JUMP_UNEQUAL, 0, off=_slots(v6) - 2, imm=0x86DD) + v6


def _transport_only(offset: int, rest: bytes) -> bytes:
    """Go on only for TCP and UDP; otherwise to what follows `rest`."""
    return _i(LOAD_BYTE, imm=offset) + _i(JUMP_EQUAL, 0, off=1, imm=6) + _i(JUMP_UNEQUAL, 0, off=_slots(rest), imm=17)


def _mix(map_fd: int, position: int) -> bytes:
    """r8 ^= rows[position][r0]."""
    lookup = _i(AND, 0, imm=255) + _i(SHIFT_LEFT, 0, imm=2) + _row(map_fd, position) + _i(ADD_REG, 7, 0)
    return lookup + _i(LOAD_WORD, 1, 7) + _i(XOR_REG, 8, 1)


def _row(map_fd: int, position: int) -> bytes:
    """r7 = address of a row in the map's value."""
    return _i(LOAD_64, 7, PSEUDO_MAP_VALUE, imm=map_fd) + _i(0, imm=position * ROW)


def _slots(code: bytes) -> int:
    return len(code) // 8


def _i(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhi", code, src << 4 | dst, off, imm)


def _load(code: bytes) -> int:
    instructions, licence = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
    attributes = (SOCKET_FILTER, _slots(code), ctypes.addressof(instructions), ctypes.addressof(licence), 0, 0, 0, 0)
    return _bpf(PROGRAM_LOAD, struct.pack("<IIQQIIQI", *attributes))


def _bpf(command: int, attributes: bytes) -> int:
    number = SYSTEM_CALL.get(platform.machine())
    if number is None:
        raise OSError(0, f"the number of the bpf system call is not known for {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes, 128)
    result: int = ctypes.CDLL(None, use_errno=True).syscall(number, command, buffer, len(buffer))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
