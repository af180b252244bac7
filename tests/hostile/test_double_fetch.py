"""What a card reads from a guest it reads once: the guest may change its memory between any two accesses.

Two proofs. The accesses themselves are noted, one machine instruction at a time: a start that was read once was not read again. And a
thread changes memory all the time while the data thread works.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import random
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from ena_dev.port.cable import cable
from tests.fuzz.good_driver import ARRIVING, HERE, LEAVING, QueuePair, done
from tests.fuzz.rig import Rig
from tests.hostile.access_log import compiled, watching
from tests.support.scripted_driver import control

Transport = type[TCP] | type[UDP]

TCP_CHECKSUM, UDP_CHECKSUM, IP_CHECKSUM, SEGMENT = 0x4000 | 1 << 8, 0x4000 | 2 << 8, 0x2000, 0x80
DESCRIPTOR, HALF = 16, 8
HEAD = 256  # bytes of a frame's start that are copied out before they are judged
HEADERS = 54  # Ethernet, IPv4, TCP

pytestmark = [
    pytest.mark.usefixtures("collected"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="single steps are made on x86-64"),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compiled(tmp_path_factory.mktemp("access_log"))


class Driven:
    """A card with its driver and one queue each way."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.ram, self.driver = rig, rig.ram, rig.driver()
        self.driver.reset()
        self.driver.set_up_admin()
        self.pair = QueuePair(self.driver, rig.ram)
        self.buffer = rig.ram.allocate(0x8000)

    def at(self, address: int) -> int:
        return address - self.ram.base

    def send(self, frame: bytes, offloads: int, *, mss: int = 0) -> None:
        """Write a packet's descriptors, and ring."""
        self.ram.poke(self.buffer, frame)
        slots = []
        if mss:
            meta = 1 << 23 | 1 << 14 | 1 << 20 | 1 << 26 | (mss >> 10) << 16
            slots.append(struct.pack("<IIII", meta | 1 << 24, 0, 20 | 14 << 8 | 5 << 16 | (mss & 0x3FF) << 22, 0))
        first = 0 if mss else 1 << 26
        control = len(frame) | first | 1 << 27 | 1 << 28 | 1 << 24
        slots.append(struct.pack("<IIII", control, offloads, self.buffer & 0xFFFFFFFF, self.buffer >> 32))
        for n, slot in enumerate(slots):
            self.ram.poke(self.pair.tx + DESCRIPTOR * n, slot)
        self.rig.bar.write(self.pair.tx_bell, len(slots))


@pytest.fixture
def driven() -> Iterator[Driven]:
    with Rig() as rig:
        yield Driven(rig)


def frame(kind: Transport, size: int = 1000) -> bytes:
    there, ip = Ether(src=HERE.hex(":"), dst="02:5e:00:00:00:fe"), IP(src="192.0.2.1", dst="198.51.100.2")
    return bytes(there / ip / kind(sport=1000, dport=2000) / Raw(bytes(n & 0xFF for n in range(size))))


def once(reads: list[int]) -> None:
    """One pass from the start, `reads` being offsets; pieces of one copy may overlap a little."""
    assert reads.count(0) == 1
    assert len(reads) <= len(set(reads)) + 2


# -- access by access ------------------------------------------------------------------------------------------------------


def test_a_tx_descriptor_is_read_in_two_halves_each_once(driven: Driven, library: ctypes.CDLL) -> None:
    driven.send(LEAVING, 0)
    with watching(library, driven.ram) as log:
        driven.rig.settle()
    start = driven.at(driven.pair.tx)
    assert log.read_between(start, start + DESCRIPTOR * driven.pair.depth) == [0, HALF]
    assert driven.rig.wire.take() == [LEAVING]


def test_an_rx_descriptor_is_read_in_two_halves_each_once(driven: Driven, library: ctypes.CDLL) -> None:
    for slot in range(3):
        driven.pair.post(slot, driven.buffer + 4096 * slot)
    driven.rig.bar.write(driven.pair.rx_bell, 3)
    with watching(library, driven.ram) as log:
        driven.rig.wire.inject(ARRIVING)
        driven.rig.settle()
    start = driven.at(driven.pair.rx)
    assert log.read_between(start, start + DESCRIPTOR * driven.pair.depth) == [0, HALF, 16, 24, 32, 40]
    assert driven.ram.peek(driven.buffer, len(ARRIVING)) == ARRIVING


