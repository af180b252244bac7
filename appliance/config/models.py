"""What an operator may write: the whole file as one frozen `Config`.

    nics, zones, routes, limits, host, control               here
    objects, ports                                           objects.py
    schedules                                                schedules.py
    policy                                                   rules.py
    nat                                                      nat.py
    services                                                 services.py
    timeouts                                                 timeouts.py
    exceptions                                               exceptions.py
    words of allow, deny and reject                          words.py
    notations of single values                               values.py, addresses.py

Each model checks its own values, whether it is built from a file or from Python. What relates several parts (unknown
zones, unreachable gateways, clashes) is `checks.py`. Durations are seconds, shares fractions of 1.
`line` is the 1-based line in the file, 0 for what Python code built.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv6Interface
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PlainValidator

from appliance.config.addresses import Address, Interface, Network
from appliance.config.errors import Mistake
from appliance.config.exceptions import Exceptions
from appliance.config.health import Health
from appliance.config.nat import Forward, Masquerade, Netmap, Nptv6, OneToOne, Snat, Translation
from appliance.config.objects import Object, Ports
from appliance.config.rules import Rule
from appliance.config.schedules import Schedule
from appliance.config.section import Section
from appliance.config.services import Listen, Service, Target
from appliance.config.source import Place
from appliance.config.timeouts import Timeouts
from appliance.config.values import (
    InterfaceName,
    Mac,
    Name,
    NicName,
    OneOrMore,
    Percent,
    Segment,
    Switch,
    duration,
    mac_of,
    only,
    size,
    socket_path,
    whole,
)
from appliance.config.words import ServiceMatch

__all__ = [
    "Config", "Control", "Faults", "Forward", "Health", "Host", "Limits", "Listen", "Masquerade", "Netmap", "Nic", "Nptv6", "OneToOne",
    "Route", "Rule", "Section", "Service", "ServiceMatch", "Snat", "Target", "Timeouts", "Zone",
]  # fmt: skip

MAX_NICS = 64
LEAST_FLOWS, MOST_FLOWS = 1024, 4_000_000


class Faults(Section):
    """Seeded misbehaviour of a card. Shares of frames from 0 to 1, times in seconds."""

    seed: Annotated[int, whole(0, 2**63 - 1)] = 0
    loss: Percent = 0.0
    duplicate: Percent = 0.0
    delay: Annotated[float, duration("0ms", "10s")] = 0.0
    jitter: Annotated[float, duration("0ms", "10s")] = 0.0
    reorder: Percent = 0.0


class Nic(Section):
    """One card with its far side: a Linux TAP, or the card of a virtual machine at the socket `vfio_user`.

    Without addresses it needs an `uplink`, whose addresses and gateways it adopts at start.
    """

    from_loader: ClassVar[frozenset[str]] = frozenset({"name", "line"})

    name: NicName
    line: int = 0
    tap: InterfaceName = Field(default_factory=lambda fields: fields["name"])
    address: Annotated[tuple[Interface, ...], OneOrMore] = ()
    gateway: Annotated[tuple[Address, ...], OneOrMore] = ()
    mac: Mac = Field(default_factory=lambda fields: mac_of(fields["name"]))
    mtu: Annotated[int, whole(576, 9216)] = 1500
    mss_clamp: Segment = 0
    queues: Annotated[int, whole(1, 32)] = 1
    offloads: Switch = True
    uplink: InterfaceName | None = None
    vfio_user: Annotated[str, socket_path("/run/vms/vm.sock")] | None = None
    guest_mac: Mac = Field(default_factory=lambda fields: mac_of(f"{fields['name']} guest"))
    faults: Faults | None = None

    def addresses(self, version: Literal[4, 6]) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """The addresses of one family, the primary one first."""
        return tuple(address for address in self.address if address.version == version)


class Zone(Section):
    """A group of nics that policy treats alike.

    `antispoof`: whether the way back to a source has to lead where it came from (strict), or anywhere (loose). `bogons`: whether packets
    may come from, or go to, special-purpose addresses there that no network or route of the file has.
    """

    from_loader: ClassVar[frozenset[str]] = frozenset({"name", "line"})

    name: Name
    line: int = 0
    nics: Annotated[tuple[NicName, ...], OneOrMore]
    antispoof: Annotated[Literal["strict", "loose", "off"], only("strict", "loose", "off")] = "strict"
    bogons: Annotated[Literal["allow", "drop"], only("allow", "drop")] = "allow"


class Route(Section):
    """A static route; the gateway's nic follows from `via`, or is named when `via` is link-local."""

    from_loader: ClassVar[frozenset[str]] = frozenset({"line"})

    line: int = 0
    to: Network
    via: Address
    nic: NicName | None = None


class Limits(Section):
    """Bounds of memory: the size of the flow table, either in entries (`flows`) or in bytes (`memory`)."""

    flows: Annotated[int, whole(LEAST_FLOWS, MOST_FLOWS)] = 200_000
    memory: Annotated[int, PlainValidator(size)] | None = None


class Host(Section):
    """How the appliance meets the Linux stack of its own namespace."""

    tun: InterfaceName = "softena"


class Control(Section):
    """Where the running appliance answers `softena status` and its like."""

    socket: Annotated[str, socket_path("/run/softena/control.sock")] = "/run/softena/control.sock"


class Config(Section):
    """One file. Mappings keep the file's order: the index of a nic is its place in `nics`."""

    from_loader: ClassVar[frozenset[str]] = frozenset({"places", "warnings"})

    version: Annotated[Literal[1], whole(1, 1)] = 1
    nics: dict[str, Nic]
    zones: dict[str, Zone]
    routes: tuple[Route, ...] = ()
    objects: dict[str, Object] = Field(default_factory=dict)
    ports: dict[str, Ports] = Field(default_factory=dict)
    schedules: dict[str, Schedule] = Field(default_factory=dict)
    policy: tuple[Rule, ...] = ()
    nat: tuple[Translation, ...] = ()
    services: dict[str, Service] = Field(default_factory=dict)
    timeouts: Timeouts = Timeouts()
    exceptions: Exceptions = Exceptions()
    limits: Limits = Limits()
    host: Host = Host()
    control: Control = Control()
    warnings: tuple[Mistake, ...] = ()
    places: Mapping[tuple[str, ...], Place] = Field(default_factory=dict)
    """Where keys are that only the running appliance can object to: at most three names down."""

    def place(self, *path: str) -> Place:
        """Where a key is in the file, or the nearest one around it; for what Python code built, its beginning."""
        known = (path[:depth] for depth in range(len(path), 0, -1))
        return next((self.places[each] for each in known if each in self.places), Place(1, 1))

    def nic_index(self, name: str) -> int:
        """The place of a nic in the file, from 0. Raises KeyError for an unknown name."""
        return self.nic_indexes()[name]

    def nic_indexes(self) -> Mapping[str, int]:
        """Each nic's place in the file, from 0."""
        return {name: index for index, name in enumerate(self.nics)}

    def zone_of(self, nic: str) -> str:
        """The zone that holds a nic. Raises KeyError if none does."""
        return self.zones_of_nics()[nic]

    def zones_of_nics(self) -> Mapping[str, str]:
        """Each nic's zone."""
        return {nic: zone.name for zone in self.zones.values() for nic in zone.nics}
