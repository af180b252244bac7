"""Notations of addresses and ports, against the standard library where it has the same one."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.addresses import address, endpoint, interface, network, protocol_ports
from appliance.config.errors import BadValueError

ANY_ADDRESS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(ANY_ADDRESS, st.integers(0, 140))
def test_networks_are_those_of_the_standard_library(host, length) -> None:
    text = f"{host}/{length}"
    try:
        expected = ip_network(text)
    except ValueError:
        with pytest.raises(BadValueError):
            network(text)
    else:
        assert network(text) == expected
    assert network(str(host)) == ip_network(host)


@given(ANY_ADDRESS, st.integers(1, 32))
def test_interfaces_are_those_of_the_standard_library_if_a_nic_can_have_them(host, length) -> None:
    wanted = ip_interface((host, length))
    try:
        assert interface(f"{host}/{length}") == wanted
    except BadValueError:
        odd = host.is_multicast or host.is_loopback or host.is_unspecified or str(host) == "255.255.255.255"
        assert odd or getattr(host, "ipv4_mapped", None) or host in (wanted.network[0], wanted.network[-1])


@given(ANY_ADDRESS, st.integers(1, 65535))
def test_endpoints_read_back_what_was_written(host, port) -> None:
    bare = str(host) if host.version == 4 else f"[{host}]"
    assert endpoint(f"{bare}:{port}", "x") == (host, port)
    assert endpoint(bare, "x") == (host, None)
    assert endpoint(str(host), "x") == (host, None)


@pytest.mark.parametrize(
    "text",
    ["", ":1", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "[::1", "::1]:1", "[::1]1", "[::1]:", "[[::1]]:1", "1.2.3:4", "[::1]:x", "a:1"],
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(BadValueError):
        endpoint(text, "x")


@pytest.mark.parametrize(
    "text",
    ["10.0.0.1", "10.0.0.1/33", "10.0.0.1/255.0.0.0", "10.0.0.1/-1", "::1/64", "fe80::1%eth0/64", "10.0.0.1/", "/24", "ff02::1/64",
     "::ffff:10.0.0.1/120"],
)  # fmt: skip
def test_what_no_nic_can_have_is_refused(text: str) -> None:
    with pytest.raises(BadValueError):
        interface(text)


@pytest.mark.parametrize("text", ["10.0.0.1/24", "fe80::1%eth0", "010.0.0.1", "1.2.3", "1", "0x7f.1.1.1", "::ffff:1.2.3.400"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadValueError):
        address(text)


def test_an_octet_that_is_too_large_is_named() -> None:
    with pytest.raises(BadValueError, match=r"300 > 255"):
        address("10.0.0.300")
    with pytest.raises(BadValueError, match=r"010 has a leading zero.*write 10\.0\.0\.1"):
        address("010.0.0.1")


@given(st.sampled_from([("tcp", 6), ("udp", 17)]), st.integers(1, 65535), st.integers(1, 65535))
def test_ports_are_one_or_a_range_that_goes_up(protocol, first, last) -> None:
    name, number = protocol
    assert protocol_ports(f"{name}/{first}") == (number, (first, first))
    if first <= last:
        assert protocol_ports(f"{name}/{first}-{last}") == (number, (first, last))
    else:
        with pytest.raises(BadValueError, match=f"write {last}-{first}"):
            protocol_ports(f"{name}/{first}-{last}")
