"""Any flow through the small network, against a judge who reads the configuration with `ipaddress`, one flow at a time."""

from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config.models import Forward
from appliance.decide import decide
from appliance.policy.facts import ICMP, ICMPV6, SELF, TCP, UDP, Facts
from tests.appliance.small_network import CONFIG, DMZ, LAN, RULESET, SYN, WAN, View, number

ACK = 16
ADDRESSES = [
    "203.0.113.7", "203.0.113.8", "203.0.113.10", "203.0.113.1", "203.0.113.255", "198.51.100.1", "198.51.100.66", "192.168.10.1",
    "192.168.10.20", "192.168.10.50", "192.168.10.255", "10.0.1.11", "10.0.1.1", "10.9.9.9", "127.0.0.1", "224.0.0.5", "0.0.0.0",
    "2001:db8::7", "2001:db8::10", "2001:db8:10::5", "2001:db8:10:0:1::5", "2001:db8:20::6", "2001:db8:99::1", "2001:db8:ffff::1",
    "fe80::5", "fe80::a", "ff02::1", "::1", "::ffff:10.0.0.1",
]  # fmt: skip
NICS = list(CONFIG.nics.values())


def zone(nic):
    return "self" if nic == SELF else CONFIG.zone_of(NICS[nic].name)


def ours():
    found = {interface.ip for nic in NICS for interface in nic.address}
    found |= {address for entry in CONFIG.nat if isinstance(entry, Forward) for address in entry.addresses}
    return found | {listen.address for service in CONFIG.services.values() for listen in service.listen}


def bad(facts, source, destination):
    for address in (source, destination):
        if address.is_multicast or address.is_loopback or address.is_unspecified or getattr(address, "ipv4_mapped", None):
            return True
        if address.version == 4 and (address in ip_network("0.0.0.0/8") or address in ip_network("240.0.0.0/4")):
            return True
        if address in {interface.network.broadcast_address for nic in NICS for interface in nic.address if interface.version == 4}:
            return True
    if source == destination or (source in ours()) != (facts.nic == SELF):
        return True
    return destination.version == 6 and destination.is_link_local and destination not in ours()


def spoofed(facts, source):
    """Strict: the way back leads out of the nic it came in by."""
    back = way(source)
    return facts.nic != SELF and not source.is_link_local and (back is None or back[0] != facts.nic)


def way(destination):
    """(nic, next hop): longest prefix; of equals connected before static before gateway."""
    if destination in ours():
        return SELF, 0
    ways = []
    for i, nic in enumerate(NICS):
        ways += [(a.network.prefixlen, 3, -i, i, destination) for a in nic.address if destination in a.network]
        ways += [(0, 1, -i, i, gateway) for gateway in nic.gateway if gateway.version == destination.version]
    for route in CONFIG.routes:
        if destination.version == route.to.version and destination in route.to:
            near = [i for i, n in enumerate(NICS) if any(route.via in a.network for a in n.address)]
            nic = [n.name for n in NICS].index(route.nic) if route.nic else near[0]
            ways.append((route.to.prefixlen, 2, 0, nic, route.via))
    return (max(ways)[3], int(max(ways)[4])) if ways else None


def in_zone(words, here):
    return here in words or ("any" in words and here != "self")


def in_networks(nets, address):
    return not nets or any(address in net for net in nets)


def written(facts, from_zone, to_zone, source, destination, dport):
    for rule in CONFIG.policy:
        zones = in_zone(rule.from_zones, from_zone) and in_zone(rule.to_zones, to_zone)
        nets = in_networks(rule.source, source) and in_networks(rule.destination, destination)
        for match in rule.services:
            ports = match.ports is None or match.ports[0] <= dport <= match.ports[1]
            if zones and nets and ports and match.protocol in (None, facts.protocol) and match.icmp_type in (None, facts.icmp_type):
                return rule
    return None


def door(facts, destination):
    """(implied rule, service or None, forward or None) of what listens for the flow."""
    here = zone(facts.nic)
    for service in CONFIG.services.values():
        place = (destination, facts.dport, facts.protocol)
        if in_zone(service.from_zones, here) and place in [(listen.address, listen.port, listen.protocol) for listen in service.listen]:
            return f"service {service.name}", service, None
    for entry in CONFIG.nat:
        if isinstance(entry, Forward) and here != "self" and entry.protocol == facts.protocol and entry.family == destination.version:
            addresses = entry.addresses or [a.ip for name in CONFIG.zones[entry.zone].nics for a in CONFIG.nics[name].address]
            if destination in addresses and entry.ports[0] <= facts.dport <= entry.ports[1]:
                return f"forward {entry.name}", None, entry
    return None, None, None


