"""What a rule says about a packet's protocol: `any`, `tcp/443`, `udp/5000-5010`, `icmp/echo-request`, or a name such as `ssh`: one
of the usual ones here, or one of the file's own (`ports`).

ICMP type names are those of the registries (IANA, ICMP Type Numbers and ICMPv6 Parameters), written with dashes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from appliance.config.addresses import PROTOCOLS, Ports, ports
from appliance.config.errors import BadValueError, instead_of, nearest, quoted
from appliance.config.values import scalar

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
NAMES: Final = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMPV6: "icmpv6"}


class ServiceMatch(NamedTuple):
    """Packets of one protocol (None: of any), with destination ports or an ICMP type where given."""

    protocol: int | None = None
    ports: Ports | None = None
    icmp_type: int | None = None


ANY = ServiceMatch()
Matches = tuple[ServiceMatch, ...]

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


USUAL: Final = """
    ssh tcp/22              http tcp/80              https tcp/443             http3 udp/443
    dns tcp/53,udp/53       dns-tls tcp/853          mdns udp/5353             llmnr tcp/5355,udp/5355
    ntp udp/123             ptp udp/319-320          dhcp udp/67-68            dhcpv6 udp/546-547
    ftp tcp/21              ftps tcp/990             tftp udp/69               telnet tcp/23
    rsync tcp/873           git tcp/9418             svn tcp/3690              whois tcp/43
    smtp tcp/25             smtps tcp/465            submission tcp/587        sieve tcp/4190
    pop3 tcp/110            pop3s tcp/995            imap tcp/143              imaps tcp/993
    ldap tcp/389            ldaps tcp/636            kerberos tcp/88,udp/88    kpasswd tcp/464,udp/464
    radius udp/1812-1813    tacacs tcp/49            diameter tcp/3868         ident tcp/113
    rdp tcp/3389            vnc tcp/5900-5903        winrm tcp/5985-5986       x11 tcp/6000-6063
    smb tcp/445             netbios udp/137-138,tcp/139    wsd tcp/3702,udp/3702    msrpc tcp/135
    nfs tcp/2049            portmap tcp/111,udp/111  iscsi tcp/3260            afp tcp/548
    mysql tcp/3306          postgres tcp/5432        mssql tcp/1433            oracle tcp/1521
    redis tcp/6379          mongodb tcp/27017        memcached tcp/11211       couchdb tcp/5984
    cassandra tcp/9042      elasticsearch tcp/9200   etcd tcp/2379-2380        consul tcp/8500
    amqp tcp/5672           amqps tcp/5671           mqtt tcp/1883             mqtts tcp/8883
    kafka tcp/9092          nats tcp/4222            xmpp tcp/5222             xmpp-server tcp/5269
    irc tcp/6667            ircs tcp/6697            sip tcp/5060,udp/5060     sips tcp/5061
    stun tcp/3478,udp/3478  stuns tcp/5349,udp/5349  rtsp tcp/554              rtmp tcp/1935
    ipp tcp/631             jetdirect tcp/9100       lpd tcp/515               upnp udp/1900
    snmp udp/161            snmp-trap udp/162        syslog udp/514            syslog-tls tcp/6514
    netconf tcp/830         bgp tcp/179              bfd udp/3784              ldp tcp/646,udp/646
    rip udp/520             ripng udp/521            vrrp 112                  ospf 89
    openvpn tcp/1194,udp/1194    wireguard udp/51820 ipsec udp/500,udp/4500,50,51    l2tp udp/1701
    esp 50                  ah 51                    gre 47                    pptp tcp/1723,47
    vxlan udp/4789          geneve udp/6081          ipfix udp/4739            sflow udp/6343
    prometheus tcp/9090     zabbix tcp/10050-10051   docker tcp/2376           kubernetes tcp/6443
    squid tcp/3128          socks tcp/1080           minecraft tcp/25565       coap udp/5683
    echo tcp/7,udp/7        discard tcp/9,udp/9      wol udp/9                 nut tcp/3493
    iperf3 tcp/5201,udp/5201    traceroute udp/33434-33534