def test_what_a_descriptor_said_first_counts(driven: Driven, library: ctypes.CDLL) -> None:
    driven.send(LEAVING, 0)
    with watching(library, driven.ram, flip=HALF) as log:  # the descriptor leads nowhere once it was read
        driven.rig.settle()
    assert log.reads
    assert not driven.rig.device.status.fatal_error
    (sent,) = driven.rig.wire.take()
    assert len(sent) == len(LEAVING)


def test_an_admin_entry_is_read_once(driven: Driven, library: ctypes.CDLL) -> None:
    slot = driven.at(driven.driver.aq) + 64 * (driven.driver.aq_count % driven.driver.depth)
    driven.driver.submit(8, bytes(12) + bytes((0, 1, 1, 0)))  # device attributes
    with watching(library, driven.ram) as log:
        driven.rig.settle()
    once(log.read_between(slot, slot + 64))
    answer = driven.driver.collect()
    assert answer is not None
    assert done(answer[1]).payload[24:30] == HERE


def test_a_control_buffer_is_read_once(driven: Driven, library: ctypes.CDLL) -> None:
    where, queue = driven.ram.allocate(4096), driven.pair.rx_index
    driven.ram.poke(where, struct.pack("<HH", queue, 0) * 128)
    feature = bytes((0, 12, 0, 0)) + struct.pack("<HHHBBI", 0, 0, 7, 0, 0, 0xFFFFFFFF)
    driven.driver.submit(9, control((where, 512)) + feature)
    with watching(library, driven.ram) as log:
        driven.rig.settle()
    once(log.read_between(driven.at(where), driven.at(where) + 512))
    answer = driven.driver.collect()
    assert answer is not None
    done(answer[1])


@pytest.mark.parametrize("kind", [TCP, UDP])
def test_headers_are_judged_and_sent_from_one_copy(driven: Driven, library: ctypes.CDLL, kind: Transport) -> None:
    original = frame(kind)
    driven.send(original, IP_CHECKSUM | (TCP_CHECKSUM if kind is TCP else UDP_CHECKSUM))
    with watching(library, driven.ram) as log:
        driven.rig.settle()
    start = driven.at(driven.buffer)
    once(log.read_between(start, start + HEAD))
    assert driven.rig.wire.take() == [original]


def test_segments_are_made_of_the_copied_header(driven: Driven, library: ctypes.CDLL) -> None:
    original = frame(TCP, 3000)
    driven.send(original, IP_CHECKSUM | TCP_CHECKSUM | SEGMENT, mss=1000)
    with watching(library, driven.ram) as log:
        driven.rig.settle()
    start = driven.at(driven.buffer)
    once(log.read_between(start, start + HEADERS))
    sent = [Ether(data) for data in driven.rig.wire.take()]
    assert len(sent) == 3
    assert {(packet[IP].src, packet[IP].dst, packet[TCP].sport, packet[TCP].dport) for packet in sent} == {
        ("192.0.2.1", "198.51.100.2", 1000, 2000)
    }
    assert [packet[TCP].seq for packet in sent] == [0, 1000, 2000]
    assert all(packet[IP].len == 1040 for packet in sent)


class Mapped:
    """The card's own memory, as its driver maps it."""

    def __init__(self, fd: int, size: int) -> None:
        self.size, self._inode, self._map = size, os.fstat(fd).st_ino, mmap.mmap(fd, size)

    @property
    def inode(self) -> int:
        return self._inode

    @property
    def host_address(self) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def poke(self, offset: int, data: bytes) -> None:
        self._map[offset : offset + len(data)] = data


def test_a_line_in_device_memory_is_read_once_descriptors_and_header(driven: Driven, library: ctypes.CDLL) -> None:
    memory, pushed = driven.rig.card.device_memory, LEAVING[:64]
    assert memory is not None
    done(driven.driver.set(4, struct.pack("<II8HBBHHHI", 0, 0, 0, 1, 0, 1, 0, 2, 0, 2, 0, 0, 0, 0, 0, 0)[:44]))
    cq = done(driven.driver.create_cq(driven.ram.allocate(4096), words=2, vector=2))
    sq = done(driven.driver.create_sq(1, cq.u16(8), 0, placement=3))
    lines, line = Mapped(memory.fd, memory.size), sq.u32(16)
    lines.poke(line, struct.pack("<IIII", 1 << 24 | 1 << 26 | 1 << 27 | 1 << 28, 0, 0, len(pushed) << 24) + bytes(DESCRIPTOR) + pushed)
    driven.rig.bar.write(sq.u32(12), 1)
    with watching(library, lines) as log:
        driven.rig.settle()
    assert driven.rig.wire.take(queue=1) == [pushed]
    assert log.read_between(line, line + 2 * DESCRIPTOR) == [0, HALF]
    once(log.read_between(line + 2 * DESCRIPTOR, line + 128))


