"""The whole way: a scripted monitor and a scripted driver bring a served card up, pass frames, leave, die and come again."""

from __future__ import annotations

import gc
import os
import struct

import pytest

from tests.support.scripted_guest import ScriptedGuest
from tests.support.vfio_client import Eventfd, GuestRam, Refusal, VfioClient
from tests.vfio_user.conftest import Served, open_descriptors

FRAME = bytes.fromhex("025e00000001025e000000fe0800") + bytes(range(100))
ANSWER = bytes.fromhex("025e000000fe025e000000010800") + bytes(range(100, 200))


class Guest(ScriptedGuest):
    """One in front of the served card."""

    def __init__(self, served: Served, ram: GuestRam) -> None:
        super().__init__(served.client(), ram)
        self.served = served


@pytest.fixture
def guest(served: Served, ram: GuestRam) -> Guest:
    return Guest(served, ram)


def test_a_monitor_finds_a_card(served: Served, ram: GuestRam) -> None:
    client = served.client()
    client.attach(ram)
    assert client.read(7, 0, 4) == bytes.fromhex("0f1d20ec")
    assert client.region_info(0) == (3, 0x4000)
    assert client.region_info(2) == (0, 0)
    assert client.irq_info(2) == (1, 5)
    assert client.config(0xB2, "H") == 4


def test_a_frame_goes_each_way_and_the_interrupt_comes(guest: Guest) -> None:
    guest.up()
    guest.send(ANSWER)
    assert guest.io.wait() == 1
    assert guest.served.call(guest.served.wire.take) == [ANSWER]
    assert guest.ram.peek(guest.tx_cq, 8)[3] & 1
    guest.write(guest.unmask, 0x40000000)
    assert guest.served.call(lambda: guest.served.wire.inject(FRAME))
    assert guest.io.wait() == 1
    status, length = struct.unpack("<IH", guest.ram.peek(guest.rx_cq, 6))
    assert status & 1 << 24
    assert guest.ram.peek(guest.buffers[0], length) == FRAME


def test_completions_of_commands_and_events_signal_vector_0(guest: Guest) -> None:
    assert guest.driver.get(1).status == 0
    assert guest.admin.wait() >= 1
    guest.driver.open_events()
    assert guest.driver.enable_groups(1).status == 0
    assert guest.admin.wait() >= 1


def test_a_vector_gets_a_new_eventfd_at_any_time(guest: Guest) -> None:
    guest.up()
    first, second = guest.io, guest.client.unmask_vector(1)
    guest.send(ANSWER)
    assert second.wait() == 1
    assert first.wait(0) == 0
    guest.client.set_irqs(0x21, 2, 0, 0)
    guest.write(guest.unmask, 0x40000000)
    guest.send(ANSWER)
    guest.driver.get(1)
    assert second.wait(0.05) == 0


def test_vectors_are_triggered_by_number_and_by_bytes(guest: Guest) -> None:
    guest.client.set_irqs(0x21, 2, 1, 1)
    assert guest.io.wait() == 1
    guest.client.set_irqs(0x22, 2, 0, 2, data=b"\1\0")
    assert (guest.admin.wait(), guest.io.wait(0)) == (1, 0)


def test_a_descriptor_that_is_no_eventfd_is_refused_and_closed(guest: Guest) -> None:
    reader, writer = os.pipe()
    with pytest.raises(Refusal):
        guest.client.set_irqs(0x24, 2, 1, 1, [writer])
    os.close(writer)
    assert os.read(reader, 8) == b"", "the server keeps it open"
    os.close(reader)


def test_a_reset_of_the_function_ends_all_dma_and_keeps_the_eventfds(guest: Guest) -> None:
    guest.up()
    guest.client.write(7, 0x78, struct.pack("<H", 0x8000))
    assert guest.client.config(0x78, "H") == 0
    assert guest.client.config(0x04, "H") == 0
    guest.served.call(lambda: guest.served.wire.inject(FRAME))
    guest.send(ANSWER)
    guest.client.enable()
    assert guest.served.call(guest.served.wire.take) == []
    assert guest.ram.peek(guest.rx_cq, 16) == bytes(16)
    guest.driver.reset()
    guest.driver.set_up_admin()
    assert guest.driver.get(1).status == 0
    assert guest.admin.wait() >= 1


def test_without_bus_mastering_nothing_is_read_or_written(guest: Guest) -> None:
    guest.client.write(7, 4, struct.pack("<H", 0x0002))
    with pytest.raises(AssertionError, match="not answered"):
        guest.driver.register(0x58)
    guest.client.enable()
    guest.driver.reset()


