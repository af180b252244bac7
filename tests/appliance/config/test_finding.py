"""Networks by address, against a look at each of them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from appliance.config.finding import Prefixes

NETWORKS = st.one_of(
    st.builds(lambda bits, length: IPv4Network((bits << 28, length), strict=False), st.integers(0, 15), st.integers(0, 32)),
    st.builds(lambda bits, length: IPv6Network((bits << 124, length), strict=False), st.integers(0, 15), st.integers(0, 128)),
)
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(st.lists(NETWORKS, max_size=8), ADDRESSES, st.integers(0, 128))
def test_owners_are_those_whose_network_holds_the_address(networks, address, longest) -> None:
    prefixes = Prefixes()
    kept = {}
    for index, network in enumerate(networks):
        assert prefixes.add(network, f"nic{index}") == kept.get(network)
        kept.setdefault(network, f"nic{index}")
    around = [net for net in kept if net.version == address.version and address in net and net.prefixlen <= longest]
    assert prefixes.owners(address, longest) == [kept[net] for net in sorted(around, key=lambda net: -net.prefixlen)]


def test_the_owner_of_a_network_may_add_it_again() -> None:
    prefixes = Prefixes()
    network = ip_network("10.0.0.0/8")
    assert [prefixes.add(network, "lan"), prefixes.add(network, "lan"), prefixes.add(network, "wan")] == [None, None, "lan"]
    assert prefixes.owners(ip_address("10.1.1.1")) == ["lan"]
