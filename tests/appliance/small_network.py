"""One small network, the same for all tests of decisions: its configuration, a stand-in for the running state, flows in one line.

    internet -- wan 203.0.113.7, .8 -- appliance -- lan 192.168.10.1 -- home, and 10/8 behind it
                                           |
                                       dmz 10.0.1.1 -- servers
"""

from ipaddress import ip_address
from random import Random

from appliance.balancer.history import History
from appliance.config.models import Config, Forward, Health, Masquerade, Nic, Route, Rule, Service, Zone
from appliance.decide import compile_ruleset, decide
from appliance.nat.bindings import Bindings
from appliance.policy.facts import ICMP, ICMPV6, TCP, UDP, Facts

WAN, LAN, DMZ = 0, 1, 2
SYN = 2


def endpoint(name, address, port, weight=1):
    return {"name": name, "address": ip_address(address), "port": port, "weight": weight}


def rule(name, line, from_zone, to_zone, verdict, *services, **networks):
    return Rule(name=name, line=line, from_zones=[from_zone], to_zones=[to_zone], verdict=verdict, services=list(services), **networks)


def forward(name, line, protocol, ports, **to):
    return Forward(name=name, line=line, zone="internet", protocol=protocol, ports=ports, **to)


CONFIG = Config(
    nics={
        "wan": Nic(name="wan", address=["203.0.113.7/24", "203.0.113.8/24", "2001:db8::7/64"], gateway=["203.0.113.1", "2001:db8::1"]),
        "lan": Nic(name="lan", address=["192.168.10.1/24", "fe80::a/64", "2001:db8:10::1/64"]),
        "dmz": Nic(name="dmz", address=["10.0.1.1/24", "2001:db8:20::1/64"]),
    },
    zones={
        "internet": Zone(name="internet", nics=["wan"]),
        "home": Zone(name="home", nics=["lan"]),
        "servers": Zone(name="servers", nics=["dmz"]),
    },
    routes=[Route(to="10.0.0.0/8", via="192.168.10.254"), Route(to="2001:db8:99::/48", via="fe80::99", nic="dmz")],
    policy=[
        rule("no games", 20, "internet", "home", "deny", "udp", source=["198.51.100.66"]),
        rule("home out", 21, "home", "internet", "allow", "any"),
        rule("admin", 22, "home", "self", "allow", "ssh", "dns", "ping"),
        rule("no mail", 23, "self", "any", "deny", "smtp"),
        rule("self out", 24, "self", "internet", "allow", "any"),
        rule("hairpin", 25, "home", "home", "allow", "any", destination=["10.0.0.0/8"]),
        rule("v6 servers", 26, "any", "servers", "allow", "https", "icmpv6", destination=["2001:db8:20::/64"]),
    ],
    nat=[
        Masquerade(name="out", from_zones=["home"], to_zones=["internet"]),
        Masquerade(name="six", from_zones=["any"], to_zones=["any"], family=6, source=["2001:db8:10:0:1::/80"]),
        forward("web", 32, TCP, (80, 80), to_address="192.168.10.20", to_port=8080),
        forward("games", 33, UDP, (5000, 5010), to_address="192.168.10.30", addresses=["203.0.113.8"]),
        forward("console", 34, TCP, (2222, 2222), to_address="192.168.10.1", to_port=22),
    ],
    services={
        "web": Service(
            name="web",
            line=40,
            listen=["203.0.113.10:443/tcp", "[2001:db8::10]:443/tcp"],
            from_zones=["internet"],
            targets=[endpoint("w1", "10.0.1.11", 8443), endpoint("w2", "10.0.1.12", 8443), endpoint("w6", "2001:db8:20::6", 8443)],
            health=Health(port=9000),
        ),
        "dns": Service(name="dns", line=50, listen="203.0.113.10:53/udp", targets=[endpoint("d", "10.0.1.53", 53)], masquerade=True),
    },
)
RULESET = compile_ruleset(CONFIG, 1, b"seed", 2039)


class View:
    """No target is up that is in `down`; replies in `taken` are expected by other flows."""

    def __init__(self, down=(), taken=()):
        self.down, self.taken, self.random = set(down), set(taken), Random(5)
        self.history = History(lambda: 0.0, lambda service, target: 0)
        self.bindings = Bindings(lambda version, protocol, reply: True, lambda: 0.0, self.random)

    def is_free(self, version, protocol, reply):
        return reply not in self.taken

    def comes_home(self, facts, egress, reply):
        return True

    def named(self, objects, version, address):
        return False

    def target_up(self, service, target):
        return target not in self.down

    def target_share(self, service, target):
        return 100


def number(text):
    return int(ip_address(text))


def flow(nic, source, destination, dport=443, protocol=TCP, sport=40000, flags=SYN, icmp_type=-1):
    version = ip_address(source).version
    return Facts(nic, version, protocol, number(source), number(destination), sport, dport, icmp_type, flags if protocol == TCP else 0)


def ping(nic, source, destination, identifier=7):
    version = ip_address(source).version
    return flow(nic, source, destination, identifier, {4: ICMP, 6: ICMPV6}[version], identifier, icmp_type={4: 8, 6: 128}[version])


def reply(source, destination, sport, dport):
    return number(source), number(destination), sport, dport


def ask(facts, view=None):
    return decide(facts, RULESET, view or View())
