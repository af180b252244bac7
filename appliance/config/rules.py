"""Models of the ordered parts: policy rules and address translation. First match wins, so order is meaning."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, Field, PlainValidator, TypeAdapter

from appliance.config.addresses import Address, Network, Ports, endpoint, protocol_ports
from appliance.config.errors import BadValueError
from appliance.config.section import Section
from appliance.config.values import OneOrMore, Some, Switch, Title, ZoneWords, one_or_more, scalar
from appliance.config.words import ANY, ServiceMatch, service_matches

_WORD_LIST: TypeAdapter[tuple[tuple[ServiceMatch, ...], ...]] = TypeAdapter(
    tuple[Annotated[tuple[ServiceMatch, ...], PlainValidator(service_matches)], ...]
)


VERDICTS = ("allow", "deny", "reject")
"""A rule has one of these keys. `reject` denies, and tells the sender."""


def _services(value: object) -> tuple[ServiceMatch, ...]:
    if isinstance(value, str):
        return service_matches(value)
    words = _WORD_LIST.validate_python(one_or_more(value))
    return tuple(dict.fromkeys(match for word in words for match in word))


def _family(value: object) -> Literal[4, 6]:
    families: dict[object, Literal[4, 6]] = {"v4": 4, "v6": 6, 4: 4, 6: 6}
    if value not in families:
        raise BadValueError("not an address family", "write v4 or v6")
    return families[value]


def _verdict(value: object) -> Any:
    if value not in VERDICTS:
        raise BadValueError("not a verdict", "write allow, deny or reject")
    return value


def _half_of_port(index: int) -> PlainValidator:
    """`port: tcp/443` fills two attributes; each takes its half."""

    def read(value: object) -> Any:
        return value if isinstance(value, int | tuple) else protocol_ports(scalar(value, "tcp/443"))[index]

    return PlainValidator(read)


def _half_of_target(index: int) -> PlainValidator:
    """`to: 192.168.10.20:443` fills two attributes; each takes its half."""

    def read(value: object) -> Any:
        if isinstance(value, IPv4Address | IPv6Address | int):
            return value
        return endpoint(scalar(value, "192.168.10.20:443"), "an address with a port, such as 192.168.10.20:443")[index]

    return PlainValidator(read)


class Rule(Section):
    """One rule of the policy. Empty `source` or `destination` means every address; `any` in a zone list every nic's zone, never `self`.

    `audit`: it counts and logs what it would decide, and the next rule decides. `liberal`: TCP may have any sequence numbers, as where its
    other half goes another way. `pickup`: a TCP connection may begin in the middle.
    """

    from_loader: ClassVar[frozenset[str]] = frozenset({"name", "line", "verdict"})

    name: Title
    line: int = 0
    from_zones: ZoneWords = Field(("any",), validation_alias="from")
    to_zones: ZoneWords = Field(("any",), validation_alias="to")
    source: Annotated[tuple[Network, ...], OneOrMore] = ()
    destination: Annotated[tuple[Network, ...], OneOrMore] = ()
    verdict: Annotated[Literal["allow", "deny", "reject"], PlainValidator(_verdict)]
    audit: Switch = False
    liberal: Switch = False
    pickup: Switch = False
    services: Annotated[tuple[ServiceMatch, ...], PlainValidator(_services)] = Field(
        (ANY,), validation_alias=AliasChoices(*VERDICTS)
    )


class Masquerade(Section):
    """Flows between these zones leave with the egress nic's first address of the family as their source."""

    from_loader: ClassVar[frozenset[str]] = frozenset({"kind", "name", "line"})

    kind: Literal["masquerade"] = "masquerade"
    name: Title
    line: int = 0
    from_zones: ZoneWords = Field(validation_alias="from")
    to_zones: ZoneWords = Field(validation_alias="to")
    family: Annotated[Literal[4, 6], PlainValidator(_family)] = 4
    source: Annotated[tuple[Network, ...], OneOrMore] = ()


class Forward(Section):
    """What arrives in `zone` for these ports goes to `to_address`. Empty `addresses`: every address of the zone's nics of that family."""

    from_loader: ClassVar[frozenset[str]] = frozenset({"kind", "name", "line"})

    kind: Literal["forward"] = "forward"
    name: Title
    line: int = 0
    zone: Annotated[str, PlainValidator(lambda value: scalar(value, "internet"))] = Field(validation_alias="on")
    protocol: Annotated[int, _half_of_port(0)] = Field(validation_alias="port")
    ports: Annotated[Ports, _half_of_port(1)] = Field(validation_alias="port")
    addresses: Annotated[tuple[Address, ...], OneOrMore, Some] = Field((), validation_alias="address")
    to_address: Annotated[IPv4Address | IPv6Address, _half_of_target(0)] = Field(validation_alias="to")
    to_port: Annotated[int | None, _half_of_target(1)] = Field(None, validation_alias="to")

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.to_address.version
