"""RSS as a driver sets it, and what the engine is told."""

from __future__ import annotations

import struct

import pytest

from tests.device.conftest import Bench

MALFORMED, UNSUPPORTED, ILLEGAL = 4, 3, 5
KEY = bytes(range(40))


@pytest.fixture
def buffer(bench: Bench) -> int:
    return bench.memory.allocate(1024)


def key_record(key: bytes = KEY, parts: int = 10) -> bytes:
    return struct.pack("<II", parts, 0) + key


def function(selected: int = 2, initial: int = 0xFFFFFFFF) -> bytes:
    return struct.pack("<III", 0, selected, initial)


def test_only_toeplitz_is_supported_and_always_selected(bench: Bench) -> None:
    assert struct.unpack_from("<III", bench.driver.get(10).payload) == (2, 2, 0)


def test_the_first_question_leaves_the_drivers_random_key_alone(bench: Bench, buffer: int) -> None:
    bench.memory.poke(buffer, key_record())
    bench.memory.writes.clear()
    assert bench.driver.get(10, buffer=(buffer, 48)).status == 0
    assert all(address < buffer or address >= buffer + 48 for address, _ in bench.memory.writes)


def test_the_engine_gets_the_key_last_byte_first(bench: Bench, buffer: int) -> None:
    bench.memory.poke(buffer, key_record())
    assert bench.driver.set(10, function(), buffer=(buffer, 48)).status == 0
    assert bench.engine.rss is not None
    assert (bench.engine.rss.key, bench.engine.rss.initial) == (KEY[::-1], 0xFFFFFFFF)


def test_a_key_that_was_set_reads_back(bench: Bench, buffer: int) -> None:
    bench.memory.poke(buffer, key_record())
    bench.driver.set(10, function(), buffer=(buffer, 48))
    bench.memory.poke(buffer, bytes(48))
    assert bench.driver.get(10, buffer=(buffer, 48)).u32(16) == 0xFFFFFFFF
    assert bench.memory.peek(buffer, 48) == key_record()
    bench.driver.reset()
    bench.driver.set_up_admin()
    bench.memory.poke(buffer, bytes(48))
    bench.driver.get(10, buffer=(buffer, 48))
    assert bench.memory.peek(buffer, 48) == bytes(48)


def test_without_a_buffer_only_the_initial_value_changes(bench: Bench, buffer: int) -> None:
    bench.memory.poke(buffer, key_record())
    bench.driver.set(10, function(), buffer=(buffer, 48))
    assert bench.driver.set(10, function(initial=7)).status == 0
    assert bench.engine.rss is not None
    assert (bench.engine.rss.key, bench.engine.rss.initial) == (KEY[::-1], 7)


@pytest.mark.parametrize("selected", [0, 1, 4, 6])
def test_other_functions_are_unsupported(bench: Bench, selected: int) -> None:
    assert bench.driver.set(10, function(selected)).status == UNSUPPORTED


def test_bad_keys_and_buffers_are_refused_and_change_nothing(bench: Bench, buffer: int) -> None:
    before = bench.engine.rss
    bench.memory.poke(buffer, key_record(parts=4))
    assert bench.driver.set(10, function(), buffer=(buffer, 48)).status == ILLEGAL
    assert bench.driver.set(10, function(), buffer=(buffer, 47)).status == MALFORMED
    assert bench.driver.set(10, function(), buffer=(0xDEAD0000, 48)).status == ILLEGAL
    assert bench.driver.set(10, function(), buffer=(buffer + 1000, 48)).status == ILLEGAL
    assert bench.engine.rss == before


@pytest.mark.parametrize("flags", [0, 2, 4, 6])
def test_whichever_flag_a_driver_sets_the_buffer_is_flat(bench: Bench, buffer: int, flags: int) -> None:
    bench.memory.poke(buffer, key_record())
    info = struct.pack("<IIHH", 48, buffer & 0xFFFFFFFF, buffer >> 32, 0)
    assert bench.driver.command(9, info + bytes((0, 10, 0, 0)) + function(), flags).status == 0
    assert bench.engine.rss is not None
    assert bench.engine.rss.key == KEY[::-1]


def table_payload(size: int = 7, inline: int = 0xFFFFFFFF) -> bytes:
    return struct.pack("<HHHBBIHH", 0, 0, size, 0, 0, inline, 0, 0)


@pytest.mark.parametrize("version", [0, 1])
def test_the_table_has_128_entries_for_every_driver(bench: Bench, version: int) -> None:
    assert struct.unpack_from("<HHHBBI", bench.driver.get(12, version).payload) == (7, 7, 7, 0, 0, 0xFFFFFFFF)


def test_the_table_goes_to_the_engine_and_reads_back(bench: Bench, buffer: int) -> None:
    assert bench.engine.rss is not None
    assert bench.engine.rss.table == (), "all to the first queue"
    entries = [index % 5 * 1000 for index in range(128)]  # stale indices are taken too
    data = b"".join(struct.pack("<HH", entry, 0) for entry in entries)
    bench.memory.poke(buffer, data)
    assert bench.driver.set(12, table_payload(), buffer=(buffer, 512)).status == 0
    assert bench.engine.rss.table == tuple(entries)
    bench.memory.poke(buffer, bytes(512))
    assert bench.driver.get(12, buffer=(buffer, 512)).status == 0
    assert bench.memory.peek(buffer, 512) == data


def test_tables_of_another_shape_are_refused(bench: Bench, buffer: int) -> None:
    assert bench.driver.set(12, table_payload(size=6), buffer=(buffer, 512)).status == ILLEGAL
    assert bench.driver.set(12, table_payload(size=0xFFFF), buffer=(buffer, 512)).status == ILLEGAL
    assert bench.driver.set(12, table_payload(inline=3), buffer=(buffer, 512)).status == ILLEGAL
    assert bench.driver.set(12, table_payload(), buffer=(buffer, 511)).status == MALFORMED
    assert bench.driver.set(12, table_payload()).status == MALFORMED
    assert bench.driver.set(12, table_payload(), buffer=(buffer + 800, 512)).status == ILLEGAL


def test_the_hash_input_is_the_four_tuple_and_fixed(bench: Bench, buffer: int) -> None:
    assert bench.driver.get(18, buffer=(buffer, 256)).status == 0
    supported = struct.unpack("<32H", bench.memory.peek(buffer, 64))[::2]
    assert supported == (0x3C, 0x3C, 0x3C, 0x3C, *[0] * 12)
    assert bench.memory.peek(buffer + 64, 64) == bench.memory.peek(buffer, 64)
    assert bench.driver.set(18, struct.pack("<HH", 0, 6), buffer=(buffer, 256)).status == 0
    bench.memory.poke(buffer + 64 + 16, struct.pack("<H", 0x0C))  # also IPv4 without ports
    assert bench.driver.set(18, struct.pack("<HH", 0, 6), buffer=(buffer, 256)).status == UNSUPPORTED
