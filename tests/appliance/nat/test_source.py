"""Entries that hide sources against a scan of the models, and pools against the addresses they were written with."""

from collections import Counter
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config.models import Masquerade, Snat
from appliance.nat.pool import SourcePool
from appliance.nat.source import Sources, source_pools

NAMES = ["home", "guests", "internet", "self"]
ZONES = {name: frozenset((i,)) for i, name in enumerate(NAMES)} | {"any": frozenset((0, 1, 2))}
SOURCES = {4: ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32"], 6: ["2001:db8::/32", "2001:db8:1::/48"]}
ADDRESSES = ["10.1.0.1", "10.2.0.1", "192.0.2.1", "192.0.2.2", "2001:db8:1::1", "2001:dead::1"]
POOLS = {4: ["203.0.113.40-203.0.113.42", "203.0.113.7", "198.51.100.128/30"], 6: ["2001:db8:ff::40/127", "2001:db8:ff::50"]}
SECRET = bytes(range(16))
INDEPENDENT = "endpoint-independent"


@st.composite
def entries(draw, name="out"):
    family = draw(st.sampled_from([4, 6]))
    words = st.lists(st.sampled_from([*NAMES, "any"]), min_size=1, max_size=1)
    sources = draw(st.lists(st.sampled_from(SOURCES[family]), max_size=2, unique=True))
    keys = {"source": [ip_network(source) for source in sources]} if sources else {}
    keys |= {"name": name, "from_zones": draw(words), "to_zones": draw(words)}
    keys |= draw(st.sampled_from([{}, {}, {"mapping": INDEPENDENT}, {"mapping": INDEPENDENT, "filtering": INDEPENDENT}]))
    keys |= draw(st.sampled_from([{}, {}, {"ports": "random"}]))
    if draw(st.booleans()):
        return Masquerade(family=family, **keys)
    pool = draw(st.lists(st.sampled_from(POOLS[family]), min_size=1, max_size=2, unique=True))
    return Snat(pool=pool if draw(st.booleans()) or sources else [*pool, *POOLS[10 - family]], **keys)


def hides(entry, from_zone, to_zone, address):
    def of(words, zone):
        return zone in words or ("any" in words and zone != "self")

    inside = not entry.source or any(address in net for net in entry.source)
    family = address.version in ({entry.family} if isinstance(entry, Masquerade) else {first.version for first, _ in entry.pool})
    return of(entry.from_zones, from_zone) and of(entry.to_zones, to_zone) and family and inside


@settings(max_examples=200)
@given(
    listed=st.lists(entries(), max_size=5),
    from_zone=st.sampled_from(NAMES),
    to_zone=st.sampled_from(NAMES),
    source=st.sampled_from(ADDRESSES),
)
def test_a_flow_hides_by_the_first_entry_that_says_so(listed, from_zone, to_zone, source):
    listed = [entry.model_copy(update={"name": f"e{number}"}) for number, entry in enumerate(listed)]
    address = ip_address(source)
    compiled = Sources(listed, ZONES, source_pools(listed, SECRET))
    found = compiled.find(NAMES.index(from_zone), NAMES.index(to_zone), address.version, int(address))
    expected = next((entry for entry in listed if hides(entry, from_zone, to_zone, address)), None)
    assert (found and found.name) == (expected and expected.name)
    if found is not None:
        assert (found.pool is not None) == isinstance(expected, Snat)


@settings(max_examples=100)
@given(
    spans=st.lists(st.tuples(st.integers(1, 200), st.integers(0, 20)), min_size=1, max_size=6),
    sources=st.lists(st.integers(0, (1 << 32) - 1), max_size=20),
    version=st.sampled_from([4, 6]),
)
def test_an_inside_address_always_gets_the_same_address_of_the_pool(spans, sources, version):
    pool = SourcePool(0, version, [(first, first + more) for first, more in spans], SECRET)
    written = sorted({number for first, more in spans for number in range(first, first + more + 1)})
    assert [pool.at(place) for place in range(pool.size)] == written
    assert [pool.place(number) for number in range(230)] == [written.index(n) if n in written else None for n in range(230)]
    again = SourcePool(3, version, [(first, first + more) for first, more in reversed(spans)], SECRET)
    for source in sources:
        assert pool.address(source) in written
        assert pool.address(source) == again.address(source)


def test_a_pool_is_spread_evenly_and_by_its_secret():
    pool = SourcePool(0, 4, [(1, 8)], SECRET)
    given = Counter(pool.address(0x0A000000 + host) for host in range(8000))
    assert min(given.values()) > 900
    other = SourcePool(0, 4, [(1, 8)], bytes(16))
    same = sum(pool.address(host) == other.address(host) for host in range(8000))
    assert 800 < same < 1200  # one of eight by chance


@pytest.mark.parametrize("text", ["203.0.113.8-203.0.113.15", "203.0.113.8/29"])
def test_a_pool_is_written_as_a_range_or_as_a_network(text):
    entry = Snat(name="out", from_zones=["home"], to_zones=["internet"], pool=[text])
    (pool,) = source_pools([entry], SECRET).values()
    assert (pool.size, pool.at(0), pool.at(7)) == (8, int(ip_address("203.0.113.8")), int(ip_address("203.0.113.15")))
