"""The conversation without a socket, against a function that only notes: order, answers, and what becomes of descriptors."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ena_dev.vfio_user.connection import Connection, ProtocolBroken
from ena_dev.vfio_user.messages import DmaMap, IrqInfo, RegionInfo, Reply, SetIrqs
from tests.vfio_user.conftest import open_descriptors


class Noted:
    """A function that carries out anything, and writes down what."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []

    def map(self, request: DmaMap, fd: int | None) -> None:
        self.done.append(("map", request.address, request.size, fd is not None))

    def unmap(self, address: int, size: int) -> None:
        self.done.append(("unmap", address, size))

    def unmap_all(self) -> None:
        self.done.append(("unmap all",))

    def region_info(self, request: RegionInfo) -> RegionInfo:
        return request

    def region_file(self, region: int) -> int | None:
        return MAPPABLE.get(region)

    def irq_info(self, request: IrqInfo) -> IrqInfo:
        return request

    def set_irqs(self, request: SetIrqs, fds: Sequence[int]) -> None:
        self.done.append(("irqs", request.start, request.count, len(fds)))
        for fd in fds:
            os.close(fd)

    def read(self, region: int, offset: int, count: int) -> bytes:
        return bytes(count)

    def write(self, region: int, offset: int, data: bytes) -> None:
        self.done.append(("write", region, offset, data))

    def reset(self) -> None:
        self.done.append(("reset",))


def message(command: int, payload: bytes = b"", *, number: int = 0, flags: int = 0) -> bytes:
    return struct.pack("<HHIII", number, command, 16 + len(payload), flags, 0) + payload


def write(offset: int, data: bytes = b"abcd") -> bytes:
    return struct.pack("<QII", offset, 0, len(data)) + data


VERSION = message(1, bytes(4) + b'{"capabilities": {}}\0')
MAP = struct.pack("<IIQQQ", 32, 3, 0, 0x1000, 0x1000)
MAPPABLE = {2: 1000}  # region -> a descriptor's number; nobody looks behind it


def agreed() -> tuple[Connection, Noted]:
    function = Noted()
    connection = Connection(function)
    assert connection.feed(VERSION)
    return connection, function


def errors(replies: list[Reply]) -> list[int]:
    """The errno of each reply, 0 for answers."""
    seen = []
    for each in replies:
        _, _, size, flags, error = struct.unpack_from("<HHIII", each.data)
        assert size == len(each.data)
        assert (flags, error == 0) in ((1, True), (0x21, False))
        seen.append(error)
    return seen


def fresh(count: int = 1) -> list[int]:
    return [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) for _ in range(count)]


def test_nothing_is_done_before_the_version_is_agreed_on_and_no_version_after() -> None:
    connection, function = Connection(noted := Noted()), Noted()
    assert errors(connection.feed(message(13))) == [22]
    assert noted.done == function.done == []
    assert errors(connection.feed(VERSION + VERSION + message(13))) == [0, 22, 0]
    assert noted.done == [("reset",)]


@pytest.mark.parametrize("text", [b"", b"{", b"[]\0", b"{}", b'{"capabilities": 1}\0', b"[" * 60000 + b"\0", b"\xff\0"])
def test_a_version_that_says_nothing_sensible_is_refused(text: bytes) -> None:
    assert errors(Connection(Noted()).feed(message(1, bytes(4) + text))) == ([0] if not text else [22])


def test_requests_are_answered_in_order_with_their_own_ids() -> None:
    connection, _ = agreed()
    stream = b"".join(message(4, struct.pack("<IIII", 16, 0, 0, 0), number=n) for n in (7, 0xFFFF, 0))
    replies = connection.feed(stream)
    assert [struct.unpack_from("<HHI", each.data) for each in replies] == [(7, 4, 32), (0xFFFF, 4, 32), (0, 4, 32)]


def test_posted_requests_are_never_answered_not_even_with_an_error() -> None:
    connection, function = agreed()
    assert connection.feed(message(10, write(8), flags=0x10) + message(99, flags=0x10) + message(10, b"", flags=0x10)) == []
    assert function.done == [("write", 0, 8, b"abcd")]


@pytest.mark.parametrize("command", [0, 6, 11, 12, 14, 16, 17, 18, 19, 0xFFFF])
def test_what_is_not_carried_out_is_answered_with_an_error(command: int) -> None:
    assert errors(agreed()[0].feed(message(command, bytes(16)))) == [95]