def test_what_another_card_judged_is_what_it_delivers(library: ctypes.CDLL) -> None:
    near, far = cable(1)
    with Rig(port=near) as sending, Rig(port=far, executor=sending.executor) as receiving:
        sender, receiver = Driven(sending), Driven(receiving)
        receiver.pair.post(0, receiver.buffer)
        receiving.bar.write(receiver.pair.rx_bell, 1)
        original = bytes(6 * b"\xff") + frame(UDP)[6:]
        sender.send(original, 0)
        with watching(library, sender.ram) as log:
            sending.settle()
        once(log.read_between(sender.at(sender.buffer), sender.at(sender.buffer) + HEAD))
        status, length = struct.unpack("<IH", receiver.ram.peek(receiver.pair.rx_done, 6))
        assert (status >> 24 & 1, length) == (1, len(original))
        assert receiver.ram.peek(receiver.buffer, length) == original


def test_the_watch_sees_and_changes_what_is_read_twice(driven: Driven, library: ctypes.CDLL) -> None:
    where = driven.ram.allocate(4096)
    with watching(library, driven.ram, flip=HALF) as log:
        first, second = driven.rig.memory.read(where, 1), driven.rig.memory.read(where, 1)
    assert (first, second) == (b"\0", b"\xff")
    assert log.reads == [driven.at(where)] * 2


# -- by a thread -------------------------------------------------------------------------------------------------------------

SECONDS = 1.5


def flipping(driven: Driven, stop: threading.Event) -> None:
    """Rings, descriptors, admin entries and frames change, and change back."""
    dice, ram = random.Random(1), driven.ram
    while not stop.is_set():
        at = dice.choice((driven.pair.tx, driven.pair.rx, driven.driver.aq, driven.buffer)) + 4 * dice.randrange(64)
        was = ram.peek(at, 8)
        ram.poke(at, dice.choice((bytes(8), b"\xff" * 8, dice.randbytes(8))))
        ram.poke(at, was)


def test_memory_that_changes_all_the_time_stops_the_card_at_worst() -> None:
    with Rig() as rig:
        driven, stop = Driven(rig), threading.Event()
        rig.executor.start()
        thread = threading.Thread(target=flipping, args=(driven, stop), daemon=True)
        thread.start()
        try:
            busy(rig, driven)
        finally:
            stop.set()
            thread.join()
            rig.executor.stop()
        rig.now = 1e6  # the data thread's clock is the machine's
        rig.comes_back()


def busy(rig: Rig, driven: Driven) -> None:
    """Traffic both ways and commands, and a reset whenever the card has stopped."""
    sent, end = 0, time.monotonic() + SECONDS
    packets = [(frame(TCP), IP_CHECKSUM | TCP_CHECKSUM), (frame(UDP), UDP_CHECKSUM), (LEAVING, 0)]
    while time.monotonic() < end:
        data, offloads = packets[sent % 3]
        rig.ram.poke(driven.buffer, data)
        for n in range(sent, sent + 8):
            phase = 1 - (n // driven.pair.depth & 1)
            words = len(data) | 1 << 26 | 1 << 27 | 1 << 28 | phase << 24, offloads, driven.buffer & 0xFFFFFFFF, driven.buffer >> 32
            rig.ram.poke(driven.pair.tx + DESCRIPTOR * (n % driven.pair.depth), struct.pack("<IIII", *words))
        sent += 8
        rig.bar.write(driven.pair.tx_bell, sent & 0xFFFF)
        driven.driver.submit(8, bytes(12) + bytes((0, 1, 1, 0)))
        rig.wire.inject(ARRIVING)
        rig.wire.take()
        rig.device.poll(0.0)
        if rig.device.status.fatal_error:
            restart(driven)
            sent = 0


def restart(driven: Driven) -> None:
    """The same driver, from the beginning, in memory that is still being changed."""
    driven.rig.device.function_reset()
    driven.ram.start_over()
    for _ in range(100):
        try:
            fresh = Driven(driven.rig)
        except AssertionError:  # what it read was changed as well
            driven.rig.device.function_reset()
            driven.ram.start_over()
            continue
        driven.driver, driven.pair, driven.buffer = fresh.driver, fresh.pair, fresh.buffer
        return
    raise AssertionError("the card never starts")
