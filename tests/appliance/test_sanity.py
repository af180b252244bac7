"""Addresses that may begin nothing: any small network against definitions that read the configuration with `ipaddress`."""

from ipaddress import ip_address, ip_network
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.decide import compile_ruleset, decide
from appliance.policy.facts import SELF, UDP, Facts, Reason
from appliance.sanity import may_report
from appliance.special import BOGONS, REGISTRY, is_bogon
from tests.appliance.any_network import BITS, Flows, configs
from tests.appliance.small_network import CONFIG, LAN, WAN, View, flow

DRAWN = 40
NEVER = {4: ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4"], 6: ["::/128", "::1/128", "::/96", "::ffff:0:0/96", "ff00::/8"]}
OPINIONS = {
    "2001::/32": "Teredo: ipaddress takes N/A for no",
    "2002::/16": "6to4: the same",
    "192.88.99.0/24": "6to4 relays, deprecated",
    "fec0::/10": "site-local addresses are not in the registry any more: RFC 3879",
    "ff00::/8": "groups are no unicast addresses",
    "224.0.0.0/4": "groups",
    "192.0.0.0/24": "ipaddress of some versions knows parts of it",
    "2001:1::/126": "reachable or not by each address",
    "2001:3::/32": "reachable: RFC 7450", "2001:4:112::/48": "reachable: RFC 7535", "2001:20::/28": "reachable: RFC 7343",
    "2001:30::/28": "reachable: RFC 9374", "64:ff9b:1::/48": "RFC 8215", "3fff::/20": "RFC 9637", "5f00::/16": "RFC 9602",
    "100:0:0:1::/64": "RFC 9780",
}  # fmt: skip
"""Blocks about which `ipaddress` knows less, or says otherwise."""


def text(version, value):
    return ip_address(value.to_bytes(BITS[version] // 8, "big"))


def ways(config):
    """(network, nic) of everything that leads somewhere."""
    nics = list(config.nics.values())
    connected = [(address.network, i) for i, nic in enumerate(nics) for address in nic.address]
    yield from connected
    for route in config.routes:
        near = [(net.prefixlen, -i) for net, i in connected if route.via.version == net.version and route.via in net]
        if route.nic is not None or near:
            yield route.to, [nic.name for nic in nics].index(route.nic) if route.nic is not None else -max(near)[1]
    for i, nic in enumerate(nics):
        yield from ((ip_network("0.0.0.0/0" if gateway.version == 4 else "::/0"), i) for gateway in nic.gateway)


def expected(config, own, pools, facts):
    """Why a packet is refused for its addresses as it comes in, by the words of the RFCs; None: it isn't."""
    source, destination = text(facts.version, facts.source), text(facts.version, facts.destination)
    links = [address.network for nic in config.nics.values() for address in nic.address]
    for address in (source, destination):
        if any(address in ip_network(block) for block in NEVER[facts.version]):
            return Reason.BAD_ADDRESS
        if any(net.version == 4 and net.prefixlen < 31 and address == net.broadcast_address for net in links):
            return Reason.BAD_ADDRESS
    if facts.nic != SELF and any(first <= facts.source <= last for first, last in pools[facts.version]):
        return Reason.BAD_ADDRESS
    if source == destination or (facts.source in own[facts.version]) != (facts.nic == SELF):
        return Reason.BAD_ADDRESS
    if destination.is_link_local and facts.destination not in own[facts.version] and (facts.version == 6 or facts.nic != SELF):
        return Reason.BAD_ADDRESS
    if facts.nic == SELF:
        return None
    zone = config.zones[config.zone_of(list(config.nics)[facts.nic])]
    holding = [(net.prefixlen, nic) for net, nic in ways(config) if net.version == facts.version and source in net]
    best = {nic for prefix, nic in holding if prefix == max(holding)[0]}
    if zone.antispoof != "off" and not source.is_link_local and (not holding or (zone.antispoof == "strict" and facts.nic not in best)):
        return Reason.SPOOFED
    named = any(prefix for prefix, _ in holding)
    return Reason.BOGON if zone.bogons == "drop" and is_bogon(facts.version, facts.source) and not named else None


@settings(max_examples=60)
@given(config=configs(), seed=st.integers(0, 1 << 32))
def test_sources_are_judged_as_by_reading_the_configuration(config, seed):
    ruleset = compile_ruleset(config, 1, b"seed", 31)
    flows = Flows(config, ruleset.local_addresses, Random(seed))
    for _ in range(DRAWN):
        facts = flows.draw()
        said, why = decide(facts, ruleset, View()), expected(config, ruleset.local_addresses, ruleset.outside, facts)
        if why is not None:
            assert (said.allow, said.reason, said.rule) == (False, why, ""), facts
        else:
            assert said.reason != Reason.SPOOFED
            assert said.reason not in (Reason.BAD_ADDRESS, Reason.BOGON) or said.egress < 0, facts


@settings(max_examples=30)
@given(config=configs(), seed=st.integers(0, 1 << 32))
def test_who_may_begin_a_flow_may_report_an_error_and_so_may_who_is_nowhere(config, seed):
    ruleset = compile_ruleset(config, 1, b"seed", 31)
    flows = Flows(config, ruleset.local_addresses, Random(seed))
    for _ in range(DRAWN):
        facts = flows.draw()
        if facts.nic != SELF and facts.source not in flows._own[facts.version]:
            to_us = facts._replace(destination=next(iter(ruleset.local_addresses[facts.version] - {facts.source}), None))
            if to_us.destination is not None:
                why = expected(config, ruleset.local_addresses, ruleset.outside, to_us)
                source = text(facts.version, facts.source)
                unknown = why is Reason.SPOOFED and not any(source in net for net, _ in ways(config) if net.version == facts.version)
                assert may_report(ruleset, facts.nic, facts.version, facts.source) == (why in (None, Reason.BOGON) or unknown)


# -- special-purpose addresses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 6])
def test_bogons_are_what_the_standard_library_calls_not_global(version):
    doubtful = [ip_network(block) for block in OPINIONS if ip_network(block).version == version]
    edges = {edge + by for first, last in BOGONS[version] for edge in (first, last) for by in (-1, 0, 1)}
    random = Random(7)
    drawn = {random.getrandbits(BITS[version]) for _ in range(2000)} | {random.choice(sorted(edges - {-1})) ^ 1 << 3 for _ in range(500)}
    judged = 0
    for value in sorted(edges | drawn):
        if not 0 <= value < 1 << BITS[version] or any(text(version, value) in block for block in doubtful):
            continue
        judged += 1
        assert is_bogon(version, value) == (not text(version, value).is_global), text(version, value)
    assert judged > 1500


@pytest.mark.parametrize(("block", "reachable"), [row[:2] for row in REGISTRY])
def test_the_longest_block_of_the_registry_decides(block, reachable):
    network = ip_network(block)
    inner = [ip_network(other) for other, *_ in REGISTRY if other != block and ip_network(other).version == network.version]
    inner = [other for other in inner if other.subnet_of(network)]
    for address in (network.network_address, network.broadcast_address):
        if not any(address in other for other in inner):
            assert is_bogon(network.version, int(address)) is not reachable


# -- one network -------------------------------------------------------------------------------------------------------


def decided(facts, **keys):
    zones = {name: zone.model_copy(update=keys) for name, zone in CONFIG.zones.items()}
    return decide(facts, compile_ruleset(CONFIG.model_copy(update={"zones": zones}), 1, b"", 31), View())


def test_an_inside_source_from_outside_is_spoofed_unless_nobody_asks():
    facts = flow(WAN, "192.168.10.50", "10.0.1.11", 443)
    assert [decided(facts, antispoof=how).reason for how in ("strict", "loose", "off")] == ["spoofed", "policy", "policy"]


def test_a_source_that_nothing_leads_to_is_spoofed_for_a_loose_zone_too():
    config = CONFIG.model_copy(update={"nics": {name: nic.model_copy(update={"gateway": ()}) for name, nic in CONFIG.nics.items()}})
    zones = {name: zone.model_copy(update={"antispoof": "loose"}) for name, zone in CONFIG.zones.items()}
    ruleset = compile_ruleset(config.model_copy(update={"zones": zones}), 1, b"", 31)
    assert decide(flow(LAN, "198.51.100.9", "10.0.1.11"), ruleset, View()).reason == "spoofed"
    assert decide(flow(LAN, "10.9.9.9", "10.0.1.11"), ruleset, View()).reason == "policy"


def test_a_private_source_from_the_internet_is_a_bogon_where_these_are_dropped():
    facts = flow(WAN, "172.16.3.4", "203.0.113.7", 443)
    assert decided(facts).reason == "policy"
    assert decided(facts, bogons="drop").reason == "bogon"


def test_what_the_file_names_is_no_bogon():
    assert decided(flow(LAN, "10.9.9.9", "203.0.113.1"), bogons="drop").allow
    assert decided(flow(LAN, "192.168.10.50", "203.0.113.99"), bogons="drop").allow


def test_nothing_private_leaks_to_the_internet():
    assert decided(flow(LAN, "192.168.10.50", "172.16.3.4"), bogons="drop").reason == "bogon"
    assert decided(flow(SELF, "203.0.113.7", "172.16.3.4"), bogons="drop").allow


def test_link_local_addresses_of_either_version_stay_on_their_link():
    for source, target in (("169.254.7.7", "198.51.100.1"), ("fe80::7", "2001:db8:ffff::1")):
        assert decided(flow(LAN, source, target)).reason == "bad-address"
    assert decided(flow(LAN, "192.168.10.50", "169.254.169.254")).reason == "bad-address"
    assert decided(flow(LAN, "169.254.7.7", "192.168.10.1", 22)).allow


def test_a_land_packet_begins_nothing():
    for nic, address in ((WAN, "198.51.100.9"), (WAN, "203.0.113.7"), (LAN, "192.168.10.1"), (LAN, "2001:db8:10::5")):
        assert decided(flow(nic, address, address, 443)).reason == "bad-address"
    assert decided(Facts(SELF, 4, UDP, *[int(ip_address("203.0.113.7"))] * 2, 5, 5, -1, 0)).reason == "bad-address"
