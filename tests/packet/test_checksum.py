"""Internet checksums against the definition in RFC 1071, published sums and scapy."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.utils import checksum as scapy_checksum

from ena_dev.errors import UsageError
from ena_dev.packet.checksum import checksum, checksum_pieces, transport_checksum, update


def by_definition(data: bytes) -> int:
    """Big-endian words added as integers; end-around carry as a remainder of 65535, whose two zeros are told apart by the data."""
    total = sum(int.from_bytes(data[at : at + 2].ljust(2, b"\0")) for at in range(0, len(data), 2))
    return 0xFFFF - ((total - 1) % 0xFFFF + 1 if total else 0)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("0001f203f4f5f6f7", 0xFFFF - 0xDDF2),                                # RFC 1071, section 3
        ("45000073000040004011" "0000" "c0a80001c0a800c7", 0xB861),
        ("", 0xFFFF),
        ("00", 0xFFFF),
        ("ff", 0x00FF),
        ("ffff", 0),
    ],
)  # fmt: skip
def test_published_sums(data: str, expected: int) -> None:
    assert checksum(bytes.fromhex(data)) == expected


@given(st.binary(max_size=300))
def test_a_sum_is_what_the_definition_says(data: bytes) -> None:
    assert checksum(data) == by_definition(data) == scapy_checksum(data)


def test_a_long_run_of_ones_carries_to_the_end() -> None:
    assert checksum(b"\xff" * 70001) == by_definition(b"\xff" * 70001)


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_pieces_of_any_length_sum_like_the_whole(pieces: list[bytes]) -> None:
    assert checksum_pieces(pieces) == by_definition(b"".join(pieces))


@given(st.binary(max_size=80), st.booleans(), st.booleans())
def test_transport_checksums_are_scapys(payload: bytes, six: bool, stream: bool) -> None:
    network = IPv6(src="2001:db8::1", dst="ff02::2") if six else IP(src="192.0.2.1", dst="255.255.255.255")
    raw = bytes(network / (TCP() if stream else UDP()) / payload)
    at, field = (40 if six else 20), (16 if stream else 6)
    bare = raw[at : at + field] + b"\0\0" + raw[at + field + 2 :]
    value = transport_checksum(ip_address(network.src), ip_address(network.dst), 6 if stream else 17, bare)
    assert value.to_bytes(2) == raw[at + field : at + field + 2]


WORDS = st.binary(max_size=20).map(lambda data: data * 2)


@given(WORDS, st.data())
def test_an_update_gives_the_checksum_of_the_changed_data(old: bytes, data: st.DataObject) -> None:
    new = data.draw(st.binary(min_size=len(old), max_size=len(old)))
    rest = data.draw(st.binary(max_size=20))
    assume(any(new + rest) and any(old + rest))     # no header is all zeros
    assert update(by_definition(old + rest), old, new) == by_definition(new + rest)


def test_the_example_of_rfc_1624_section_4() -> None:
    assert update(0xDD2F, b"\x55\x55", b"\x32\x85") == 0x0000


@given(WORDS, st.data())
def test_a_partial_field_keeps_the_pseudo_headers_sum(old: bytes, data: st.DataObject) -> None:
    new = data.draw(st.binary(min_size=len(old), max_size=len(old)))
    constant = b"\x00\x06\x05\xdc"                  # protocol and length, never zero
    field = 0xFFFF ^ by_definition(old + constant)
    assert update(field, old, new, partial=True) == 0xFFFF ^ by_definition(new + constant)


def test_a_datagram_without_checksum_stays_without() -> None:
    assert update(0, b"\x12\x34", b"\x43\x21", udp=True) == 0


def test_a_udp_checksum_never_becomes_zero() -> None:
    assert update(0xDD2F, b"\x55\x55", b"\x32\x85", udp=True) == 0xFFFF
    assert checksum_pieces([b"\xff\xff"], udp=True) == 0xFFFF
    assert transport_checksum(ip_address("0.0.0.0"), ip_address("255.255.255.236"), 17, b"\0\0") == 0xFFFF


@pytest.mark.parametrize(("old", "new"), [(b"ab", b"abcd"), (b"abc", b"xyz")])
def test_an_update_takes_whole_words(old: bytes, new: bytes) -> None:
    with pytest.raises(UsageError):
        update(0, old, new)


def test_addresses_must_be_of_one_family() -> None:
    with pytest.raises(UsageError):
        transport_checksum(ip_address("192.0.2.1"), ip_address("::1"), 6, b"")
