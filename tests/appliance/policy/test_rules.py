"""Compiled rules against a linear scan over the models, with `ipaddress` doing the matching."""

from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config.models import Rule
from appliance.policy.rules import Policy, Verdict
from appliance.ranges import Extent

ZONES = ["home", "internet", "guests", "self"]
NUMBERS = {name: frozenset((i,)) for i, name in enumerate(ZONES)} | {"any": frozenset((0, 1, 2))}
NETWORKS = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "0.0.0.0/0", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::5/128", "::/0"]
ADDRESSES = ["10.1.2.3", "10.1.2.4", "10.9.9.9", "192.0.2.1", "2001:db8:1::5", "2001:db8:2::1", "2001:dead::1"]
WORDS = ["any", "tcp", "tcp/443", "tcp/100-200", "udp/53", "dns", "icmp", "icmp/echo-request", "icmp/3", "icmpv6/128", "ping", "udp"]

zone_words = st.one_of(st.just(["any"]), st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True))
networks = st.lists(st.sampled_from(NETWORKS), max_size=3, unique=True)


@st.composite
def policies(draw, least=0, most=8):
    listed = []
    for i in range(draw(st.integers(least, most))):
        nets = {key: [ip_network(n) for n in draw(networks)] for key in ("source", "destination")}
        nets = {key: value for key, value in nets.items() if value}
        words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3))
        zones = {"from_zones": draw(zone_words), "to_zones": draw(zone_words)}
        verdict = draw(st.sampled_from(["allow", "deny", "reject"]))
        lenient = {key: draw(st.booleans()) for key in ("liberal", "pickup") if verdict == "allow"}
        audit = draw(st.sampled_from([False, False, True]))
        listed.append(Rule(name=f"rule {i}", line=10 + i, verdict=verdict, services=words, audit=audit, **lenient, **zones, **nets))
    return listed


def matches(rules, from_zone, to_zone, protocol, source, destination, port, icmp_type):
    def in_zone(words, zone):
        return zone in words or ("any" in words and zone != "self")

    def in_networks(nets, address):
        return not nets or any(address in net for net in nets if net.version == address.version)

    def served(match):
        if match.protocol is not None and match.protocol != protocol:
            return False
        if match.ports is not None and not match.ports[0] <= port <= match.ports[1]:
            return False
        return match.icmp_type is None or match.icmp_type == icmp_type

    for rule in rules:
        zones = in_zone(rule.from_zones, from_zone) and in_zone(rule.to_zones, to_zone)
        nets = in_networks(rule.source, source) and in_networks(rule.destination, destination)
        if zones and nets and any(map(served, rule.services)):
            yield rule


packets = st.tuples(
    st.sampled_from(ZONES),
    st.sampled_from(ZONES),
    st.sampled_from([1, 6, 17, 47, 58]),
    st.sampled_from(ADDRESSES),
    st.sampled_from(ADDRESSES),
    st.sampled_from([0, 53, 99, 100, 200, 201, 443]),
    st.sampled_from([0, 3, 8, 128]),
)


@settings(max_examples=150)
@given(rules=policies(), flows=st.lists(packets, min_size=1, max_size=20))
def test_the_first_matching_rule_is_found_as_by_reading_them_in_order(rules, flows):
    judge(rules, flows)


def judge(rules, flows):
    policy = Policy(rules, NUMBERS)
    for from_zone, to_zone, protocol, source, destination, port, icmp_type in flows:
        source, destination = ip_address(source), ip_address(destination)
        if source.version != destination.version:
            continue
        icmp = protocol in (1, 58)
        args = from_zone, to_zone, protocol, source, destination, 0 if icmp else port, icmp_type if icmp else -1
        found = list(matches(rules, *args))
        expected = next((rule for rule in found if not rule.audit), None)
        kind = (ZONES.index(from_zone), ZONES.index(to_zone), source.version, protocol)
        asked = kind, int(source), int(destination), icmp_type if icmp else port
        assert policy.match(*asked) == (expected and Verdict.of(expected))
        assert policy.audited(*asked) == (Verdict.of(found[0]) if found and found[0].audit else None)


