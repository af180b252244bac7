"""Masquerade entries against a scan of the models."""

from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config.models import Masquerade
from appliance.nat.masquerade import Masquerades

NAMES = ["home", "guests", "internet", "self"]
ZONES = {name: frozenset((i,)) for i, name in enumerate(NAMES)} | {"any": frozenset((0, 1, 2))}
SOURCES = {4: ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32"], 6: ["2001:db8::/32", "2001:db8:1::/48"]}
ADDRESSES = ["10.1.0.1", "10.2.0.1", "192.0.2.1", "192.0.2.2", "2001:db8:1::1", "2001:dead::1"]


@st.composite
def entries(draw):
    family = draw(st.sampled_from([4, 6]))
    words = st.lists(st.sampled_from([*NAMES, "any"]), min_size=1, max_size=1)
    sources = draw(st.lists(st.sampled_from(SOURCES[family]), max_size=2, unique=True))
    named = {"source": [ip_network(source) for source in sources]} if sources else {}
    return Masquerade(name="out", from_zones=draw(words), to_zones=draw(words), family=family, **named)


def hides(entry, from_zone, to_zone, address):
    def of(words, zone):
        return zone in words or ("any" in words and zone != "self")

    inside = not entry.source or any(address in net for net in entry.source)
    return of(entry.from_zones, from_zone) and of(entry.to_zones, to_zone) and address.version == entry.family and inside


@settings(max_examples=150, deadline=None)
@given(
    listed=st.lists(entries(), max_size=5),
    from_zone=st.sampled_from(NAMES),
    to_zone=st.sampled_from(NAMES),
    source=st.sampled_from(ADDRESSES),
)
def test_a_flow_hides_when_any_entry_says_so(listed, from_zone, to_zone, source):
    address = ip_address(source)
    compiled = Masquerades(listed, ZONES)
    expected = any(hides(entry, from_zone, to_zone, address) for entry in listed)
    assert compiled.applies(NAMES.index(from_zone), NAMES.index(to_zone), address.version, int(address)) is expected
