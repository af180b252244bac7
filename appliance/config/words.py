"""What a rule says about a packet's protocol: `any`, `tcp/443`, `udp/5000-5010`, `icmp/echo-request`, or a name such as `ssh`.

ICMP type names are those of the registries (IANA, ICMP Type Numbers and ICMPv6 Parameters), written with dashes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from appliance.config.addresses import PROTOCOLS, Ports, ports
from appliance.config.errors import BadValueError, instead_of, nearest, quoted
from appliance.config.values import scalar

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58


class ServiceMatch(NamedTuple):
    """Packets of one protocol (None: of any), with destination ports or an ICMP type where given."""

    protocol: int | None = None
    ports: Ports | None = None
    icmp_type: int | None = None


ANY = ServiceMatch()

ICMP_TYPES = {
    ICMP: {
        "echo-reply": 0,
        "destination-unreachable": 3,
        "redirect": 5,
        "echo-request": 8,
        "router-advertisement": 9,
        "router-solicitation": 10,
        "time-exceeded": 11,
        "parameter-problem": 12,
        "timestamp-request": 13,
        "timestamp-reply": 14,
    },
    ICMPV6: {
        "destination-unreachable": 1,
        "packet-too-big": 2,
        "time-exceeded": 3,
        "parameter-problem": 4,
        "echo-request": 128,
        "echo-reply": 129,
        "router-solicitation": 133,
        "router-advertisement": 134,
        "neighbour-solicitation": 135,
        "neighbour-advertisement": 136,
        "redirect": 137,
    },
}


def _tcp(port: int) -> ServiceMatch:
    return ServiceMatch(TCP, (port, port))


def _udp(low: int, high: int | None = None) -> ServiceMatch:
    return ServiceMatch(UDP, (low, low if high is None else high))


WORDS: dict[str, tuple[ServiceMatch, ...]] = {
    "any": (ANY,),
    "tcp": (ServiceMatch(TCP),),
    "udp": (ServiceMatch(UDP),),
    "icmp": (ServiceMatch(ICMP),),
    "icmpv6": (ServiceMatch(ICMPV6),),
    "ssh": (_tcp(22),),
    "http": (_tcp(80),),
    "https": (_tcp(443),),
    "dns": (_tcp(53), _udp(53)),
    "ntp": (_udp(123),),
    "dhcp": (_udp(67, 68),),
    "smtp": (_tcp(25),),
    "imaps": (_tcp(993),),
    "ldap": (_tcp(389),),
    "rdp": (_tcp(3389),),
    "mysql": (_tcp(3306),),
    "postgres": (_tcp(5432),),
    "redis": (_tcp(6379),),
    "iperf3": (_tcp(5201), _udp(5201)),
    "ping": (ServiceMatch(ICMP, None, 8), ServiceMatch(ICMPV6, None, 128)),
    "traceroute": (_udp(33434, 33534),),
}


def service_matches(value: object) -> tuple[ServiceMatch, ...]:
    """What one word of `allow`, `deny` or `reject` stands for."""
    if isinstance(value, ServiceMatch):
        return (value,)
    text = scalar(value, "https or tcp/443")
    if text in WORDS:
        return WORDS[text]
    kind, slash, rest = text.partition("/")
    if slash and kind in PROTOCOLS:
        return (ServiceMatch(PROTOCOLS[kind], ports(rest)),)
    if slash and kind in ("icmp", "icmpv6"):
        family = ICMP if kind == "icmp" else ICMPV6
        return (ServiceMatch(family, None, _icmp_type(rest, ICMP_TYPES[family])),)
    raise _unknown(text, kind, slash + rest)


def _icmp_type(text: str, names: dict[str, int]) -> int:
    if text in names:
        return names[text]
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise BadValueError("unknown ICMP type", instead_of(text, names, "write a number from 0 to 255 or one of"))
    if int(text) > 255:
        raise BadValueError("ICMP type out of range", "write a number from 0 to 255")
    return int(text)


def _unknown(text: str, kind: str, rest: str) -> BadValueError:
    if re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?", text):
        return BadValueError("port without protocol", f"write tcp/{text} or udp/{text}")
    known = ("tcp", "udp", "icmp", "icmpv6") if rest else WORDS
    close = nearest(kind, known)
    if close:
        return BadValueError("unknown service", f"did you mean {quoted(close + rest)}?")
    return BadValueError("unknown service", "write tcp/PORT, udp/PORT, icmp/TYPE or one of " + ", ".join(WORDS))
