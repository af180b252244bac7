"""Models of address translation. First match wins, so order is meaning.

    masquerade     flows leave with the egress nic's own address
    snat           flows leave with addresses of a pool
    forward        ports of an outer address lead inside
    one-to-one     an inside address is an outside one, both ways
    netmap         the same for whole prefixes
    nptv6          the same so that no checksum changes (RFC 6296)
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator, ValidationInfo

from appliance.config.addresses import Address, Addresses, Network, Ports, endpoint, port, protocol_ports
from appliance.config.errors import BadValueError
from appliance.config.limits import Protect
from appliance.config.objects import NAME, ObjectName, Places, object_name
from appliance.config.section import Section
from appliance.config.timeouts import OwnTimeouts
from appliance.config.values import OneOrMore, Segment, Some, Switch, Title, ZoneWords, only, scalar

Mapping = Annotated[str, only("endpoint-independent", "address-and-port-dependent")]
"""Whether all flows of an inside address and port leave under one outside address and port. Source: RFC 4787, section 4.1."""
SourcePorts = Annotated[str, only("keep", "random")]
"""Whether a flow's source port stays, if nothing speaks against it. Source: RFC 4787, section 4.2; RFC 6056."""
Filtering = Annotated[str, only("endpoint-independent", "address-dependent", "address-and-port-dependent")]
"""Who may send to that: anybody, or addresses it has sent to, or only addresses and ports it has. Source: RFC 4787, section 5."""


def _family(value: object) -> Literal[4, 6]:
    families: dict[object, Literal[4, 6]] = {"v4": 4, "v6": 6, 4: 4, 6: 6}
    if value not in families:
        raise BadValueError("not an address family", "write v4 or v6")
    return families[value]


def _half_of_port(index: int) -> PlainValidator:
    """`port: tcp/443` fills two attributes; each takes its half."""

    def read(value: object) -> Any:
        return value if isinstance(value, int | tuple) else protocol_ports(scalar(value, "tcp/443"))[index]

    return PlainValidator(read)


def _half_of_target(index: int) -> PlainValidator:
    """`to: 192.168.10.20:443` fills two attributes; each takes its half. In place of the address an object may stand: `nas:443`."""

    def read(value: object, info: ValidationInfo) -> Any:
        if isinstance(value, IPv4Address | IPv6Address | int | ObjectName):
            return value
        text = scalar(value, "192.168.10.20:443")
        name, colon, number = text.partition(":")
        if NAME.fullmatch(name) and ":" not in number:
            return (object_name(name, info), port(number) if colon else None)[index]
        return endpoint(text, "an address with a port, such as 192.168.10.20:443")[index]

    return PlainValidator(read)


class _Entry(Section):
    """What every one has."""

    from_loader: ClassVar[frozenset[str]] = frozenset({"kind", "name", "line"})

    name: Title
    line: int = 0


class _Hiding(_Entry):
    """Flows between these zones, of these sources if there are any, leave under another address."""

    from_zones: ZoneWords = Field(validation_alias="from")
    to_zones: ZoneWords = Field(validation_alias="to")
    source: Places = ()
    mapping: Mapping = "address-and-port-dependent"
    filtering: Filtering = "address-and-port-dependent"
    ports: SourcePorts = "keep"


class Masquerade(_Hiding):
    """They leave with the egress nic's first address of the family as their source."""

    kind: Literal["masquerade"] = "masquerade"
    family: Annotated[Literal[4, 6], PlainValidator(_family)] = 4


class Snat(_Hiding):
    """They leave with an address of `pool` of their family as their source: each inside address with its own one."""

    kind: Literal["snat"] = "snat"
    pool: Annotated[tuple[Addresses, ...], OneOrMore, Some]

    def size(self, version: int) -> int:
        """How many addresses of one family the pool has."""
        return sum(int(last) - int(first) + 1 for first, last in self.pool if first.version == version)


class Forward(_Entry):
    """What arrives in `zone` for these ports goes to `to_address`. Empty `addresses`: every address of the zone's nics of that family.

    `hairpin`: so does what arrives for them in other zones, and replies come back through the appliance.
    """

    kind: Literal["forward"] = "forward"
    zone: Annotated[str, PlainValidator(lambda value: scalar(value, "internet"))] = Field(validation_alias="on")
    protocol: Annotated[int, _half_of_port(0)] = Field(validation_alias="port")
    ports: Annotated[Ports, _half_of_port(1)] = Field(validation_alias="port")
    addresses: Annotated[tuple[Address, ...], OneOrMore, Some] = Field((), validation_alias="address")
    to_address: Annotated[IPv4Address | IPv6Address | ObjectName, _half_of_target(0)] = Field(validation_alias="to")
    to_port: Annotated[int | None, _half_of_target(1)] = Field(None, validation_alias="to")
    hairpin: Switch = True
    timeouts: OwnTimeouts = OwnTimeouts()
    mss_clamp: Segment = 0
    protect: Protect = Protect()

    @property
    def family(self) -> int:
        """4 or 6; 0 as long as an object says which."""
        return 0 if isinstance(self.to_address, ObjectName) else self.to_address.version

    @property
    def families(self) -> tuple[int, ...]:
        """Those that it may be about."""
        return (self.family,) if self.family else (4, 6)


class _Static(_Entry):
    """What is called `inside` in all other zones is called `outside` in `zone`. `hairpin`: they may be reached by that name, too."""

    zone: Annotated[str, PlainValidator(lambda value: scalar(value, "internet"))] = Field(validation_alias="on")
    hairpin: Switch = True


class OneToOne(_Static):
    """One address for another."""

    kind: Literal["one-to-one"] = "one-to-one"
    outside: Address
    inside: Address

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, IPv4Network | IPv6Network]:
        """Outside and inside."""
        return ip_network(self.outside), ip_network(self.inside)


class _Prefixes(_Static):
    """Prefixes of the same length."""

    outside: Network
    inside: Network

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, IPv4Network | IPv6Network]:
        """Outside and inside."""
        return self.outside, self.inside


class Netmap(_Prefixes):
    """Addresses of one prefix for those of another: the host's bits stay."""

    kind: Literal["netmap"] = "netmap"


class Nptv6(_Prefixes):
    """The same for IPv6, with one more word changed, so that no checksum is. Source: RFC 6296."""

    kind: Literal["nptv6"] = "nptv6"


NAT_KINDS: dict[str, type[Section]] = {
    "masquerade": Masquerade, "snat": Snat, "forward": Forward, "one-to-one": OneToOne, "netmap": Netmap, "nptv6": Nptv6,
}  # fmt: skip
"""The kinds of translation by the word that the file has for each."""

Translation = Annotated[Masquerade | Snat | Forward | OneToOne | Netmap | Nptv6, Field(discriminator="kind")]
