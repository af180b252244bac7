"""The RSS hash against published vectors and its definition in big integers."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ena_dev.errors import UsageError
from ena_dev.packet.toeplitz import SYMMETRIC_KEY, Toeplitz

VERIFICATION_KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
UTILITIES_KEY = bytes.fromhex("77d1c934a4c9bd876e35dd17b2e3239e396d8a932a95b4723ab37f568edeb60197af3b2f3a70e704")
KEYS = st.binary(min_size=40, max_size=40)


def flow(source: str, source_port: int, destination: str, destination_port: int) -> bytes:
    return ip_address(source).packed + ip_address(destination).packed + source_port.to_bytes(2) + destination_port.to_bytes(2)


def by_definition(key: bytes, data: bytes) -> int:
    bits, value = int.from_bytes(key), 0
    for position in range(8 * len(data)):
        if data[position // 8] >> (7 - position % 8) & 1:
            value ^= bits >> (320 - 32 - position) & 0xFFFFFFFF
    return value


# The public RSS verification suite: with ports, addresses only. Key in standard order.
@pytest.mark.parametrize(
    ("data", "with_ports", "addresses_only"),
    [
        (flow("66.9.149.187", 2794, "161.142.100.80", 1766), 0x51CCC178, 0x323E8FC2),
        (flow("199.92.111.2", 14230, "65.69.140.83", 4739), 0xC626B0EA, 0xD718262A),
        (flow("24.19.198.95", 12898, "12.22.207.184", 38024), 0x5C2B394A, 0xD2D0A5DE),
        (flow("38.27.205.30", 48228, "209.142.163.6", 2217), 0xAFC7327F, 0x82989176),
        (flow("153.39.163.191", 44251, "202.188.127.2", 1303), 0x10E828A2, 0x5D1809C5),
        (flow("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766), 0x40207D3D, 0x2CC18CD5),
        (flow("3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739), 0xDDE51BBF, 0x0F0C461C),
        (flow("3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024), 0x02D1FEEF, 0x4B61E985),
    ],
)
def test_the_public_verification_suite(data: bytes, with_ports: int, addresses_only: int) -> None:
    assert Toeplitz(VERIFICATION_KEY).hash(data) == with_ports
    assert Toeplitz(VERIFICATION_KEY).hash(data[:-4]) == addresses_only


@pytest.mark.parametrize(
    ("data", "key", "reversed_by_driver", "as_is"),
    [
        (flow("1.2.3.4", 7000, "1.2.3.5", 7000), UTILITIES_KEY, 0xA9828BD4, 0x5B5EB8E5),
        (flow("66.9.149.187", 2794, "161.142.100.80", 1766), VERIFICATION_KEY, 0x51CCC178, 0x3DC77368),
        (flow("199.92.111.2", 14230, "65.69.140.83", 4739), VERIFICATION_KEY, 0xC626B0EA, 0x81948F3B),
        (flow("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766), VERIFICATION_KEY, 0x40207D3D, 0xE48094E4),
    ],
)
def test_a_control_buffers_key_is_used_last_byte_first(data: bytes, key: bytes, reversed_by_driver: int, as_is: int) -> None:
    assert Toeplitz.from_control_buffer(key[::-1], 0).hash(data) == reversed_by_driver
    assert Toeplitz.from_control_buffer(key, 0xFFFFFFFF).hash(data) == as_is


@given(KEYS, st.binary(max_size=36), st.integers(0, 0xFFFFFFFF))
def test_the_hash_is_the_sum_of_shifted_keys(key: bytes, data: bytes, init: int) -> None:
    assert Toeplitz(key, init).hash(data) == by_definition(key, data) ^ init


@given(st.binary(min_size=36, max_size=36))
def test_the_symmetric_key_hashes_both_directions_alike(data: bytes) -> None:
    both = Toeplitz(SYMMETRIC_KEY)
    assert both.hash(data) == both.hash(data[16:32] + data[:16] + data[34:] + data[32:34])
    short = data[:12]
    assert both.hash(short) == both.hash(short[4:8] + short[:4] + short[10:] + short[8:10])


@pytest.mark.parametrize("size", [0, 39, 41])
def test_a_key_has_forty_bytes(size: int) -> None:
    with pytest.raises(UsageError, match="40 bytes"):
        Toeplitz(bytes(size))


def test_an_input_has_at_most_two_addresses_and_two_ports() -> None:
    with pytest.raises(UsageError, match="36 bytes"):
        Toeplitz(SYMMETRIC_KEY).hash(bytes(37))


def test_what_it_was_made_of_can_be_read_back() -> None:
    table = Toeplitz.from_control_buffer(VERIFICATION_KEY, 7)
    assert (table.key, table.init) == (VERIFICATION_KEY[::-1], 7)
