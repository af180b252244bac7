"""A driver that follows the contract step by step, written in raw numbers: it shares no table with the card.

It checks what a driver would check and raises AssertionError where a driver would give up. Time is the caller's: `now`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ena_dev.device.model import Device
from tests.support.fake_card import FakeMemory

VERSION, CONTROLLER_VERSION, CAPS, DEV_CTL, DEV_STS = 0x00, 0x04, 0x08, 0x54, 0x58
INTR_MASK, MMIO_REG_READ, MMIO_RESP_LO, MMIO_RESP_HI = 0x4C, 0x5C, 0x60, 0x64
AQ_DB, AENQ_HEAD_DB = 0x2C, 0x40
AQ, ACQ, AENQ = (0x10, 0x14, 0x18), (0x20, 0x24, 0x28), (0x38, 0x3C, 0x34)  # base low, base high, caps
RESET_IN_PROGRESS = 1 << 3


@dataclass(frozen=True)
class Answer:
    """A completion, as a driver sees it."""

    status: int
    payload: bytes
    sq_head: int

    def u16(self, at: int) -> int:
        """A field by its offset in the 64-byte entry."""
        return int(struct.unpack_from("<H", self.payload, at - 8)[0])

    def u32(self, at: int) -> int:
        return int(struct.unpack_from("<I", self.payload, at - 8)[0])


class ScriptedDriver:
    """One driver's life with a card."""

    def __init__(self, device: Device, memory: FakeMemory, *, readless: bool = True) -> None:
        self.device, self.memory, self.readless = device, memory, readless
        self.now = 0.0
        self._response = memory.allocate(8)
        self._sequence = 0
        self.aq_count = self.acq_count = 0

    # registers

    def announce_response(self) -> None:
        self.device.write(MMIO_RESP_LO, self._response & 0xFFFFFFFF)
        self.device.write(MMIO_RESP_HI, self._response >> 32)

    def register(self, offset: int) -> int:
        value = self.read_readless(offset) if self.readless else self.device.read(offset)
        if value == 0xFFFFFFFF:
            raise AssertionError(f"register {offset:#x}: dead device")
        return value

    def read_readless(self, offset: int) -> int:
        self._sequence = (self._sequence + 1) & 0xFFFF
        self.memory.poke(self._response, struct.pack("<H", (self._sequence + 0xDEAD) & 0xFFFF))
        self.device.write(MMIO_REG_READ, offset << 16 | self._sequence)
        req_id, answered, value = struct.unpack("<HHI", self.memory.peek(self._response, 8))
        if (req_id, answered) != (self._sequence, offset):
            raise AssertionError(f"readless read of {offset:#x} not answered")
        return int(value)

    # reset

    def reset(self, reason: int = 0) -> None:
        """The full handshake of the big drivers."""
        if self.readless:
            self.announce_response()
        assert self.register(DEV_STS) & 1, "not ready"
        assert self.register(CAPS) >> 1 & 0x1F, "no reset timeout"
        self.device.write(DEV_CTL, 1 | (reason & 0xF) << 28 | (reason >> 4) << 24)
        if self.readless:
            self.announce_response()
        self.now += 0.1
        self.device.poll(self.now)
        assert self.register(DEV_STS) & RESET_IN_PROGRESS, "reset does not show"
        self.device.write(DEV_CTL, 0)
        assert not self.register(DEV_STS) & RESET_IN_PROGRESS, "reset does not end"
        assert self.register(DEV_STS) & 1, "not ready after the reset"

    def short_reset(self) -> None:
        """The form that looks at one bit only and reads directly."""
        self.device.write(DEV_CTL, 1)
        assert self.device.read(DEV_STS) & RESET_IN_PROGRESS
        self.device.write(DEV_CTL, 0)
        assert not self.device.read(DEV_STS) & RESET_IN_PROGRESS

    # admin rings

    def program(self, registers: tuple[int, int, int], address: int, depth: int) -> None:
        low, high, caps = registers
        self.device.write(low, address & 0xFFFFFFFF)
        self.device.write(high, address >> 32)
        self.device.write(caps, 64 << 16 | depth if depth else 0)

    def set_up_admin(self, depth: int = 32, aenq_depth: int = 16) -> None:
        self.depth, self.aenq_depth = depth, aenq_depth
        self.aq, self.acq, self.aenq = (self.memory.allocate(64 * entries) for entries in (depth, depth, aenq_depth))
        self.aq_count = self.acq_count = 0
        self.aenq_head = aenq_depth
        for registers, ring, entries in ((AQ, self.aq, depth), (ACQ, self.acq, depth), (AENQ, self.aenq, aenq_depth)):
            self.program(registers, ring, entries)

    def submit(self, opcode: int, body: bytes = b"", flags: int = 0) -> int:
        """Write a command and ring the doorbell; returns its id."""
        command_id = self.aq_count % self.depth
        phase = 1 - (self.aq_count // self.depth & 1)
        entry = struct.pack("<HBB", command_id, opcode, flags | phase) + body.ljust(60, b"\0")
        self.memory.poke(self.aq + 64 * command_id, entry)
        self.aq_count += 1
        self.device.write(AQ_DB, self.aq_count)  # unmasked: the card takes 16 bits of it
        return command_id

    def collect(self) -> tuple[int, Answer] | None:
        """The next completion, if there is one: its command id and what it says."""
        slot, phase = self.acq_count % self.depth, 1 - (self.acq_count // self.depth & 1)
        entry = self.memory.peek(self.acq + 64 * slot, 64)
        command_id, status, flags, _, head = struct.unpack_from("<HBBHH", entry)
        if flags & 1 != phase:
            return None
        self.acq_count += 1
        return command_id, Answer(status, entry[8:], head)

    def command(self, opcode: int, body: bytes = b"", flags: int = 0) -> Answer:
        command_id = self.submit(opcode, body, flags)
        self.device.poll(self.now)
        completion = self.collect()
        assert completion is not None, f"command {opcode}: no completion"
        assert completion[0] == command_id, f"command {opcode}: completion of another"
        return completion[1]

    # commands

    def get(self, feature: int, version: int = 0, buffer: tuple[int, int] = (0, 0)) -> Answer:
        return self.command(8, control(buffer) + bytes((0, feature, version, 0)), flags=4 if buffer[1] else 0)

    def set(self, feature: int, payload: bytes, buffer: tuple[int, int] = (0, 0)) -> Answer:
        return self.command(9, control(buffer) + bytes((0, feature, 0, 0)) + payload, flags=4 if buffer[1] else 0)

    def create_cq(self, ring: int, *, words: int, depth: int = 256, vector: int = 0xFFFFFFFF, interrupts: bool = True) -> Answer:
        body = struct.pack("<BBHIIHH", interrupts << 5, words, depth, vector, ring & 0xFFFFFFFF, ring >> 32, 0)
        return self.command(3, body)

    def create_sq(self, direction: int, cq: int, ring: int, *, depth: int = 256, placement: int = 1, policy: int = 0) -> Answer:
        body = struct.pack("<BBBBHHIHH", direction << 5, 0, placement | policy << 4, 1, cq, depth, ring & 0xFFFFFFFF, ring >> 32, 0)
        return self.command(1, body)

    def destroy_sq(self, index: int, direction: int) -> Answer:
        return self.command(2, struct.pack("<HB", index, direction << 5))

    def destroy_cq(self, index: int) -> Answer:
        return self.command(4, struct.pack("<H", index))

    def stats(self, kind: int = 0) -> Answer:
        return self.command(11, bytes(12) + bytes((kind,)))

    def enable_groups(self, groups: int) -> Answer:
        return self.set(26, struct.pack("<II", 0, groups))

    # events

    def open_events(self) -> None:
        self.device.write(AENQ_HEAD_DB, self.aenq_head)

    def events(self, *, consume: bool = True) -> list[tuple[int, int, bytes]]:
        """New events as (group, syndrome, payload); `consume` tells the card that their slots are free again."""
        seen = []
        while True:
            slot, phase = self.aenq_head % self.aenq_depth, self.aenq_head // self.aenq_depth & 1
            entry = self.memory.peek(self.aenq + 64 * slot, 64)
            group, syndrome, flags = struct.unpack_from("<HHB", entry)
            if flags & 1 != phase:
                break
            self.aenq_head += 1
            seen.append((group, syndrome, entry[16:]))
        if consume and seen:
            self.device.write(AENQ_HEAD_DB, self.aenq_head & 0xFFFF)
        return seen

    def elapse(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass, polling now and then."""
        for _ in range(round(seconds / step)):
            self.now += step
            self.device.poll(self.now)


def control(buffer: tuple[int, int]) -> bytes:
    """Control buffer info of (address, length)."""
    address, length = buffer
    return struct.pack("<IIHH", length, address & 0xFFFFFFFF, address >> 32 & 0xFFFF, 0)