def test_replies_to_nothing_are_ignored() -> None:
    assert agreed()[0].feed(message(11, bytes(16), flags=1)) == []


def test_several_writes_in_one_message_are_done_in_order() -> None:
    connection, function = agreed()
    entries = [struct.pack("<QII8s", n, 0, 4, bytes([n] * 8)) for n in range(3)]
    assert errors(connection.feed(message(15, struct.pack("<Q", 3) + b"".join(entries)))) == [0]
    assert function.done == [("write", 0, n, bytes([n] * 4)) for n in range(3)]
    assert errors(connection.feed(message(15, struct.pack("<Q", 1 << 63) + b"".join(entries)))) == [22]


def test_descriptors_belong_to_the_last_message_that_begins_in_their_chunk() -> None:
    connection, function = agreed()
    connection.feed(message(10, write(0)) + message(2, MAP), fresh())
    stream = message(2, MAP)
    connection.feed(message(13) + stream[:5], fresh())
    connection.feed(stream[5:] + message(2, MAP))
    assert function.done == [
        ("write", 0, 0, b"abcd"), ("map", 0x1000, 0x1000, True), ("reset",), ("map", 0x1000, 0x1000, True), ("map", 0x1000, 0x1000, False)
    ]  # fmt: skip


def test_the_descriptor_of_a_mappable_region_goes_with_its_answer_and_with_no_other() -> None:
    connection, _ = agreed()
    asked = [message(5, struct.pack("<IIIIQQ", 32, 0, region, 0, 0, 0)) for region in (0, 2, 7)]
    assert [each.fd for each in connection.feed(b"".join(asked) + message(13))] == [None, 1000, None, None]
    assert connection.feed(message(5, struct.pack("<IIIIQQ", 32, 0, 2, 0, 0, 0), flags=0x10)) == []


@pytest.mark.parametrize("size", [0, 15, (1 << 20) + 4097, 0xFFFFFFFF])
def test_a_size_that_no_message_has_breaks_the_conversation(size: int) -> None:
    before = open_descriptors()
    with pytest.raises(ProtocolBroken):
        agreed()[0].feed(struct.pack("<HHIII", 0, 4, size, 0, 0), fresh(3))
    assert open_descriptors() == before


FORMS = st.one_of(
    st.builds(message, st.integers(0, 20), st.binary(max_size=80), flags=st.sampled_from([0, 1, 0x10, 0x20])),
    st.builds(message, st.just(10), st.builds(write, st.integers(0, 2**64 - 1), st.binary(max_size=16))),
    st.builds(message, st.just(2), st.builds(lambda *v: struct.pack("<IIQQQ", *v), *[st.integers(0, 4)] * 5)),
    st.builds(message, st.just(8), st.builds(lambda *v: struct.pack("<IIIII", 20, *v), *[st.integers(0, 2**32 - 1)] * 4)),
    st.binary(max_size=40),
)


@settings(max_examples=150)
@given(stream=st.lists(FORMS, max_size=8).map(b"".join), cuts=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 17)), min_size=1))
def test_no_stream_raises_or_leaks_and_every_reply_is_one(stream: bytes, cuts: list[tuple[int, int]]) -> None:
    before = open_descriptors()
    connection, _ = agreed()
    try:
        while stream:
            for size, descriptors in cuts:
                errors(connection.feed(stream[:size], fresh(descriptors)))
                stream = stream[size:]
    except ProtocolBroken:
        pass
    connection.close()
    connection.close()
    assert open_descriptors() == before


@settings(max_examples=100)
@given(cuts=st.lists(st.integers(1, 50), min_size=1))
def test_how_the_stream_is_cut_makes_no_difference(cuts: list[int]) -> None:
    stream = message(10, write(4)) + message(4, struct.pack("<IIII", 16, 0, 0, 0)) + message(9, struct.pack("<QII", 0, 0, 9)) + message(13)
    connection, function = agreed()
    whole = connection.feed(stream)
    other, noted = agreed()
    pieces = []
    while stream:
        for size in cuts:
            pieces += other.feed(stream[:size])
            stream = stream[size:]
    assert (pieces, noted.done) == (whole, function.done)
