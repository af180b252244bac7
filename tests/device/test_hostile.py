"""A driver that writes nonsense: nothing it does raises, and a reset always brings the card back."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from ena_dev.device.personality import ON_STRANGERS_REQUEST, STANDARD_FEATURES, Personality
from tests.device.conftest import MAC, Bench, make_bench

EVERYTHING = Personality(mac=MAC, max_queues=4, features=STANDARD_FEATURES | ON_STRANGERS_REQUEST, large_receive=True)

OFFSETS = st.one_of(st.sampled_from([*range(0, 0x6C, 4), 0x100]), st.integers(0, 0xFFF))
WORDS = st.one_of(st.sampled_from([0, 1, 0xFFFFFFFF, 64 << 16 | 32, 64 << 16 | 2, 16, 17, 0x80000000]), st.integers(0, 0xFFFFFFFF))
OPCODES = st.one_of(st.sampled_from([1, 2, 3, 4, 8, 9, 11]), st.integers(0, 255))


def comes_back(bench: Bench) -> None:
    bench.driver.reset()
    bench.driver.set_up_admin()
    assert bench.driver.get(1).payload[24:30] == bytes.fromhex("025e00000001")
    bench.driver.enable_groups(0x11)
    bench.driver.open_events()
    bench.driver.elapse(1.5)
    assert [event[0] for event in bench.driver.events()] == [0, 4]


@settings(max_examples=150)
@given(writes=st.lists(st.tuples(OFFSETS, WORDS, st.booleans()), max_size=40))
def test_any_register_writes_are_survived(writes: list[tuple[int, int, bool]]) -> None:
    bench = make_bench(EVERYTHING)
    bench.driver.reset()
    bench.driver.set_up_admin()
    for offset, value, poll in writes:
        bench.device.write(offset, value)
        if poll:
            bench.driver.elapse(0.5, step=0.5)
        assert bench.device.read(offset) != 0xFFFFFFFF
    comes_back(bench)


@settings(max_examples=150)
@given(commands=st.lists(st.tuples(OPCODES, st.binary(min_size=60, max_size=60)), max_size=20))
def test_any_commands_are_answered(commands: list[tuple[int, bytes]]) -> None:
    bench = make_bench(EVERYTHING)
    bench.driver.reset()
    bench.driver.set_up_admin()
    for opcode, body in commands:
        assert bench.driver.command(opcode, body).status in range(6)
    comes_back(bench)


FEATURES = st.one_of(st.sampled_from([1, 3, 7, 10, 11, 12, 14, 18, 20, 24, 26, 28, 29, 30, 31]), st.integers(0, 255))


@settings(max_examples=150)
@given(
    opcode=st.sampled_from([8, 9]),
    feature=FEATURES,
    payload=st.binary(max_size=44),
    length=st.one_of(st.integers(0, 600), st.integers(0, 0xFFFFFFFF)),
    shift=st.integers(-8, 600),
)
def test_any_control_buffer_is_answered(opcode: int, feature: int, payload: bytes, length: int, shift: int) -> None:
    bench = make_bench(EVERYTHING)
    bench.driver.reset()
    bench.driver.set_up_admin()
    address = bench.memory.allocate(512) + shift
    info = struct.pack("<IIHH", length, address & 0xFFFFFFFF, address >> 32, 0)
    assert bench.driver.command(opcode, info + bytes((0, feature, 1, 0)) + payload).status in range(6)
    comes_back(bench)
