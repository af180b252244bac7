"""Targets of the control plane: any accesses to registers, and any admin commands."""

from __future__ import annotations

import struct

from tests.fuzz.decode import Decisions
from tests.fuzz.rig import Rig
from tests.support.scripted_driver import ACQ, AENQ, AQ, ScriptedDriver, control

REGISTERS = (*range(0, 0x6C, 4), 0x100, 0xFFC, 0x1000, 0x1004, 0x1FFC, 0x2000, 0x2004, 0x2010, 0x3FFC, 0x4000)
VALUES = (0, 1, 0xFFFFFFFF, 64 << 16 | 32, 64 << 16 | 2, 64 << 16 | 0x8000, 16, 17, 0x40000000, 0x80000000, 0xF0000001, 0x1000001)
OPCODES = (1, 2, 3, 4, 8, 9, 11)
FEATURES = range(32)
LONGEST = 64  # steps of one input


def registers(data: bytes) -> None:
    """Any reads and writes of BAR 0, resets and readless reads into any address among them."""
    dice = Decisions(data)
    with Rig() as rig:
        for _ in range(LONGEST):
            if not dice.more:
                break
            access(rig, dice)
        rig.settle()
        rig.comes_back()


def access(rig: Rig, dice: Decisions) -> None:
    """One thing a driver may do to registers."""
    match dice.byte() % 8:
        case 0 | 1:
            rig.write(dice.choice(REGISTERS), dice.choice(VALUES))
        case 2:
            rig.write(dice.word(2) % 0x4004, dice.number())
        case 3:
            offset = dice.choice(REGISTERS) & 0x3FFC
            assert 0 <= rig.bar.read(offset) <= 0xFFFFFFFF
        case 4:
            readless(rig, dice)
        case 5:
            low, high, caps = dice.choice((AQ, ACQ, AENQ))
            address = dice.address(rig.ram.base, rig.ram.size)
            rig.write(low, address & 0xFFFFFFFF)
            rig.write(high, address >> 32)
            rig.write(caps, dice.choice(VALUES) if dice.chance(64) else 64 << 16 | 1 << dice.below(16))
        case 6:
            reset(rig, dice.byte())
        case 7:
            rig.settle(dice.choice((0.0, 0.001, 0.5, 1.5, 1e6)))


def reset(rig: Rig, kind: int) -> None:
    """Both phases, or one of them, or that of the bus."""
    if kind & 3 == 3:
        rig.device.function_reset()
        return
    if not kind & 2:
        rig.write(0x54, kind << 24 | 1)
    if not kind & 1:
        rig.write(0x54, 0)


def readless(rig: Rig, dice: Decisions) -> None:
    address = dice.address(rig.ram.base, rig.ram.size)
    rig.write(0x60, address & 0xFFFFFFFF)
    rig.write(0x64, address >> 32)
    rig.write(0x5C, dice.choice(REGISTERS) << 16 | dice.word(2))


def admin(data: bytes) -> None:
    """Entries of all opcodes, with control buffers anywhere; now and then the ring and its doorbell make no sense either."""
    dice = Decisions(data)
    with Rig() as rig:
        driver = rig.driver()
        driver.reset()
        driver.set_up_admin()
        for _ in range(LONGEST):
            if not dice.more:
                break
            command(rig, driver, dice)
        rig.settle(1.5)
        rig.comes_back()


def command(rig: Rig, driver: ScriptedDriver, dice: Decisions) -> None:
    kind = dice.byte()
    if kind < 16:
        access(rig, dice)
        return
    if kind < 32:
        driver.open_events()
        rig.settle(1.0)
        return
    opcode = dice.choice(OPCODES) if kind < 240 else dice.byte()
    driver.submit(opcode, body(rig, dice, opcode)[:60], dice.byte() & 6)
    if kind & 1:
        rig.settle()


def body(rig: Rig, dice: Decisions, opcode: int) -> bytes:
    """60 bytes behind an entry's first word, shaped as the opcode wants them, most often."""
    where = dice.address(rig.ram.base, rig.ram.size)
    low, high = where & 0xFFFFFFFF, where >> 32 & 0xFFFF
    if opcode in (8, 9) and dice.chance(240):
        feature = dice.choice(FEATURES) if dice.chance(230) else dice.byte()
        if dice.chance(32):
            rig.ram.poke(rig.ram.base + 4096 * dice.below(8), dice.take(64))
        return control((where, dice.number(2))) + bytes((dice.byte() & 1, feature, dice.byte() & 3, 0)) + dice.take(dice.byte() & 0x3F)
    match opcode:
        case 1:
            direction, placement, cq = dice.below(4) << 5, dice.choice((1, 1, 3, 3, 0x11)), dice.below(10)
            return struct.pack("<BBBBHHIHH", direction, 0, placement, 1, cq, depth(dice), low, high, 0)
        case 2:
            return struct.pack("<HB", dice.below(10), dice.below(4) << 5)
        case 3:
            interrupts, words, size = dice.byte() & 0x20, dice.choice((2, 4, 8, 0, 255)), depth(dice)
            return struct.pack("<BBHIIHH", interrupts, words, size, dice.choice((1, 2, 4, 5, 0xFFFFFFFF)), low, high, 0)
        case 4:
            return struct.pack("<H", dice.below(10))
        case 11:
            return control((where, dice.number(2))) + bytes((dice.below(6), dice.below(3), 0, 0)) + dice.take(4)
    return dice.take(60)


def depth(dice: Decisions) -> int:
    return 1 << dice.below(12) if dice.chance(224) else dice.word(2)
