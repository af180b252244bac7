"""Words of allow and deny; port numbers against the system's own list of services, ICMP types against scapy's."""

from __future__ import annotations

import pytest
from scapy.layers.inet import icmptypes
from scapy.layers.inet6 import icmp6types

from appliance.config.errors import BadValueError
from appliance.config.words import ICMP, ICMP_TYPES, ICMPV6, WORDS, ServiceMatch, service_matches


@pytest.mark.parametrize(
    ("word", "matches"),
    [
        ("any", [ServiceMatch()]),
        ("tcp", [ServiceMatch(6)]),
        ("udp/53", [ServiceMatch(17, (53, 53))]),
        ("tcp/1-65535", [ServiceMatch(6, (1, 65535))]),
        ("icmp/8", [ServiceMatch(1, None, 8)]),
        ("icmp/echo-request", [ServiceMatch(1, None, 8)]),
        ("icmpv6/echo-request", [ServiceMatch(58, None, 128)]),
        ("ping", [ServiceMatch(1, None, 8), ServiceMatch(58, None, 128)]),
        ("dns", [ServiceMatch(6, (53, 53)), ServiceMatch(17, (53, 53))]),
        ("traceroute", [ServiceMatch(17, (33434, 33534))]),
    ],
)
def test_a_word_stands_for_its_matches(word: str, matches: list[ServiceMatch]) -> None:
    assert list(service_matches(word)) == matches


IANA = {
    "ssh": 22, "http": 80, "https": 443, "dns": 53, "ntp": 123, "smtp": 25, "imaps": 993, "ldap": 389, "rdp": 3389, "mysql": 3306,
    "postgres": 5432, "redis": 6379, "iperf3": 5201, "dhcp": 67, "traceroute": 33434,
}  # fmt: skip


def test_named_services_have_the_ports_of_the_registry() -> None:
    assert {word: matches[0].ports[0] for word, matches in WORDS.items() if matches[0].ports} == IANA


def test_icmp_type_names_are_those_of_the_protocol() -> None:
    for name, number in ICMP_TYPES[ICMP].items():
        assert icmptypes[number].replace("dest-unreach", "destination-unreachable").startswith(name)
    spelled = {name.lower().replace(" ", "-").replace("neighbor", "neighbour"): number for number, name in icmp6types.items()}
    for name, number in ICMP_TYPES[ICMPV6].items():
        assert spelled.get(name, spelled.get(f"{name}-message")) == number


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("htpps", "did you mean `https`?"),
        ("tpc/80", "did you mean `tcp/80`?"),
        ("443", "write tcp/443 or udp/443"),
        ("icmp/ecko-request", "did you mean `echo-request`?"),
        ("icmp/256", "write a number from 0 to 255"),
        ("tcp/", "write a port from 1 to 65535"),
        ("xyzzy", "write tcp/PORT, udp/PORT, icmp/TYPE or one of any, tcp"),
    ],
)
def test_an_unknown_word_gets_a_hint(word: str, hint: str) -> None:
    with pytest.raises(BadValueError) as caught:
        service_matches(word)
    assert caught.value.hint.startswith(hint)
