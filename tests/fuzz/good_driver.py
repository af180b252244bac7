"""The driver that comes after a hostile one: it resets the card and must get a frame through each way. In raw numbers."""

from __future__ import annotations

import struct
from collections.abc import Callable

from ena_dev.port.wire import WirePort
from tests.support.scripted_driver import Answer, ScriptedDriver
from tests.support.vfio_client import GuestRam

HERE, THERE = bytes.fromhex("025e00000001"), bytes.fromhex("025e000000fe")
ARRIVING = HERE + THERE + b"\x08\0" + bytes(range(100))
LEAVING = THERE + HERE + b"\x08\0" + bytes(range(100, 200))


def done(answer: Answer) -> Answer:
    assert answer.status == 0, f"refused with status {answer.status}"
    return answer


class QueuePair:
    """One queue each way, as large as it takes: made by admin commands, worked by hand."""

    def __init__(self, driver: ScriptedDriver, ram: GuestRam, depth: int = 256) -> None:
        self._driver, self._ram, self.depth = driver, ram, depth
        self.tx, self.tx_done, self.rx, self.rx_done = (ram.allocate(16 * depth) for _ in range(4))
        cq = done(driver.create_cq(self.tx_done, words=2, depth=depth, vector=1))
        sq = done(driver.create_sq(1, cq.u16(8), self.tx, depth=depth))
        self.unmask, self.tx_bell, self.tx_index = cq.u32(20), sq.u32(12), sq.u16(8)
        cq = done(driver.create_cq(self.rx_done, words=4, depth=depth, vector=1))
        sq = done(driver.create_sq(2, cq.u16(8), self.rx, depth=depth))
        self.rx_bell, self.rx_index = sq.u32(12), sq.u16(8)

    def post(self, slot: int, address: int, size: int = 2048) -> None:
        self._ram.poke(self.rx + 16 * slot, struct.pack("<HBBHHIHH", size, 0, 0x1D, slot, 0, address & 0xFFFFFFFF, address >> 32, 0))

    def put(self, slot: int, address: int, size: int) -> None:
        words = size | 0x1D << 24, 0, address & 0xFFFFFFFF, address >> 32
        self._ram.poke(self.tx + 16 * slot, struct.pack("<IIII", *words))


def passes_frames(
    driver: ScriptedDriver, ram: GuestRam, wire: WirePort, bell: Callable[[int, int], None], settle: Callable[[], None]
) -> None:
    """From a reset to a frame received and one sent. AssertionError if anything is not as it should be."""
    driver.reset()
    driver.set_up_admin()
    pair = QueuePair(driver, ram)
    inbound, outbound = ram.allocate(2048), ram.allocate(2048)
    pair.post(0, inbound)
    ram.poke(outbound, LEAVING)
    pair.put(0, outbound, len(LEAVING))
    wire.inject(ARRIVING)
    bell(pair.rx_bell, 1)
    bell(pair.tx_bell, 1)
    settle()
    assert wire.take() == [LEAVING], "the frame was not sent"
    assert ram.peek(pair.tx_done + 3, 1)[0] & 1, "the frame sent was not completed"
    status, length = struct.unpack("<IH", ram.peek(pair.rx_done, 6))
    assert status >> 24 & 1, "the frame was not received"
    assert ram.peek(inbound, length) == ARRIVING
