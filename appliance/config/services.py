"""Models of balanced services: where they listen, and who answers. How targets are checked: `health.py`."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, PlainValidator, model_validator

from appliance.config.addresses import Address, endpoint, protocol
from appliance.config.errors import BadValueError, quoted
from appliance.config.health import Health
from appliance.config.limits import Protect
from appliance.config.section import Section
from appliance.config.timeouts import OwnTimeouts
from appliance.config.values import Name, OneOrMore, Percent, Segment, Some, Switch, ZoneWords, duration, only, scalar, whole

ALGORITHMS: Final = ("maglev", "round-robin", "least-conn", "random-2")


def _half_of_endpoint(index: int) -> PlainValidator:
    """`address: 10.0.1.11:8443` fills two attributes; each takes its half."""

    def read(value: object) -> Any:
        if isinstance(value, IPv4Address | IPv6Address | int):
            return value
        text = scalar(value, "10.0.1.11:8443")
        pair = endpoint(text, "an address with a port, such as 10.0.1.11:8443")
        if pair[index] is None:
            raise BadValueError("port is missing", f"write {_with_port(pair[0], '8443')}, with the port of your server")
        return pair[index]

    return PlainValidator(read)


def _with_port(address: IPv4Address | IPv6Address, port: str, end: str = "") -> str:
    return f"{address}:{port}{end}" if address.version == 4 else f'"[{address}]:{port}{end}"'


class Listen(Section):
    """One virtual address of a service: `203.0.113.10:443/tcp`, or the three as a mapping."""

    address: Address
    port: Annotated[int, whole(1, 65535)]
    protocol: Annotated[int, PlainValidator(lambda value: value if isinstance(value, int) else protocol(scalar(value, "tcp")))]

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if isinstance(value, dict | Listen):
            return value
        text = scalar(value, "203.0.113.10:443/tcp")
        where, slash, name = text.rpartition("/")
        if not slash:
            raise BadValueError("protocol is missing", f"add it at the end: {quoted(text + '/tcp')} or {quoted(text + '/udp')}")
        address, port = endpoint(where, "an address, port and protocol, such as 203.0.113.10:443/tcp")
        if port is None:
            raise BadValueError("port is missing", f"write {_with_port(address, '443', '/' + name)}, with the port of your service")
        return {"address": address, "port": port, "protocol": protocol(name)}


class Target(Section):
    """One real server. `weight` is its share of new flows; 0 drains: it keeps its flows and gets no new ones."""

    name: Name
    address: Annotated[IPv4Address | IPv6Address, _half_of_endpoint(0)]
    port: Annotated[int, _half_of_endpoint(1)] = Field(validation_alias="address")
    weight: Annotated[int, whole(0, 100)] = 1
    role: Annotated[Literal["main", "backup"], only("main", "backup")] = "main"
    """A backup takes new flows while no other target is up."""


class Affinity(Section):
    """A client gets the same target again, by its address, for so long after its last new flow."""

    by: Annotated[Literal["source"], only("source")] = "source"
    timeout: Annotated[float, duration("1s", "30d")]


class Drain(Section):
    """How a target leaves when it is told to: flows that are left after `timeout` end. 0s: at once."""

    timeout: Annotated[float, duration("0s", "30d")]


class Passive(Section):
    """What is seen of a target's flows counts, too: it is ejected when within `within` at least `failures` new connections failed, and no
    fewer than were answered."""

    failures: Annotated[int, whole(1, 10000)] = 5
    within: Annotated[float, duration("2s", "10m")] = 10.0
    eject_for: Annotated[float, duration("1s", "1d")] = 30.0
    """How long the first ejection lasts; each one more in a row, that much longer."""
    max_ejected: Percent = 0.5
    """Of the targets of one IP version no more are ejected at once."""


class Service(Section):
    """One balanced service. Without `health` its targets always count as up."""

    from_loader: ClassVar[frozenset[str]] = frozenset({"name", "line"})

    name: Name
    line: int = 0
    listen: Annotated[tuple[Listen, ...], OneOrMore]
    from_zones: ZoneWords = Field(("any",), validation_alias="from")
    algorithm: Annotated[Literal["maglev", "round-robin", "least-conn", "random-2"], only(*ALGORITHMS)] = "maglev"
    affinity: Affinity | None = None
    targets: Annotated[tuple[Target, ...], Some]
    health: Health | None = None
    client_ip: Annotated[Literal["preserve", "translate", "proxy-v2"], only("preserve", "translate", "proxy-v2")] = "preserve"
    """What targets see as their client. preserve: its own address. translate: the appliance's. proxy-v2: the same, and before the client's
    first byte a header of the PROXY protocol, which says who it is."""
    masquerade: Switch = False
    """Another word for `client-ip: translate`."""
    hairpin: Switch = True
    lost_flows: Annotated[Literal["reset", "keep", "rebalance"], only("reset", "keep", "rebalance")] = "reset"
    """What becomes of the flows of a target that health checks find down. reset: they end, and TCP's ends are told. keep: they stay.
    rebalance: they end, and the next packet may begin one to another target."""
    slow_start: Annotated[float, duration("1s", "1h")] | None = None
    """How long the share of a target that comes back takes to grow to all of its weight."""
    passive: Passive | None = None
    drain: Drain | None = None
    """Without it, a target that is told to leave keeps its flows as long as they last."""
    timeouts: OwnTimeouts = OwnTimeouts()
    mss_clamp: Segment = 0
    protect: Protect = Protect()

    @property
    def hides_client(self) -> bool:
        """Whether targets see the appliance's address."""
        return self.masquerade or self.client_ip != "preserve"
