"""Static entries, against the examples of RFC 6296 and a sum of words that must not change."""

from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from appliance.config.models import Netmap, Nptv6, OneToOne
from appliance.nat.mapping import Statics, static_of

ZONES = {"home": frozenset((0,)), "internet": frozenset((1,)), "guests": frozenset((2,))}


def number(text):
    return int(ip_address(text))


def nptv6(inside, outside):
    return static_of(Nptv6(name="n", zone="internet", inside=inside, outside=outside), ZONES)


def test_the_example_of_the_rfc():
    """RFC 6296, section 3.6."""
    entry = nptv6("fd01:203:405::/48", "2001:db8:1::/48")
    assert entry.word_added == 0xD54F
    inside, outside = number("fd01:203:405:1::1234"), number("2001:db8:1:d550::1234")
    assert entry.out(inside) == outside
    assert entry.into(outside) == inside


def test_a_subnet_of_all_ones_has_no_address_outside():
    """RFC 6296, section 3.4."""
    entry = nptv6("fd01:203:405::/48", "2001:db8:1::/48")
    assert entry.out(number("fd01:203:405:ffff::1")) is None
    assert entry.into(number("2001:db8:1:ffff::1")) is None


def test_behind_longer_prefixes_the_first_word_that_is_not_all_ones_changes():
    """RFC 6296, section 3.5."""
    entry = nptv6("fd01:203:405:1::/64", "2001:db8:1:2::/64")
    first = entry.out(number("fd01:203:405:1:5:6:7:8"))
    assert first is not None
    assert first & ((1 << 48) - 1) == number("::6:7:8")
    second = entry.out(number("fd01:203:405:1:ffff:6:7:8"))
    assert second is not None
    assert second >> 48 & 0xFFFF == 0xFFFF
    assert second & 0xFFFFFFFF == number("::7:8")
    assert entry.out(number("fd01:203:405:1:ffff:ffff:ffff:ffff")) is None


def words(address):
    """What an address adds to a checksum: the one's complement sum of its words, with one zero."""
    return sum(address.to_bytes(16)[i] << 8 | address.to_bytes(16)[i + 1] for i in range(0, 16, 2)) % 0xFFFF


@settings(max_examples=200)
@given(
    length=st.integers(16, 64),
    inside=st.integers(0, (1 << 64) - 1),
    outside=st.integers(0, (1 << 64) - 1),
    host=st.one_of(st.integers(0, (1 << 128) - 1), st.sampled_from([0, (1 << 128) - 1, 0xFFFF << 112, ((1 << 64) - 1) ^ 1])),
)
def test_no_checksum_changes_and_every_address_comes_back(length, inside, outside, host):
    nets = [IPv6Network(((half << 64) >> (128 - length) << (128 - length), length)) for half in (inside, outside)]
    entry = nptv6(*map(str, nets))
    there = int(nets[0].network_address) | host & ((1 << (128 - length)) - 1)
    out = entry.out(there)
    assume(out is not None)
    assert IPv6Address(out) in nets[1]
    assert words(out) == words(there)
    back = entry.into(out)
    assert back == there


@settings(max_examples=100)
@given(length=st.integers(8, 32), host=st.integers(0, (1 << 32) - 1))
def test_a_netmap_keeps_the_bits_behind_the_prefix(length, host):
    inside, outside = (ip_network((base >> (32 - length) << (32 - length), length)) for base in (0x0A0A0A0A, 0xCB007111))
    entry = static_of(Netmap(name="n", zone="internet", inside=inside, outside=outside), ZONES)
    bits = host & ((1 << (32 - length)) - 1)
    assert entry.out(int(inside.network_address) + bits) == int(outside.network_address) + bits
    assert entry.into(int(outside.network_address) + bits) == int(inside.network_address) + bits
    assert entry.single is (length == 32)


@pytest.mark.parametrize("hairpin", [True, False])
def test_outside_addresses_are_found_from_outside_and_by_hairpin_from_everywhere(hairpin):
    entries = [
        OneToOne(name="one", zone="internet", outside="203.0.113.20", inside="192.168.10.20", hairpin=hairpin),
        Netmap(name="all", zone="internet", outside="203.0.113.0/24", inside="192.168.10.0/24", hairpin=hairpin),
    ]
    statics = Statics([static_of(entry, ZONES) for entry in entries], (0, 1, 2), [(4, number("203.0.113.7"))])
    for zone in (0, 1, 2):
        found = {host: statics.find(zone, 4, number("203.0.113.0") + host) for host in (6, 7, 20, 21)}
        names = {host: entry and entry.name for host, entry in found.items()}
        seen = hairpin or zone == 1
        assert names == ({6: "all", 7: None, 20: "one", 21: "all"} if seen else dict.fromkeys((6, 7, 20, 21)))
        assert statics.find(zone, 6, 1) is None
    assert statics.ranges(4, single=True) == ((number("203.0.113.20"), number("203.0.113.20")),)
