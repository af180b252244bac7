"""A virtual machine by script: its monitor, its memory, and a driver with one queue pair, in raw numbers. Blocking, as the client is."""

from __future__ import annotations

import struct

from tests.support.scripted_driver import ScriptedDriver
from tests.support.vfio_client import GuestDevice, GuestRam, VfioClient


class ScriptedGuest:
    """One machine, from its attachment on; `up` brings its interface up. Received frames lie in `buffers`, in order."""

    def __init__(self, client: VfioClient, ram: GuestRam) -> None:
        self.ram, self.client = ram, client
        self.client.attach(ram)
        self.client.enable()
        self.driver = ScriptedDriver(GuestDevice(self.client), ram)  # type: ignore[arg-type]
        self.driver.reset()
        self.driver.set_up_admin()
        self.admin = self.client.unmask_vector(0)
        self.io = self.client.unmask_vector(1)
        self.rx_posted = self.tx_sent = 0

    def up(self) -> None:
        """Both queues, and eight buffers."""
        driver, ram = self.driver, self.ram
        self.tx_cq, self.tx, self.rx_cq, self.rx = (ram.allocate(4096) for _ in range(4))
        cq = driver.create_cq(self.tx_cq, words=2, vector=1)
        assert cq.status == 0
        self.unmask = cq.u32(20)
        sq = driver.create_sq(1, cq.u16(8), self.tx)
        assert sq.status == 0
        self.tx_bell = sq.u32(12)
        cq = driver.create_cq(self.rx_cq, words=4, vector=1)
        sq = driver.create_sq(2, cq.u16(8), self.rx)
        assert (cq.status, sq.status) == (0, 0)
        self.rx_bell = sq.u32(12)
        self.buffers = [self.post(ram.allocate(2048)) for _ in range(8)]
        self.write(self.rx_bell, self.rx_posted)
        self.write(self.unmask, 0x40000000)

    def post(self, address: int) -> int:
        descriptor = struct.pack("<HBBHHIHH", 2048, 0, 0x1D, self.rx_posted, 0, address & 0xFFFFFFFF, address >> 32, 0)
        self.ram.poke(self.rx + 16 * self.rx_posted, descriptor)
        self.rx_posted += 1
        return address

    def write(self, offset: int, value: int) -> None:
        self.client.post(0, offset, value.to_bytes(4, "little"))

    def send(self, frame: bytes) -> None:
        address = self.ram.allocate(2048)
        self.ram.poke(address, frame)
        descriptor = struct.pack("<IIII", len(frame) | 1 << 24 | 1 << 26 | 1 << 27 | 1 << 28, 0, address & 0xFFFFFFFF, address >> 32)
        self.ram.poke(self.tx + 16 * self.tx_sent, descriptor)
        self.tx_sent += 1
        self.write(self.tx_bell, self.tx_sent)
