"""The route table against a scan over all networks with `ipaddress`."""

from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.route import Entry, Hop, RouteTable

NETS = [
    "0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.128/25", "10.1.2.130/32", "192.0.2.0/31", "128.0.0.0/1",
    "::/0", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::/64", "2001:db8:1::7/128", "fe80::/10",
]  # fmt: skip
BYTES = {4: 4, 6: 16}
VIAS = {4: ["10.1.2.254", None], 6: ["2001:db8:1::fe", "fe80::1", None]}


@st.composite
def entries(draw):
    net = ip_network(draw(st.sampled_from(NETS)))
    via = draw(st.sampled_from(VIAS[net.version]))
    nic = draw(st.integers(0, 3))
    return Entry(net.version, int(net.network_address), net.prefixlen, nic, int(ip_address(via)) if via else 0)


def scan(table, address):
    best = None
    for entry in table:
        net = ip_network((entry.network.to_bytes(BYTES[entry.version], "big"), entry.prefix))
        if address.version == entry.version and address in net and (best is None or entry.prefix > best.prefix):
            best = entry
    return best


addresses = st.one_of(
    st.sampled_from(["10.1.2.130", "10.1.2.131", "10.1.9.9", "10.9.9.9", "192.0.2.1", "200.0.0.1", "2001:db8:1::7", "2001:db8:2::"]),
    st.ip_addresses().map(str),
)


@settings(max_examples=200)
@given(table=st.lists(entries(), max_size=12), destination=addresses)
def test_the_longest_prefix_wins_and_the_first_of_equals(table, destination):
    address = ip_address(destination)
    best = scan(table, address)
    expected = None if best is None else Hop(best.nic, best.via or int(address))
    assert RouteTable(table).lookup(address.version, int(address)) == expected


@settings(max_examples=200)
@given(table=st.lists(entries(), max_size=12), destination=addresses, nic=st.integers(0, 4))
def test_a_reply_leaves_by_its_nic_whatever_the_best_route_says(table, destination, nic):
    address = ip_address(destination)
    best = scan([entry for entry in table if entry.nic == nic], address)
    direct = best is None or not best.via or (address.version == 6 and address.is_link_local)
    assert RouteTable(table).hop_on(nic, address.version, int(address)) == (int(address) if direct else best.via)
