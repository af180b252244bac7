"""The card's own memory in front of a monitor: mapped or by messages, lent for a connection and no longer."""

from __future__ import annotations

import errno
import gc
import mmap
import os
import struct
from dataclasses import dataclass, field

import pytest

from tests.support.llq_writer import FIRST, LAST, REQUEST, lines_of
from tests.support.scripted_driver import ScriptedDriver
from tests.support.vfio_client import GuestDevice, GuestRam, Refusal, VfioClient
from tests.vfio_user.conftest import Served, open_descriptors

SIZE = 0x80000
FRAME = bytes.fromhex("025e000000fe025e000000010800") + bytes(range(80))
LLQ = struct.pack("<II8HBBHHHI", 0, 0, 0, 1, 0, 1, 0, 2, 0, 2, 0, 0, 0, 3, 0, 0)


@dataclass
class Guest:
    """A monitor, and a driver with one Tx queue of 16 lines in the card's memory."""

    served: Served
    ram: GuestRam
    client: VfioClient = field(init=False)
    sent: int = 0

    def __post_init__(self) -> None:
        self.client = self.served.client()
        self.client.attach(self.ram)
        self.client.enable()
        self.driver = ScriptedDriver(GuestDevice(self.client), self.ram)  # type: ignore[arg-type]
        self.driver.reset()
        self.driver.set_up_admin()
        self.io = self.client.unmask_vector(1)
        assert self.driver.set(4, LLQ).status == 0
        self.completions = self.ram.allocate(4096)
        cq = self.driver.create_cq(self.completions, words=2, depth=16, vector=1)
        sq = self.driver.create_sq(1, cq.u16(8), 0, depth=16, placement=3)
        assert (cq.status, sq.status) == (0, 0)
        self.bell, self.lines = sq.u32(12), sq.u32(16)
        self.client.post(0, cq.u32(20), struct.pack("<I", 0x40000000))

    def line(self, frame: bytes = FRAME) -> bytes:
        descriptors = [(FIRST | LAST | REQUEST, 0, 0, len(frame) << 24)]
        return lines_of(descriptors, frame, entry=128, before=2, following=8, depth=16, tail=self.sent)[0]

    def ring(self) -> list[bytes]:
        """Ring for one more line; what came out of the port once it is completed."""
        self.sent += 1
        self.client.post(0, self.bell, struct.pack("<I", self.sent))
        assert self.io.wait() == 1
        return self.served.call(self.served.wire.take)


@pytest.fixture
def guest(served_with_memory: Served, ram: GuestRam) -> Guest:
    return Guest(served_with_memory, ram)


def test_a_monitor_finds_memory_that_it_can_map(served_with_memory: Served, ram: GuestRam) -> None:
    client = served_with_memory.client()
    client.attach(ram)
    assert client.region_info(2) == (7, SIZE)
    assert client.region_info(3) == (0, 0)
    assert client.config(0x18, "Q") == 0xC
    assert client.region_files(0) == client.region_files(3) == client.region_files(7) == []


def test_a_card_without_it_has_none(served: Served, ram: GuestRam) -> None:
    client = served.client()
    client.attach(ram)
    assert client.region_info(2) == (0, 0)
    assert client.region_files(2) == []
    with pytest.raises(Refusal):
        client.write(2, 0, bytes(8))


def test_a_line_stored_through_the_mapping_is_sent(guest: Guest) -> None:
    (fd,) = guest.client.region_files(2)
    with mmap.mmap(fd, SIZE) as mapped:
        os.close(fd)
        mapped[guest.lines : guest.lines + 128] = guest.line()
        assert guest.ring() == [FRAME]


def test_a_line_written_by_messages_is_sent(guest: Guest) -> None:
    line = guest.line()
    for at in range(0, 128, 8):
        guest.client.post(2, guest.lines + at, line[at : at + 8])
    assert guest.ring() == [FRAME]
    assert guest.client.read(2, guest.lines, 128) == line
    assert guest.client.read(2, SIZE - 3, 3) == bytes(3)


@pytest.mark.parametrize(("offset", "count"), [(SIZE, 1), (SIZE - 4, 8), (2**63, 8)])
def test_nothing_lies_beyond_it(guest: Guest, offset: int, count: int) -> None:
    with pytest.raises(Refusal):
        guest.client.write(2, offset, bytes(count))
    with pytest.raises(Refusal):
        guest.client.read(2, offset, count)


def test_a_monitor_without_room_for_the_description_gets_an_error_and_no_descriptor(served_with_memory: Served) -> None:
    client = served_with_memory.client()
    client.version()
    with pytest.raises(Refusal):
        client.request(5, struct.pack("<IIIIQQ", 31, 0, 2, 0, 0, 0))
    assert len(client.region_files(2)) == 1


def test_who_is_gone_reaches_the_next_ones_memory_no_more(guest: Guest, ram: GuestRam) -> None:
    served = guest.served
    (fd,) = guest.client.region_files(2)
    with mmap.mmap(fd, SIZE) as kept:
        os.close(fd)
        kept[:8] = b"a secret"
        guest.client.close()
        ram.start_over()
        following = Guest(served, ram)
        assert following.client.read(2, 0, 8) == bytes(8)
        kept[following.lines : following.lines + 128] = following.line()
        following.client.write(2, following.lines, following.line(FRAME[::-1]))
        assert following.ring() == [FRAME[::-1]]


def test_a_reset_of_the_machine_keeps_the_memory_that_is_mapped(guest: Guest) -> None:
    (fd,) = guest.client.region_files(2)
    with mmap.mmap(fd, SIZE) as mapped:
        os.close(fd)
        assert guest.client.request(13) == b""
        mapped[:4] = b"same"
        assert guest.client.read(2, 0, 4) == b"same"


def test_a_guest_for_whom_there_is_no_memory_is_refused_it_and_served_all_the_same(
    served_with_memory: Served, ram: GuestRam, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = served_with_memory.client()
    first.version()
    with monkeypatch.context() as patch:
        patch.setattr(os, "memfd_create", exhausted)
        first.close()
        while served_with_memory.call(lambda: served_with_memory.server.connected):
            pass
    second = served_with_memory.client()
    second.version()
    second.map(ram)
    second.enable()
    with pytest.raises(Refusal, match=os.strerror(errno.EIO)):
        second.region_info(2)
    with pytest.raises(Refusal):
        second.write(2, 0, bytes(8))
    driver = ScriptedDriver(GuestDevice(second), ram)  # type: ignore[arg-type]
    driver.reset()
    driver.set_up_admin()
    assert driver.set(4, LLQ).status == 0
    cq = driver.create_cq(ram.allocate(4096), words=2, depth=16)
    assert driver.create_sq(1, cq.u16(8), 0, depth=16, placement=3).status == 1
    second.close()
    while served_with_memory.call(lambda: served_with_memory.server.connected):
        pass
    third = served_with_memory.client()
    third.version()
    assert third.region_info(2) == (7, SIZE)


def exhausted(*_: object) -> int:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_no_descriptor_is_left_when_clients_have_come_and_gone(served_with_memory: Served) -> None:
    gc.collect()  # what other tests left
    before = open_descriptors()
    for _ in range(3):
        client = served_with_memory.client()
        client.version()
        for _ in range(5):
            for fd in client.region_files(2):
                os.close(fd)
        client.close()
        while served_with_memory.call(lambda: served_with_memory.server.connected):
            pass
    assert open_descriptors() == before