"""
"""What each usual name stands for: ports as in IANA's Service Name and Transport Protocol Port Number Registry, or where it has none by
that name, as the software comes; numbers alone are IP protocols."""


def _match(text: str) -> ServiceMatch:
    protocol, slash, numbers = text.partition("/")
    return ServiceMatch(PROTOCOLS[protocol], ports(numbers)) if slash else ServiceMatch(int(protocol))


def _usual() -> Iterator[tuple[str, Matches]]:
    texts = USUAL.split()
    for name, matches in zip(texts[::2], texts[1::2], strict=True):
        yield name, tuple(map(_match, matches.split(",")))


WORDS: Final[dict[str, Matches]] = {
    "any": (ANY,),
    "tcp": (ServiceMatch(TCP),),
    "udp": (ServiceMatch(UDP),),
    "icmp": (ServiceMatch(ICMP),),
    "icmpv6": (ServiceMatch(ICMPV6),),
    "ping": (ServiceMatch(ICMP, None, 8), ServiceMatch(ICMPV6, None, 128)),
    **dict(_usual()),
}
NO_NAMES: Final[Mapping[str, Matches | None]] = {}


def service_matches(value: object, own: Mapping[str, Matches | None] = NO_NAMES) -> Matches:
    """What one word of `allow`, `deny` or `reject` stands for; `own`: the file's names, None for one that stands for itself."""
    if isinstance(value, ServiceMatch):
        return (value,)
    text = scalar(value, "https or tcp/443")
    if text in WORDS:
        return WORDS[text]
    if text in own:
        return _own(own[text])
    kind, slash, rest = text.partition("/")
    if slash and kind in PROTOCOLS:
        return (ServiceMatch(PROTOCOLS[kind], ports(rest)),)
    if slash and kind in ("icmp", "icmpv6"):
        family = ICMP if kind == "icmp" else ICMPV6
        return (ServiceMatch(family, None, _icmp_type(rest, ICMP_TYPES[family])),)
    raise _unknown(text, kind, slash + rest, own)


def _own(matches: Matches | None) -> Matches:
    if matches is None:
        raise BadValueError("name that stands for itself, in the end, or leads too deep", "write ports where the circle begins")
    return matches


def described(match: ServiceMatch) -> str:
    """A match as the file writes it; protocols and types of ICMP without a name by their number."""
    name = NAMES.get(match.protocol, str(match.protocol)) if match.protocol is not None else "any"
    if match.icmp_type is not None:
        types = {number: word for word, number in ICMP_TYPES.get(match.protocol or 0, {}).items()}
        return f"{name}/{types.get(match.icmp_type, match.icmp_type)}"
    if match.ports is None:
        return name
    low, high = match.ports
    return f"{name}/{low}" if low == high else f"{name}/{low}-{high}"


def _icmp_type(text: str, names: dict[str, int]) -> int:
    if text in names:
        return names[text]
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise BadValueError("unknown ICMP type", instead_of(text, names, "write a number from 0 to 255 or one of"))
    if int(text) > 255:
        raise BadValueError("ICMP type out of range", "write a number from 0 to 255")
    return int(text)


def _unknown(text: str, kind: str, rest: str, own: Iterable[str]) -> BadValueError:
    if re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?", text):
        return BadValueError("port without protocol", f"write tcp/{text} or udp/{text}")
    known = ("tcp", "udp", "icmp", "icmpv6") if rest else (*WORDS, *own)
    close = nearest(kind, known)
    if close:
        return BadValueError("unknown service", f"did you mean {quoted(close + rest)}?")
    return BadValueError("unknown service", "write tcp/PORT, udp/PORT, icmp/TYPE, or a name that `softena words` lists")
