"""Cuts as the compiled path reads them, against `struct`; how they are searched is with `test_megaflow.py`."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.flow.cuts import Packed, pack
from appliance.flow.megaflow import MegaflowTable
from ena_dev.bus.executor import Executor
from ena_dev.errors import UsageError

SMALL = st.sets(st.integers(1, 2**32 - 1), max_size=20).map(sorted)
LARGE = st.sets(st.integers(1, 2**128 - 1), max_size=20).map(sorted)


@given(SMALL, LARGE, SMALL)
def test_numbers_stand_one_behind_the_other(small: list[int], large: list[int], ports: list[int]) -> None:
    four = struct.pack(f"={len(small)}I", *small)
    six = b"".join(struct.pack("!QQ", number >> 64, number & 2**64 - 1) for number in large)
    made = pack({4: [*small, 2**32], 6: [*large, 2**128]}, {4: [0, *small], 6: [0, *large]}, iter(ports))
    assert made == Packed((four, six), (four, six), struct.pack(f"={len(ports)}I", *ports))


@pytest.mark.parametrize("cuts", [(b"123", b""), (b"", b"0123456789")])
def test_what_is_no_whole_number_is_refused(cuts: tuple[bytes, bytes]) -> None:
    with pytest.raises(UsageError, match="are no numbers of 4 and of 16"):
        MegaflowTable(Executor(), bytes(16)).configure(1, Packed(cuts, (b"", b""), b""))