@st.composite
def flows(draw):
    version = draw(st.sampled_from([4, 6]))
    addresses = st.sampled_from([a for a in ADDRESSES if ip_address(a).version == version])
    protocol = draw(st.sampled_from([TCP, TCP, UDP, ICMP if version == 4 else ICMPV6, 47]))
    icmp = protocol in (ICMP, ICMPV6)
    dport = 0 if protocol == 47 else 7 if icmp else draw(st.sampled_from([22, 25, 53, 80, 443, 2222, 5005, 9000]))
    sport = 0 if protocol == 47 else 7 if icmp else draw(st.integers(1024, 65535))
    icmp_type = draw(st.sampled_from([8, 8, 0, 128, 128])) if icmp else -1
    flags = draw(st.sampled_from([SYN, SYN, SYN, ACK])) if protocol == TCP else 0
    nic = draw(st.sampled_from([WAN, LAN, DMZ, SELF]))
    return Facts(nic, version, protocol, number(draw(addresses)), number(draw(addresses)), sport, dport, icmp_type, flags)


@settings(max_examples=200)
@given(batch=st.lists(flows(), min_size=5, max_size=20), down=st.sets(st.sampled_from(["w1", "w2", "w6", "d"])))
def test_every_flow_is_decided_as_by_reading_the_configuration(batch, down):
    for facts in batch:
        judge(facts, down, decide(facts, RULESET, View(down)))


def judge(facts, down, decision):
    source, destination = (ip_address(a.to_bytes(4 if facts.version == 4 else 16, "big")) for a in (facts.source, facts.destination))
    if bad(facts, source, destination):
        assert decision.reason == "bad-address"
        return
    if spoofed(facts, source):
        assert decision.reason == "spoofed"
        return
    if (facts.protocol == TCP and facts.flags != SYN) or (facts.icmp_type >= 0 and facts.icmp_type != {4: 8, 6: 128}[facts.version]):
        assert decision.reason == "not-a-start"
        return
    implied, service, forward = door(facts, destination)
    to, dport = destination, facts.dport
    if service is not None:
        living = {t.name: t for t in service.targets if t.address.version == facts.version and t.name not in down}
        if not living:
            assert (decision.reason, decision.rule) == ("no-target", implied)
            return
        to, dport = living[decision.target].address, living[decision.target].port
    elif forward is not None:
        to, dport = forward.to_address, forward.to_port or dport
    path = way(to)
    if path is None:
        assert decision.reason == "no-route"
        return
    if source.version == 6 and source.is_link_local and path[0] != SELF:
        assert decision.reason == "bad-address"
        return
    assert decision.egress == path[0]
    probed = {(t.address, s.health.port or t.port): s.name for s in CONFIG.services.values() if s.health for t in s.targets}
    rule = written(facts, zone(facts.nic), zone(path[0]), source, to, dport)
    if rule is None and implied is None and facts.nic == SELF and facts.protocol == TCP and (to, dport) in probed:
        implied = f"health {probed[to, dport]}"
    name = rule.name if rule else implied or "default deny"
    allowed = rule.verdict == "allow" if rule else implied is not None
    assert (decision.allow, decision.reason, decision.rule) == (allowed, "allowed" if allowed else "policy", name)
    if not allowed:
        return
    assert decision.next_hop == path[1]
    assert decision.reply == (int(to), int(outside(facts, source, service, forward, path[0])), dport, facts.sport)


def on_link(nic, source):
    """Whether an address is a nic's neighbour: it is in one of its networks, or behind none of its routers."""
    if any(source in address.network for address in NICS[nic].address):
        return True
    routes = [route.to for route in CONFIG.routes if route.nic in (None, NICS[nic].name)]
    return not any(gateway.version == source.version for gateway in NICS[nic].gateway) and not any(source in net for net in routes)


def outside(facts, source, service, forward, egress):
    """The source that the other side sees."""
    if egress == SELF:
        return source
    around = forward is not None and forward.zone != zone(facts.nic)
    if (service is not None or forward is not None) and egress == facts.nic and (around or on_link(egress, source)):
        addresses = [a.ip for a in NICS[egress].address if a.version == facts.version]
        return next(address for address in addresses if not address.is_link_local)
    home_out = facts.version == 4 and (zone(facts.nic), zone(egress)) == ("home", "internet")
    if home_out or source in ip_network("2001:db8:10:0:1::/80") or (service is not None and service.masquerade):
        addresses = [a.ip for a in NICS[egress].address if a.version == facts.version]
        return next(address for address in addresses if not address.is_link_local)
    return source
