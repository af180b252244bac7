"""A card that only follows a script: registers, admin queue and events by byte offsets typed from the contract, no packets.

It shares no code with the real device, and not even the tables of `abi`. What it was told is kept in `writes` and `commands`;
`refuse`, `mute`, `dead` and friends make it misbehave. Source: ENA interface, Registers, Admin queue, AENQ.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ena_dev.bus.interrupts import MsixVector
from ena_dev.bus.memory import Memory

GET, SET, CREATE_SQ, DESTROY_SQ, CREATE_CQ, DESTROY_CQ, STATS = 8, 9, 1, 2, 3, 4, 11
MAC = bytes.fromhex("02a1b2c3d4e5")


@dataclass(frozen=True)
class Command:
    """One admin command as it stood in memory; `buffer` is its control buffer."""

    opcode: int
    feature: int
    raw: bytes
    buffer: bytes

    @property
    def name(self) -> str:
        names = {GET: "GET", SET: "SET", CREATE_SQ: "SQ", DESTROY_SQ: "-SQ", CREATE_CQ: "CQ", DESTROY_CQ: "-CQ", STATS: "STATS"}
        return f"{names[self.opcode]} {self.feature}" if self.opcode in (GET, SET) else names[self.opcode]


class ScriptedCard:
    """`control` of a RegisterBar. All answers come at once, unless told otherwise."""

    def __init__(self, memory: Memory, vectors: Sequence[MsixVector]) -> None:
        self.memory, self.vectors = memory, vectors
        self.registers = {0x00: 0x0A, 0x04: 0x01000001, 0x08: 0x0000303F, 0x58: 1}
        self.writes: list[tuple[int, int]] = []
        self.commands: list[Command] = []
        self.resets: list[int] = []
        self.features = {
            1: struct.pack("<6I6sHI", 1, 10, self._bits(1, 7, 10, 11, 12, 14, 20, 26, 28), 1 << 3, 48, 48, MAC, 0, 9216),
            7: struct.pack("<B3x9I2H", 1, 4, 4, 4, 4, 1024, 1024, 1024, 1024, 128, 19, 17),
            10: struct.pack("<3I", 2, 2, 0),
            11: struct.pack("<3I", 0xFF, 0xF, 0),
            12: struct.pack("<3H2BIHH", 7, 7, 0, 0, 0, 0xFFFFFFFF, 0, 0),
            20: struct.pack("<HH", 1, 0),
            26: struct.pack("<2I", 1 << 0 | 1 << 3 | 1 << 4 | 1 << 7, 0),
        }
        self.refuse: dict[str, int] = {}  # command name -> status
        self.mute: set[str] = set()  # commands never answered
        self.silent = False  # answers come without an interrupt
        self.dead = False  # all reads yield ones, readless ones nothing
        self.stuck: str | None = None  # "begin" or "end" of a reset that never comes
        self.before_answer: Callable[[Command], None] = lambda command: None
        self._forget()

    @staticmethod
    def _bits(*numbers: int) -> int:
        return sum(1 << number for number in numbers)

    def _forget(self) -> None:
        self.aq_head = self.acq_tail = self.aenq_tail = self.next_queue = 0
        self.aenq_head: int | None = None
        self.masked = False

    # -- registers -----------------------------------------------------------------------------------------------------

    def read(self, offset: int) -> int:
        return 0xFFFFFFFF if self.dead else self.registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        self.writes.append((offset, value))
        if self.dead:
            return
        if offset == 0x54:
            self._device_control(value)
        elif offset == 0x5C:
            self._readless(value)
        elif offset == 0x2C:
            self._process(value)
        elif offset == 0x40:
            self.aenq_head = value
        elif offset == 0x4C:
            self.masked = bool(value & 1)
        else:
            self.registers[offset] = value

    def _device_control(self, value: int) -> None:
        if value & 1:
            self.resets.append(value >> 28 | (value >> 24 & 0xF) << 4)
            self._forget()
            if self.stuck != "begin":
                self.registers[0x58] = 1 | 1 << 3
        elif self.stuck != "end":
            self.registers[0x58] = 1

    def _readless(self, request: int) -> None:
        address = self.registers.get(0x60, 0) | self.registers.get(0x64, 0) << 32
        self.memory.write(address, struct.pack("<HHI", request & 0xFFFF, request >> 16, self.registers.get(request >> 16, 0)))

    def _ring(self, low: int) -> tuple[int, int]:
        caps = self.registers[{0x10: 0x18, 0x20: 0x28, 0x38: 0x34}[low]]
        assert caps >> 16 == 64, "entries have 64 bytes"
        return self.registers[low] | self.registers[low + 4] << 32, caps & 0xFFFF

    # -- admin queue ---------------------------------------------------------------------------------------------------

    def _process(self, tail: int) -> None:
        base, depth = self._ring(0x10)
        while self.aq_head != tail & 0xFFFF:
            raw = self.memory.read(base + self.aq_head % depth * 64, 64)
            assert raw[3] & 1 == (0 if self.aq_head & depth else 1), "the phase of a command"
            self.aq_head = self.aq_head + 1 & 0xFFFF
            self._answer(raw)

    def _answer(self, raw: bytes) -> None:
        length, low, high = struct.unpack_from("<IIH", raw, 4)
        buffer = self.memory.read(low | high << 32, length) if raw[3] & 6 else b""
        command = Command(raw[2], raw[17], raw, buffer)
        self.commands.append(command)
        self.before_answer(command)
        if command.name not in self.mute:
            status, payload = self._respond(command)
            self.complete(struct.unpack_from("<H", raw)[0], status, payload)

    def _respond(self, command: Command) -> tuple[int, bytes]:
        if command.name in self.refuse:
            return self.refuse[command.name], b""
        if command.opcode == GET:
            known = self.features.get(command.feature)
            return (0, known) if known else (3, b"")
        if command.opcode in (CREATE_CQ, CREATE_SQ):
            self.next_queue += 1
            index = self.next_queue
            offsets = (0, 0, 0x2000 + 8 * index) if command.opcode == CREATE_CQ else (0x1000 + 8 * index, 0, 0)
            return 0, struct.pack("<HH3I", index, 0, *offsets)
        return 0, b""

    def complete(self, command_id: int, status: int = 0, payload: bytes = b"") -> None:
        base, depth = self._ring(0x20)
        phase = 0 if self.acq_tail & depth else 1
        where = base + self.acq_tail % depth * 64
        self.memory.write(where + 8, payload.ljust(56, b"\0"))
        self.memory.write(where, struct.pack("<HBBHH", command_id, status, phase, 0, self.aq_head))
        self.acq_tail = self.acq_tail + 1 & 0xFFFF
        self._interrupt()

    # -- events --------------------------------------------------------------------------------------------------------

    def post(self, group: int, payload: bytes = b"", syndrome: int = 0) -> None:
        assert self.aenq_head is not None, "nothing may be posted before AENQ_HEAD_DB"
        base, depth = self._ring(0x38)
        assert 0 < (self.aenq_head - self.aenq_tail & 0xFFFF) <= depth, "the event ring is full"
        where, phase = base + self.aenq_tail % depth * 64, 0 if self.aenq_tail & depth else 1
        self.memory.write(where + 8, bytes(8) + payload.ljust(48, b"\0"))
        self.memory.write(where, struct.pack("<HHI", group, syndrome, phase))
        self.aenq_tail = self.aenq_tail + 1 & 0xFFFF
        self._interrupt()

    def _interrupt(self) -> None:
        if not self.masked and not self.silent:
            self.vectors[0].fire()
