"""Descriptors and completions against the contract's worked examples, given as hex words."""

from __future__ import annotations

import struct

from ena_dev.abi.eth_io import L3Protocol, L4Protocol, RxCompletion, RxDescriptor, TxDescriptor, TxMetaDescriptor
from ena_dev.abi.record import WireRecord


def words(record: WireRecord) -> list[int]:
    data = bytes(record)
    return list(struct.unpack(f"<{len(data) // 4}I", data))


def from_words(record: type, *values: int) -> WireRecord:
    return record.parse(struct.pack(f"<{len(values)}I", *values))


def test_a_meta_descriptor_without_tso() -> None:
    meta = TxMetaDescriptor(ext_valid=1, eth_meta_type=1, meta_store=1, meta=1, phase=1, first=1, l3_header_length=20, l3_header_offset=14)
    assert words(meta) == [0x05B04000, 0, 0x00000E14, 0]


def test_a_data_descriptor_with_partial_checksum() -> None:
    data = from_words(TxDescriptor, 0x190005EA, 0x01424C18, 0x56789ABC, 0x60001234)
    expected = TxDescriptor(
        length=1514,
        phase=1,
        last=1,
        completion_requested=1,
        l3_protocol=L3Protocol.IPV4,
        dont_fragment=1,
        l4_protocol=L4Protocol.TCP,
        l4_checksum=1,
        l4_checksum_partial=1,
        req_id_low=5,
        address_low=0x56789ABC,
        address_high=0x1234,
        header_length=96,
    )
    assert data == expected
    assert (data.req_id, data.address) == (5, 0x1234_5678_9ABC)


def test_a_meta_descriptor_for_tso() -> None:
    meta = from_words(TxMetaDescriptor, 0x05B14000, 0, 0x6A080E14, 0)
    assert (meta.mss, meta.l4_header_words, meta.l3_header_length, meta.l3_header_offset) == (1448, 8, 20, 14)


def test_a_tso_data_descriptor() -> None:
    data = from_words(TxDescriptor, 0x11000000 | 1000, 0xFFC06C98, 0, 0)
    assert data.req_id == 1023
    assert (data.tso, data.l3_checksum, data.l4_checksum, data.l4_checksum_partial, data.last) == (1, 1, 1, 0, 0)
    assert (data.l3_protocol, data.l4_protocol, data.dont_fragment, data.length) == (L3Protocol.IPV4, L4Protocol.TCP, 1, 1000)


def test_a_wide_request_id_uses_both_fields() -> None:
    assert from_words(TxDescriptor, 0x003F0000, 0xFFC00000, 0, 0).req_id == 0xFFFF


def test_an_rx_descriptor_is_one_transaction() -> None:
    assert bytes(RxDescriptor(phase=1, first=1, last=1, completion_requested=1))[3] == 0x1D


def test_rx_completions() -> None:
    single = RxCompletion(l3_protocol=8, l4_protocol=12, l4_checksum_checked=1, phase=1, first=1, last=1, buffer_used=1)
    assert words(single)[0] == 0x4D010C08
    assert words(RxCompletion(phase=1, first=1, buffer_used=1))[0] == 0x45000000
    assert words(RxCompletion(phase=1, buffer_used=1))[0] == 0x41000000
    assert words(RxCompletion(l3_protocol=8, l4_protocol=12, l4_checksum_checked=1, phase=1, last=1, buffer_used=1))[0] == 0x49010C08
