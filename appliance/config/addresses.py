"""Addresses, networks and ports as the file writes them: text in, `ipaddress` objects and numbers out; `BadValueError` otherwise.

    192.168.10.1/24, 2001:db8::1/64          interface: an address and its network
    192.168.10.20, 10.0.0.0/8                network: a host alone, or a prefix without host bits
    10.0.1.11:8443, [2001:db8::1]:443        endpoint: an address and a port
    203.0.113.10:443/tcp                     listen address: an endpoint and a protocol
    203.0.113.8-203.0.113.15                 range of addresses; an address or a network is one, too
    tcp/443, udp/5000-5010                   ports of a protocol
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network, ip_address, ip_interface, ip_network
from socket import AF_INET, inet_pton
from typing import Annotated

from pydantic import PlainValidator

from appliance.config.errors import BadValueError, instead_of
from appliance.config.values import scalar

TCP, UDP = 6, 17
PROTOCOLS = {"tcp": TCP, "udp": UDP}

Ports = tuple[int, int]  # lowest and highest, both included
AddressRange = tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]  # the same, of one family


def address(value: object) -> IPv4Address | IPv6Address:
    """One address, without prefix, port or scope."""
    if isinstance(value, IPv4Address | IPv6Address) and not isinstance(value, IPv4Interface | IPv6Interface):
        return value
    text = scalar(value, "192.168.10.1")
    try:
        if "%" not in text:
            return ip_address(text)
    except ValueError:
        pass
    if re.fullmatch(r"[^/]+/[0-9]{1,3}", text):
        raise BadValueError("must be an address without prefix length", f"write {_bare(text)}")
    raise _not_an_address(text, "an IP address such as 192.168.10.1 or 2001:db8::1")


def interface(value: object) -> IPv4Interface | IPv6Interface:
    """An address of a nic with the length of its network's prefix."""
    if isinstance(value, IPv4Interface | IPv6Interface):
        return _usable(value)
    text = scalar(value, "192.168.10.1/24")
    host, slash, length = text.partition("/")
    if "%" in text or (slash and not re.fullmatch(r"[0-9]{1,3}", length)):
        raise BadValueError("not an address with prefix length", "write one such as 192.168.10.1/24 or 2001:db8::1/64")
    try:
        parsed = ip_address(host)
    except ValueError:
        raise _not_an_address(host, "an address with prefix length such as 192.168.10.1/24 or 2001:db8::1/64") from None
    if not slash:
        usual = 24 if parsed.version == 4 else 64
        raise BadValueError("prefix length is missing", f"write {parsed}/{usual}, with the length of your network")
    if int(length) > parsed.max_prefixlen:
        raise BadValueError("prefix length out of range", f"write a length from 0 to {parsed.max_prefixlen}")
    return _usable(ip_interface(f"{parsed}/{int(length)}"))


def _usable(value: IPv4Interface | IPv6Interface) -> IPv4Interface | IPv6Interface:
    net, host = value.network, value.ip  # the interface's own properties speak of its network
    mapped = isinstance(host, IPv6Address) and host.ipv4_mapped is not None  # RFC 4291, section 2.5.5.2
    if host.is_multicast or host.is_loopback or host.is_unspecified or mapped or host == IPv4Address("255.255.255.255"):
        raise BadValueError("not an address a nic can have", "write a unicast address such as 192.168.10.1/24")
    if isinstance(net, IPv4Network) and net.prefixlen < 31 and host in (net.network_address, net.broadcast_address):
        kind = "network" if host == net.network_address else "broadcast"
        raise BadValueError(f"{kind} address of {net}", f"write an address inside, such as {net.network_address + 1}/{net.prefixlen}")
    return value


