"""Files of addresses: what is in them, against `ipaddress`; and what is no such file."""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.objects.lists import ListError, parse_list, read_list
from appliance.ranges import holds

COMMENTS = ["", "# x", " ; SBL1", "\t#10.0.0.1"]
NETWORKS = st.one_of(
    st.tuples(st.integers(0, (1 << 32) - 1), st.integers(8, 32)).map(lambda pair: IPv4Network(pair, strict=False)),
    st.tuples(st.integers(0, (1 << 128) - 1), st.integers(16, 128)).map(lambda pair: IPv6Network(pair, strict=False)),
)


@settings(max_examples=150)
@given(networks=st.lists(NETWORKS, max_size=20), comments=st.lists(st.sampled_from(COMMENTS), min_size=20, max_size=20))
def test_a_list_holds_the_addresses_of_its_networks(networks: list[IPv4Network | IPv6Network], comments: list[str]) -> None:
    text = "# a list\n\n" + "".join(f"{net}{comment}\r\n" for net, comment in zip(networks, comments, strict=False))
    extent, entries = parse_list(text.encode(), 20)
    assert entries == len(networks)
    for version, kind in ((4, IPv4Network), (6, IPv6Network)):
        whole = list(collapse_addresses([net for net in networks if isinstance(net, kind)]))  # type: ignore[type-var]
        assert sum(last - first + 1 for first, last in extent.ranges(version)) == sum(net.num_addresses for net in whole)
        for net in whole:
            assert holds(extent.ranges(version), int(net[0])) and holds(extent.ranges(version), int(net[-1]))


def test_ranges_single_addresses_and_bits_behind_a_prefix_are_read() -> None:
    extent, _ = parse_list(b"\xef\xbb\xbf192.0.2.1\n192.0.2.4-192.0.2.9\n10.1.2.3/8\n2001:db8::1 - 2001:db8::4", 4)
    assert extent.four == ((0x0A000000, 0x0AFFFFFF), (0xC0000201, 0xC0000201), (0xC0000204, 0xC0000209))
    assert extent.six == ((int(ip_network("2001:db8::1")[0]), int(ip_network("2001:db8::4")[0])),)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"10.0.0.1\n10.0.0.\n", 2), (b"10.0.0.0/33", 1), (b"\n\nexample.org\n", 3), (b"10.0.0.1 10.0.0.2", 1), (b"10.0.0.9-10.0.0.1", 1),
        (b"10.0.0.1-2001:db8::1", 1), (b"10.0.0.0/-1", 1), ("10.0.0.0/\u0662".encode(), 1), (b"10.0.0.0/", 1), (b"\xff\xfe\x00", 1),
        (b"1\n", 1), (b"fe80::1%eth0", 1), (b"\0", 1), (b"10.0.0.1\n" * 6, 6),
    ],
)  # fmt: skip
def test_a_line_that_is_no_address_refuses_the_whole_list(text: bytes, line: int) -> None:
    with pytest.raises(ListError) as caught:
        parse_list(text, 5)
    assert caught.value.line == line


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_no_text_does_more_than_that(text: bytes) -> None:
    try:
        parse_list(text, 10)
    except ListError as error:
        assert error.line > 0


def test_what_is_no_file_or_too_large_is_refused(tmp_path: Path) -> None:
    missing, fifo, large = tmp_path / "missing", tmp_path / "fifo", tmp_path / "large"
    os.mkfifo(fifo)
    large.write_bytes(b"#" * ((1 << 20) + 1))
    for path, found in ((missing, "no such file or directory"), (tmp_path, "is a directory"), (fifo, "not a regular file"),
                        (large, "more than 1,048,576 bytes")):
        with pytest.raises(ListError) as caught:
            read_list(path, 10)
        assert caught.value.found == found
