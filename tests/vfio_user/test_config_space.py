"""Configuration space as a kernel walks it: by raw offsets."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ena_dev.vfio_user.config_space import ConfigSpace
from ena_dev.vfio_user.messages import Refused


def space() -> ConfigSpace:
    return ConfigSpace(9, {0: 0x4000, 1: 0x2000})


def word(config: ConfigSpace, offset: int, form: str = "I") -> int:
    return int(struct.unpack("<" + form, config.read(offset, struct.calcsize("<" + form)))[0])


def capabilities(config: ConfigSpace) -> dict[int, int]:
    found, at = {}, word(config, 0x34, "B")
    while at:
        found[word(config, at, "B")] = at
        at = word(config, at + 1, "B")
    return found


def test_the_card_is_found_by_its_ids_and_class() -> None:
    config = space()
    assert word(config, 0x00) == 0xEC201D0F
    assert word(config, 0x08) == 0x02000000
    assert word(config, 0x06, "H") == 0x0010
    assert word(config, 0x0E, "B") == 0
    assert word(config, 0x3D, "B") == 0
    assert word(config, 0x100) == 0


def test_an_endpoint_that_can_be_reset_alone_with_a_table_of_vectors() -> None:
    config = space()
    found = capabilities(config)
    assert set(found) == {0x10, 0x11}
    assert word(config, found[0x10] + 2, "H") == 2
    assert word(config, found[0x10] + 4) & 1 << 28
    assert word(config, found[0x11] + 2, "H") == 8
    table, pending = word(config, found[0x11] + 4), word(config, found[0x11] + 8)
    assert table & 7 == pending & 7 == 1
    assert (table & ~7) + 9 * 16 <= pending & ~7 < 0x2000


def test_bars_tell_their_sizes() -> None:
    config = space()
    sizes = []
    for offset in range(0x10, 0x28, 4):
        config.write(offset, b"\xff" * 4)
        sizes.append(-word(config, offset) & 0xFFFFFFFF)
    assert sizes == [0x4000, 0x2000, 0, 0, 0, 0]


def test_the_cards_memory_is_64_bits_wide_and_prefetchable() -> None:
    config = ConfigSpace(9, {0: 0x4000, 1: 0x2000}, {2: 0x80000})
    assert word(config, 0x18, "Q") == 0xC
    config.write(0x18, b"\xff" * 4)
    assert word(config, 0x18) == 0xFFF8000C
    config.write(0x1C, b"\xff" * 4)
    assert word(config, 0x1C) == 0xFFFFFFFF
    config.write(0x18, struct.pack("<Q", 0x38_0000_0000))
    assert word(config, 0x18, "Q") == 0x38_0000_000C
    config.reset()
    assert word(config, 0x18, "Q") == 0xC


def test_a_function_reset_is_asked_for_by_one_bit_that_never_shows() -> None:
    config = space()
    control = capabilities(config)[0x10] + 8
    assert not config.write(control, struct.pack("<H", 0x7FFF))
    assert config.write(control, struct.pack("<H", 0x8000))
    assert config.write(control + 1, b"\x80")
    assert config.write(control - 4, bytes(5) + b"\x80")
    assert word(config, control, "H") & 0x8000 == 0


@given(st.lists(st.tuples(st.integers(0, 4096), st.binary(max_size=300)), max_size=10))
def test_nothing_changes_but_what_may(writes: list[tuple[int, bytes]]) -> None:
    parts = (range(0x04), range(0x06, 0x0C), range(0x0D, 0x10), range(0x18, 0x3C), range(0x3D, 0x78), range(0xB4, 4096))
    config, fixed = space(), [at for part in parts for at in part]
    before = config.read(0, 4096)
    for offset, data in writes:
        if offset + len(data) > 4096:
            with pytest.raises(Refused):
                config.write(offset, data)
        else:
            config.write(offset, data)
    after = config.read(0, 4096)
    assert [after[at] for at in fixed] == [before[at] for at in fixed]
    config.reset()
    assert config.read(0, 4096) == before