def network(value: object) -> IPv4Network | IPv6Network:
    """A prefix without host bits; a single address is a network of one."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    text = scalar(value, "10.0.0.0/8")
    host, slash, length = text.partition("/")
    if "%" in text or (slash and not re.fullmatch(r"[0-9]{1,3}", length)):
        raise BadValueError("not a network", "write one such as 10.0.0.0/8 or 2001:db8::/32")
    try:
        return IPv4Network((inet_pton(AF_INET, host), int(length) if slash else 32))  # what most are, in a third of the time
    except (OSError, ValueError):
        pass  # an IPv6 network, or none
    try:
        return ip_network(text)
    except ValueError:
        pass  # why not?
    try:
        parsed = ip_address(host)
    except ValueError:
        raise _not_an_address(host, "a network such as 10.0.0.0/8, 192.168.10.20 or 2001:db8::/32") from None
    if slash and int(length) > parsed.max_prefixlen:
        raise BadValueError("prefix length out of range", f"write a length from 0 to {parsed.max_prefixlen}")
    whole = ip_network(f"{parsed}/{int(length) if slash else parsed.max_prefixlen}", strict=False)
    if whole.network_address != parsed:
        raise BadValueError("address has bits set behind its prefix", f"write {whole} or {parsed}")
    return whole


def address_range(value: object) -> AddressRange:
    """`203.0.113.8-203.0.113.15`, one address, or a network; both ends included."""
    if isinstance(value, tuple) and len(value) == 2:
        return value
    if isinstance(value, IPv4Network | IPv6Network):
        return value[0], value[-1]
    text = value if isinstance(value, IPv4Address | IPv6Address) else scalar(value, "203.0.113.8-203.0.113.15")
    low, dash, high = str(text).partition("-")
    if not dash:
        return address_range(network(text)) if "/" in str(text) else (address(text), address(text))
    first, last = address(low.strip()), address(high.strip())
    if first.version != last.version:
        raise BadValueError(f"range from IPv{first.version} to IPv{last.version}", "write both ends in one family")
    if int(first) > int(last):
        raise BadValueError("address range is upside down", f"write {last}-{first}")
    return first, last


def endpoint(text: str, example: str) -> tuple[IPv4Address | IPv6Address, int | None]:
    """`address`, `address:port` or `[address]:port`; None when no port is written."""
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", text)
    if bracketed:
        return address(bracketed[1]), None if bracketed[2] is None else port(bracketed[2])
    if text.count(":") == 1:
        host, _, number = text.partition(":")
        return address(host), port(number)
    try:
        return address(text), None
    except BadValueError as bad:
        raise BadValueError(bad.what, f"write {example}") from None


def port(text: str) -> int:
    """A port number, 1 to 65535."""
    if not (text.isdecimal() and text.isascii() and len(text) <= 9):
        raise BadValueError("port is not a number", "write a port from 1 to 65535")
    if not 1 <= int(text) <= 65535:
        raise BadValueError("port out of range", "write a port from 1 to 65535")
    return int(text)


def ports(text: str) -> Ports:
    """`443` or `5000-5010`, both ends included."""
    low, dash, high = text.partition("-")
    first = port(low)
    last = port(high) if dash else first
    if first > last:
        raise BadValueError("port range is upside down", f"write {last}-{first}")
    return first, last


def protocol(text: str) -> int:
    """The IP protocol number of `tcp` or `udp`."""
    if text not in PROTOCOLS:
        raise BadValueError("unknown protocol", instead_of(text, PROTOCOLS))
    return PROTOCOLS[text]


def protocol_ports(text: str) -> tuple[int, Ports]:
    """`tcp/443` or `udp/5000-5010`."""
    name, slash, rest = text.partition("/")
    if not slash:
        bare = text.isdecimal() and text.isascii() and len(text) <= 5
        raise BadValueError("not a protocol and port", f"write tcp/{text} or udp/{text}" if bare else "write one such as tcp/443")
    return protocol(name), ports(rest)


def _bare(text: str) -> str:
    try:
        return str(ip_interface(text).ip)
    except ValueError:
        return "one such as 192.168.10.1"


def _not_an_address(text: str, wanted: str) -> BadValueError:
    if octets := re.fullmatch(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})", text):
        for octet in octets.groups():
            if int(octet) > 255:
                return BadValueError(f"not an IPv4 address ({octet} > 255)", f"write {wanted}")
            if octet != str(int(octet)):
                meant = ".".join(str(int(each)) for each in octets.groups())
                return BadValueError(f"not an IPv4 address ({octet} has a leading zero)", f"write {meant}")
    return BadValueError("not an IP address", f"write {wanted}")


Address = Annotated[IPv4Address | IPv6Address, PlainValidator(address)]
Interface = Annotated[IPv4Interface | IPv6Interface, PlainValidator(interface)]
Network = Annotated[IPv4Network | IPv6Network, PlainValidator(network)]
Addresses = Annotated[AddressRange, PlainValidator(address_range)]
