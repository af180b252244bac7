"""Any small network: configurations at random that have a bit of everything, and flows by the numbers they are written with.

    internet -- wan -- appliance -- lan -- home            each with addresses, gateways and routes, or without, by chance
                           |
                         guest -- guests
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network, ip_address, ip_network

from hypothesis import strategies as st

from appliance.config.exceptions import Exceptions
from appliance.config.models import Config, Forward, Health, Netmap, Nic, Nptv6, OneToOne, Route, Rule, Section, Service, Zone
from appliance.config.services import ALGORITHMS
from appliance.policy.facts import ICMP, ICMPV6, SELF, TCP, UDP, Facts
from appliance.ruleset import protocol_of
from tests.appliance.nat.test_source import entries
from tests.appliance.policy.test_rules import policies
from tests.appliance.small_network import number

GRE = 47
BITS = {4: 32, 6: 128}
FIN, SYN, RST, ACK = 1, 2, 4, 16
STARTS, MIDDLES, OTHERS = (SYN, SYN | 0xC0), (ACK, ACK | 8), (0, SYN | ACK, FIN | ACK, RST)
NICS = {
    "wan": ["203.0.113.7/24", "203.0.113.8/24", "2001:db8:ff::7/64"],
    "lan": ["10.1.2.1/24", "2001:db8:1::1/64", "fe80::a/64"],
    "guest": ["10.2.0.1/31", "192.0.2.2/32", "2001:db8:2::1/127"],
}
GATEWAYS = {
    "wan": ["203.0.113.1", "2001:db8:ff::1"],
    "lan": ["10.1.2.3", "2001:db8:1::5"],
    "guest": ["10.2.0.0", "fe80::1", "2001:db8:7777::1"],
}
ROUTES = [
    Route(to="10.0.0.0/8", via="10.1.2.77"),
    Route(to="198.51.100.0/24", via="203.0.113.77"),
    Route(to="192.0.2.128/25", via="192.0.2.200", nic="guest"),  # in no connected network: a way to itself
    Route(to="172.16.0.0/12", via="198.51.100.9", nic="lan"),  # behind another nic
    Route(to="2001:db8:99::/48", via="fe80::99", nic="lan"),
    Route(to="2001:db8:98::/48", via="2001:db8:98::5", nic="guest"),
]
OWN = {4: ["203.0.113.7", "203.0.113.10", "10.1.2.1", "198.18.0.1"], 6: ["2001:db8:ff::7", "2001:db8:ff::10", "2001:db8:1::1"]}
SERVERS = {4: ["10.1.2.3", "10.1.2.40", "10.1.2.1", "10.2.0.0", "192.0.2.77"], 6: ["2001:db8:1::5", "2001:db8:1::1", "2001:db8:98::9"]}
PORTS = [(80, 80), (443, 443), (100, 110), (105, 200), (1, 65535)]
TO_PORTS = [None, 22, 80, 105, 443]
NAMES = ["internet", "home", "guests"]
ASKED = st.fixed_dictionaries({"antispoof": st.sampled_from(["strict", "loose", "off"]), "bogons": st.sampled_from(["allow", "drop"])})
EVERYWHERE = {"from_zones": ["any", "self"], "to_zones": ["any", "self"]}
LAST = [
    Rule(name="no games", verdict="reject", services="udp/300-310", **EVERYWHERE),
    Rule(name="rest", verdict="allow", services="any", **EVERYWHERE),
    Rule(name="loose", verdict="allow", services="tcp", liberal=True, pickup=True, **EVERYWHERE),
]


def some(values, most=2, least=0):
    return st.lists(st.sampled_from(values), min_size=least, max_size=most, unique=True)


def unless_empty(**keys):
    """Keys for a model: those without a value are left out."""
    return {key: value for key, value in keys.items() if value}


protections = st.sampled_from([{}, {"syn_cookies": "off"}, {"syn_cookies": "always"}])


@st.composite
def forwards(draw):
    version = draw(st.sampled_from([4, 4, 6]))
    return Forward(
        name="in",
        zone=draw(st.sampled_from(NAMES)),
        protocol=draw(st.sampled_from([TCP, UDP])),
        ports=draw(st.sampled_from(PORTS)),
        to_address=draw(st.sampled_from(SERVERS[version])),
        hairpin=draw(st.booleans()),
        protect=draw(protections),
        **unless_empty(addresses=draw(some(OWN[version])), to_port=draw(st.sampled_from(TO_PORTS))),
    )


OUTSIDE = {4: ["203.0.113.64/29", "198.51.100.0/24", "203.0.113.10/32", "10.2.0.0/31"], 6: ["2001:db8:ff::/64", "2001:db8:fe::/64"]}
INSIDE = {4: ["10.1.2.0/29", "10.1.2.0/24", "10.1.2.40/32", "10.2.0.0/31"], 6: ["2001:db8:1::/64", "2001:db8:98::/64"]}


@st.composite
def statics(draw):
    version = draw(st.sampled_from([4, 4, 6]))
    outside = ip_network(draw(st.sampled_from(OUTSIDE[version])))
    inside = draw(st.sampled_from([net for net in map(ip_network, INSIDE[version]) if net.prefixlen == outside.prefixlen]))
    keys = {"name": "static", "zone": draw(st.sampled_from(NAMES)), "hairpin": draw(st.booleans())}
    kind = draw(st.sampled_from([OneToOne, Netmap] if version == 4 else [OneToOne, Netmap, Nptv6]))
    if kind is OneToOne:
        return OneToOne(outside=outside[draw(st.integers(0, 1)) % outside.num_addresses], inside=inside[-1], **keys)
    return kind(outside=outside, inside=inside, **keys)


@st.composite
def services(draw, name):
    version = draw(st.sampled_from([4, 4, 6]))
    ports = st.sampled_from([80, 105, 443, 8080])
    targets = draw(some(SERVERS[version] + SERVERS[4], 3, 1))
    address = draw(st.sampled_from(OWN[version]))
    host = f"[{address}]" if version == 6 else address
    return Service(
        name=name,
        listen=[f"{host}:{draw(ports)}/{draw(st.sampled_from(['tcp', 'udp']))}"],
        from_zones=draw(st.sampled_from([["any"], ["internet"], ["self"], ["home", "guests"]])),
        targets=[
            {"name": f"t{i}", "address": ip_address(target), "port": draw(ports), "role": draw(st.sampled_from(["main", "main", "backup"]))}
            for i, target in enumerate(targets)
        ],
        algorithm=draw(st.sampled_from(["maglev", "maglev", *ALGORITHMS])),
        affinity=draw(st.sampled_from([None, None, {"timeout": "1m"}])),
        slow_start=draw(st.sampled_from([None, "30s"])),
        health=draw(st.sampled_from([None, Health(), Health(port=9000), Health(type="udp", send="?"), Health(type="icmp")])),
        client_ip=draw(st.sampled_from(["preserve", "translate", "proxy-v2"])),
        protect=draw(protections),
        hairpin=draw(st.booleans()),
    )


def named(listed):
    """Entries with names of their own."""
    return [entry.model_copy(update={"name": f"n{number}"}) for number, entry in enumerate(listed)]


@st.composite
def configs(draw):
    nics = {}
    for name, addresses in NICS.items():
        keys = unless_empty(address=draw(some(addresses, 3, 1)), gateway=draw(some(GATEWAYS[name], 3)))
        nics[name] = Nic(name=name, **keys)
    return Config(
        nics=nics,
        zones={zone: Zone(name=zone, nics=[nic], **draw(ASKED)) for zone, nic in zip(NAMES, nics, strict=True)},
        routes=draw(some(ROUTES, 6)) if draw(st.booleans()) else [],
        policy=[*draw(policies(most=4)), *draw(some(LAST))],
        nat=named(draw(st.lists(st.one_of(entries(), forwards(), forwards(), statics()), max_size=6))),
        services={name: draw(services(name)) for name in draw(some(["one", "two"]))},
        exceptions=draw(st.sampled_from([Exceptions(), Exceptions(invalid="pass", mid_stream="reject")])),
    )


# -- flows -------------------------------------------------------------------------------------------------------------

STRANGERS = [ip_address("198.18.7.7"), ip_address("2001:dead::1")]
SPECIAL = {
    4: ["0.0.0.0", "1.0.0.0", "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0", "224.0.0.0", "255.255.255.255",
        "169.254.0.0", "169.254.255.255", "100.64.0.0", "100.127.255.255", "192.0.0.9", "198.19.255.255"],
    6: ["::", "::ffff:ffff", "::1:0:0", "::ffff:0:0", "::1:0:0:0", "fe80::", "fec0::", "ff00::", "ffff::", "3fff::", "fc00::"],
}


def written(part):
    """Every number and address in a part of a configuration."""
    match part:
        case Section():
            yield from written([getattr(part, field) for field in type(part).model_fields])
        case Mapping():
            yield from written(list(part.values()))
        case list() | tuple():
            for each in part:
                yield from written(each)
        case IPv4Interface() | IPv6Interface():
            yield from (part.ip, part.network.network_address, part.network.broadcast_address)
        case IPv4Network() | IPv6Network():
            yield from (part.network_address, part.broadcast_address)
        case IPv4Address() | IPv6Address() | int():
            yield part


def around(numbers, last):
    return sorted({each for middle in numbers for each in (middle - 1, middle, middle + 1) if 0 <= each <= last})


def aims(config, own):
    """(version, protocol, address, port): where doors are, and where probes go."""
    for entry in config.nat:
        if isinstance(entry, Forward):
            for address in map(int, entry.addresses) if entry.addresses else own[entry.family]:
                yield from ((entry.family, entry.protocol, address, port) for port in (*entry.ports, entry.to_port) if port)
    for service in config.services.values():
        yield from ((listen.address.version, listen.protocol, int(listen.address), listen.port) for listen in service.listen)
        if service.health is not None:
            for t in service.targets:
                yield t.address.version, protocol_of(service.health, t.address.version), int(t.address), service.health.port or t.port


class Flows:
    """Flows between the numbers that a configuration is written with, and those next to them."""

    def __init__(self, config, own, random):
        """`own`: the appliance's addresses by IP version."""
        parts = list(written([STRANGERS, config.nics, config.routes, config.policy, config.nat, config.services]))
        named = {version: [int(part) for part in parts if getattr(part, "version", 0) == version] for version in (4, 6)}
        self.addresses = {v: around([*named[v], *map(number, SPECIAL[v])], (1 << bits) - 1) for v, bits in BITS.items()}
        self.ports = around([part for part in parts if isinstance(part, int) and 0 < part < 65536], 65535)
        self._own = {version: sorted(own[version]) or self.addresses[version] for version in (4, 6)}
        self._others = {version: sorted({*around(named[version], (1 << bits) - 1)} - own[version]) for version, bits in BITS.items()}
        self._aims = sorted(aims(config, own))
        self._random = random

    def draw(self):
        """One flow. Half of them go to a door or to where a probe goes, and most come from where flows may come from."""
        pick = self._random.choice
        nic, version, protocol = pick([0, 1, 2, SELF]), pick([4, 6]), pick([TCP, TCP, TCP, TCP, UDP, UDP, ICMP, ICMPV6, GRE])
        destination, dport = pick(pick([self._own, self._others, self.addresses])[version]), pick(self.ports)
        if self._aims and pick([True, False]):
            version, protocol, destination, dport = pick(self._aims)
        likely = (self._own if nic == SELF else self._others)[version]
        source = pick(pick([likely, likely, likely, self.addresses[version]]))
        icmp_type = pick([pick([8, 128, 3]), {4: 8, 6: 128}[version]]) if protocol in (ICMP, ICMPV6) else -1
        flags = pick([*STARTS, *STARTS, pick(MIDDLES), pick(OTHERS)]) if protocol == TCP else 0
        return Facts(nic, version, protocol, source, destination, *self.ends(protocol, dport), icmp_type, flags)

    def ends(self, protocol, dport):
        """(sport, dport) of another flow of a protocol."""
        sport = self._random.choice([7, 1023, 1024, 40000, 65535])
        return (sport, dport) if protocol in (TCP, UDP) else (0, 0) if protocol == GRE else (sport, sport)
