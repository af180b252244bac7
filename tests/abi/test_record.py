"""The base of wire records: copies, equality, printing, addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ena_dev.abi.eth_io import RxDescriptor, TxCompletion, TxCompletionExtended
from ena_dev.abi.record import BusAddress


def test_a_view_follows_memory_and_a_snapshot_does_not() -> None:
    memory = bytearray(RxDescriptor.size())
    view = RxDescriptor.from_buffer(memory)
    before = view.snapshot()
    memory[4:6] = b"\x07\x00"
    assert (view.req_id, before.req_id) == (7, 0)


def test_records_are_equal_when_type_and_bytes_are() -> None:
    assert TxCompletion(req_id=5) == TxCompletion.parse(b"\5" + bytes(7))
    assert TxCompletion(req_id=5) != TxCompletion(req_id=6)
    assert TxCompletion() != TxCompletionExtended()
    assert TxCompletion() != bytes(8)


def test_a_record_prints_what_is_set_with_base_fields_first() -> None:
    assert repr(TxCompletionExtended(req_id=5, timestamp_high=1)) == "TxCompletionExtended(req_id=5, timestamp_high=1)"
    assert repr(RxDescriptor(buffer=BusAddress.of(0x1_0000_0002))) == "RxDescriptor(buffer=BusAddress(low=2, high=1))"


def test_a_short_buffer_is_refused() -> None:
    with pytest.raises(ValueError, match="Buffer size too small"):
        TxCompletion.parse(bytes(7))


@given(st.integers(0, (1 << 48) - 1))
def test_an_address_survives_its_two_fields(address: int) -> None:
    assert BusAddress.of(address).value == address
    assert bytes(BusAddress.of(address)) == address.to_bytes(8, "little")


@pytest.mark.parametrize("address", [-1, 1 << 48])
def test_an_address_beyond_48_bits_is_refused(address: int) -> None:
    with pytest.raises(ValueError, match="no bus address"):
        BusAddress.of(address)
