"""Words of allow and deny; port numbers against the system's own list of services, ICMP types against scapy's."""

from __future__ import annotations

from socket import getservbyname

import pytest
from scapy.layers.inet import icmptypes
from scapy.layers.inet6 import icmp6types

from appliance.config.errors import BadValueError
from appliance.config.words import ICMP, ICMP_TYPES, ICMPV6, WORDS, ServiceMatch, described, service_matches


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


OTHER_NAMES = {  # what the system's list of services calls them
    "dns": "domain", "mdns": "mdns", "smtps": "submissions", "kerberos": "kerberos", "kpasswd": "kpasswd", "tacacs": "tacacs",
    "ident": "auth", "rdp": "ms-wbt-server", "smb": "microsoft-ds", "netbios": "netbios-ns", "portmap": "sunrpc", "iscsi": "iscsi-target",
    "afp": "afpovertcp", "postgres": "postgresql", "mssql": "ms-sql-s", "irc": "ircd", "ircs": "ircs-u", "sip": "sip", "sips": "sip-tls",
    "stun": "stun", "rtsp": "rtsp", "lpd": "printer", "jetdirect": "", "dns-tls": "domain-s", "xmpp": "xmpp-client", "dhcp": "bootps",
    "ntp": "ntp", "ptp": "ptp-event", "tftp": "tftp", "rip": "route", "ike": "isakmp", "ipsec": "isakmp", "minecraft": "",
    "zabbix": "zabbix-agent", "x11": "x11", "wol": "discard", "upnp": "", "http3": "https", "msrpc": "epmap", "dhcpv6": "dhcpv6-client",
}  # fmt: skip


def test_named_services_have_the_ports_of_the_systems_list() -> None:
    agreed = 0
    for name, matches in WORDS.items():
        kind = {6: "tcp", 17: "udp"}.get(matches[0].protocol or 0)
        known = OTHER_NAMES.get(name, name)
        if kind is None or matches[0].ports is None or not known:
            continue
        try:
            port = getservbyname(known, kind)
        except OSError:
            continue
        assert port == matches[0].ports[0], name
        agreed += 1
    assert agreed > 60


def test_a_name_means_what_it_meant_when_files_were_written() -> None:
    assert {name: [described(match) for match in WORDS[name]] for name in ("rdp", "https", "dhcp", "iperf3", "ping", "ntp")} == {
        "rdp": ["tcp/3389"], "https": ["tcp/443"], "dhcp": ["udp/67-68"], "iperf3": ["tcp/5201", "udp/5201"],
        "ping": ["icmp/echo-request", "icmpv6/echo-request"], "ntp": ["udp/123"],
    }  # fmt: skip


def test_a_description_means_the_same() -> None:
    for match in {match for matches in WORDS.values() for match in matches if match.ports or match.icmp_type}:
        assert service_matches(described(match)) == (match,)
    assert [described(match) for match in (ServiceMatch(), ServiceMatch(6), ServiceMatch(50))] == ["any", "tcp", "50"]


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
        ("xyzzy", "write tcp/PORT, udp/PORT, icmp/TYPE, or a name that"),
    ],
)
def test_an_unknown_word_gets_a_hint(word: str, hint: str) -> None:
    with pytest.raises(BadValueError) as caught:
        service_matches(word)
    assert caught.value.hint.startswith(hint)