@settings(max_examples=25)
@given(
    rules=policies(6, 6), gaps=st.lists(st.integers(1, 150), min_size=6, max_size=6), flows=st.lists(packets, min_size=5, max_size=20)
)
def test_rules_far_behind_others_are_found_as_well(rules, gaps, flows):
    """Words of vectors are 128 rules long: rules that match nothing of the small world push the others into later words."""
    spaced = []
    for rule, gap in zip(rules, gaps, strict=True):
        spaced += [Rule(name="nobody", source=[f"198.51.{i}.0/24"], verdict="deny", services="udp/9") for i in range(gap)]
        spaced.append(rule)
    judge(spaced, flows)


class Known:
    """Object `names` stands for these addresses."""

    def __init__(self, addresses):
        self._addresses = {(address.version, int(address)) for address in addresses}

    def named(self, objects, version, address):
        return "names" in objects and (version, address) in self._addresses


@settings(max_examples=100)
@given(
    rules=policies(most=6), flows=st.lists(packets, min_size=1, max_size=12), known=st.sets(st.sampled_from(ADDRESSES)),
    chosen=st.sets(st.tuples(st.integers(0, 5), st.sampled_from(["source", "destination"]))),
)  # fmt: skip
def test_a_domain_name_stands_for_what_is_known_of_it(rules, flows, known, chosen):
    """Some lists of networks are joined by domain names; written out, they have the addresses that are known."""
    addresses = [ip_address(text) for text in known]
    named, written = list(rules), list(rules)
    for number, side in chosen:
        if number < len(rules) and getattr(rules[number], side):
            networks = getattr(named[number], side)
            named[number] = named[number].model_copy(update={side: (*networks, Extent((), (), False, ("names",)))})
            written[number] = written[number].model_copy(update={side: (*networks, *map(ip_network, addresses))})
    guarded, plain, view = Policy(named, NUMBERS), Policy(written, NUMBERS), Known(addresses)
    for from_zone, to_zone, protocol, source, destination, port, icmp_type in flows:
        source, destination = ip_address(source), ip_address(destination)
        if source.version == destination.version:
            kind = ZONES.index(from_zone), ZONES.index(to_zone), source.version, protocol
            asked = kind, int(source), int(destination), icmp_type if protocol in (1, 58) else port
            assert guarded.match(*asked, view) == plain.match(*asked)
            assert guarded.audited(*asked, view) == plain.audited(*asked)
            assert guarded.hangs(kind, asked[3]) or guarded.match(*asked, Known(())) == guarded.match(*asked, view)


def test_every_bit_of_every_word_is_reached():
    rules = [Rule(name=f"{i}", destination=[f"10.0.{i // 256}.{i % 256}"], verdict="allow", services=f"tcp/{i + 1}") for i in range(400)]
    policy = Policy([*rules, Rule(name="rest", verdict="deny", services="any")], NUMBERS)
    for i in range(400):
        assert policy.match((0, 1, 4, 6), 1, 0x0A000000 + i, i + 1).name == f"{i}"
        assert policy.match((0, 1, 4, 6), 1, 0x0A000000 + i, i + 2).name == "rest"


def test_a_rule_for_one_family_says_nothing_about_the_other():
    policy = Policy([Rule(name="v4", source=["0.0.0.0/0"], verdict="allow", services="any")], NUMBERS)
    assert policy.match((0, 1, 4, 6), 1, 2, 80) is not None
    assert policy.match((0, 1, 6, 6), 1, 2, 80) is None


def test_a_wide_word_beside_a_narrow_one_is_wide():
    for services in (["tcp/443", "any"], ["tcp/443", "tcp"]):
        policy = Policy([Rule(name="all", verdict="allow", services=services)], NUMBERS)
        assert policy.match((0, 1, 4, 6), 1, 2, 80) is not None


def test_protocols_that_no_rule_names_are_remembered_as_one():
    policy = Policy([Rule(name="all", verdict="allow", services="any")], NUMBERS)
    for protocol in range(256):
        assert policy.match((0, 1, 4, protocol), 1, 2, 0) == Verdict(True, "all", 0)
    assert len(policy._kinds) == 1