@pytest.mark.parametrize("unmapped", ["by range", "all at once"])
def test_memory_is_unmapped_under_load_and_only_a_reset_is_needed(guest: Guest, unmapped: str) -> None:
    guest.up()
    for _ in range(100):
        guest.send(ANSWER[:60])
        guest.served.wire.inject(FRAME)
    if unmapped == "by range":
        guest.client.unmap(guest.ram)
    else:
        guest.client.request(3, struct.pack("<IIQQ", 24, 2, 0, 0))
    for _ in range(20):
        guest.served.wire.inject(FRAME)
        guest.write(guest.rx_bell, guest.rx_posted)
    before = guest.ram.peek(guest.ram.base, guest.ram.size)
    guest.client.map(guest.ram)
    guest.client.read(0, 0x58, 4)
    assert guest.ram.peek(guest.ram.base, guest.ram.size) == before
    guest.driver.reset()
    guest.driver.set_up_admin()
    guest.up()
    guest.served.call(guest.served.wire.take)
    guest.send(ANSWER)
    assert guest.io.wait() >= 1


def test_posted_buffers_are_found_again_when_their_memory_moved(guest: Guest) -> None:
    guest.up()
    guest.served.call(lambda: guest.served.wire.inject(FRAME[:60]))
    assert guest.io.wait() == 1  # the card has taken in what was posted
    guest.write(guest.unmask, 0x40000000)
    guest.client.unmap(guest.ram)
    other = GuestRam(base=guest.ram.base + guest.ram.size)  # takes the place where the first was
    guest.client.map(other)
    guest.client.map(guest.ram)
    guest.served.call(lambda: guest.served.wire.inject(FRAME))
    assert guest.io.wait() == 1
    assert guest.ram.peek(guest.buffers[1], len(FRAME)) == FRAME
    assert other.peek(other.base, other.size) == bytes(other.size)
    other.close()


def test_a_client_that_dies_leaves_nothing_behind_and_the_next_is_served(served: Served, ram: GuestRam) -> None:
    counts = []
    for _ in range(3):
        guest = Guest(served, ram)
        guest.up()
        guest.client.sock.send(bytes.fromhex("0000 0200 3000 0000 0000"))  # in the midst of a message
        guest.client.close()
        after = served.client()
        after.version()  # is answered once the former has been forgotten
        assert served.memory.ranges == []
        guest.admin.close()
        guest.io.close()
        after.close()
        last = served.client()
        last.version()
        gc.collect()
        counts.append(open_descriptors())
        last.close()
    assert counts[0] == counts[1] == counts[2]


def test_a_second_client_waits_for_the_first_to_leave(served: Served) -> None:
    first, second = served.client(), served.client()
    first.version()
    second.send(1, bytes(4) + b"{}\0")
    first.read(7, 0, 4)
    assert served.server.clients == 1
    first.close()
    assert second._exactly(16)[8] == 1
    assert served.server.clients == 2


def test_a_client_that_reads_no_replies_is_not_read_either(served: Served) -> None:
    client = served.client()
    client.version()
    client.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        for _ in range(4000):
            client.send(9, struct.pack("<QII", 0, 7, 4096))
    client.close()
    other = served.client()
    other.version()


def test_a_stream_that_makes_no_sense_is_ended(served: Served) -> None:
    for size in (0, 15, 1 << 30):
        client = served.client()
        client.version()
        client.sock.send(struct.pack("<HHIII", 1, 4, size, 0, 0))
        assert client.sock.recv(1) == b""


def test_the_socket_of_a_dead_server_is_replaced_and_a_living_one_stays(served: Served) -> None:
    from ena_dev.errors import PortError
    from ena_dev.vfio_user.server import CardServer

    with pytest.raises(PortError, match="another process"):
        served.run(CardServer(served.path, served.function).start())
    assert served.path.stat().st_mode & 0o777 == 0o600
    served.run(served.server.stop())
    assert not served.path.exists()
    served.path.write_text("precious")
    with pytest.raises(PortError, match="no socket"):
        served.run(served.server.start())
    served.path.unlink()
    served.run(served.server.start())


def test_vectors_and_memory_of_one_client_are_not_the_next_ones(served: Served, ram: GuestRam) -> None:
    guest = Guest(served, ram)
    event: Eventfd = guest.io
    guest.client.close()
    client: VfioClient = served.client()
    client.version()
    client.set_irqs(0x21, 2, 1, 1)
    assert event.wait(0.05) == 0
