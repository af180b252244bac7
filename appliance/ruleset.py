"""The compiled configuration: everything a decision looks up, as integers and tables. Built once per configuration, then only read.

(Only caches fill later: vectors of the policy's rules, tables of a service's living targets.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Network
from typing import NamedTuple

from appliance.balancer.maglev import SIZE
from appliance.balancer.services import Pool, PoolTarget
from appliance.collector import paused
from appliance.config.models import Config, Forward, Health, Masquerade, Service, Snat
from appliance.config.resolve import resolve
from appliance.nat.destination import Door, Doors, Place, forward_doors, service_doors
from appliance.nat.mapping import Statics, static_of
from appliance.nat.pool import SourcePool
from appliance.nat.source import Sources, let_in, source_pools
from appliance.objects.schedule import Calendar
from appliance.policy.facts import ICMP, ICMPV6, SELF, TCP, UDP, Reason
from appliance.policy.rules import Policy, Verdict
from appliance.ranges import Extent, Range, Ranges, holds, merged
from appliance.route import LINK_LOCAL, LINK_LOCAL_MASK, Entry, RouteTable
from ena_dev.errors import UsageError

DEFAULT_DENY = Verdict(False, "default deny", 0)


class CheckedTarget(NamedTuple):
    """One target of a service, for the health checker. `port` is where probes go, 0 for ICMP; without `health` it counts as up."""

    service: str
    target: str
    version: int
    address: int
    port: int
    health: Health | None


@dataclass(frozen=True, slots=True)
class Ruleset:
    """What one configuration means. `generation` counts configurations since the start."""

    generation: int
    zone_names: tuple[str, ...]
    """The zones by number; the last is `self`."""
    zone_of_nic: tuple[int, ...]
    """A zone number for each nic index."""
    local_addresses: Mapping[int, frozenset[int]]
    """By IP version: the nics' addresses and those of forwards and services. ARP and ND answer for them."""
    broadcasts: frozenset[int]
    """IPv4 broadcast addresses of connected networks."""
    outside: Mapping[int, Ranges]
    """By IP version: addresses that stand for others and belong to no nic. ARP and ND answer for them."""
    primary: Mapping[tuple[int, int], int]
    """(nic, version) -> the address that masqueraded flows leave under."""
    routes: RouteTable
    policy: Policy
    doors: Doors
    sources: Sources
    bound: Mapping[int, Ranges]
    """By IP version: addresses at which inside ends may have a port of their own."""
    statics: Statics
    probes: Mapping[tuple[int, int, int, int], Verdict]
    """(version, protocol, address, port or 0) of health checks -> their implied rule."""
    pools: tuple[Pool, ...]
    source_pools: tuple[SourcePool, ...]
    rules: tuple[Verdict, ...]
    """Every rule a decision can name, in the order in which they are asked."""
    reasons: tuple[str, ...] = tuple(reason.value for reason in Reason)
    checked: tuple[CheckedTarget, ...] = ()
    picks_up: bool = False
    """Whether there is a rule by which a TCP connection may begin in the middle."""
    liberal: bool = False
    """Whether all TCP may have any sequence numbers."""
    told: frozenset[str] = frozenset()
    """Drop reasons, beside those of rules, that senders are told about."""
    antispoof: tuple[str, ...] = ()
    """What each zone asks of sources: strict, loose or off."""
    drops_bogons: tuple[bool, ...] = ()
    """Whether a zone drops what the Internet can't have."""

    @property
    def self_zone(self) -> int:
        """The number of the zone `self`."""
        return len(self.zone_names) - 1

    def stands(self, version: int, address: int) -> bool:
        """Whether an address is the appliance's own, or stands for others by translation."""
        ours = address in self.local_addresses[version] or holds(self.outside[version], address)
        return ours or holds(self.statics.ranges(version, single=False), address)

    def targets(self) -> tuple[CheckedTarget, ...]:
        """Every target of every service."""
        return self.checked

    def zone(self, nic: int) -> int:
        """The zone number of a nic index or SELF."""
        return self.self_zone if nic == SELF else self.zone_of_nic[nic]


@paused()
def compile_ruleset(
    config: Config, generation: int, seed: bytes, table_size: int = SIZE, sets: Mapping[str, Extent] | None = None,
    instant: float | None = None,
) -> Ruleset:
    """Compile a checked configuration. The same `seed` (up to 64 bytes) spreads flows over targets in the same way.

    `table_size` is the prime size of balancer tables. `sets`: what is in the files of the objects that have one. `instant`: seconds
    since the epoch, by which schedules hold; None: as if each did. Raises UsageError for too long a seed.
    """
    written = config
    config = resolve(config if instant is None else Calendar(config).at(instant), sets)
    if len(seed) > 64:
        raise UsageError(f"a balancer's seed has at most 64 bytes, not {len(seed)}")
    zones = _zones(config)
    pools = {service.name: _pools(service, seed, table_size) for service in config.services.values()}
    doors = Doors(_doors(config, zones, pools))
    own = {(address.version, int(address.ip)) for nic in config.nics.values() for address in nic.address}
    local = own | doors.addresses()
    changing = [entry for entry in config.nat if not isinstance(entry, Forward)]
    static = {entry.name: static_of(entry, zones) for entry in changing if not isinstance(entry, Masquerade | Snat)}
    statics = Statics(tuple(static.values()), zones["any"], own)
    hides = source_pools(changing, blake2b(digest_size=16, key=seed, person=b"snat").digest())
    checked = tuple(_checked(config))
    return Ruleset(
        generation=generation,
        zone_names=(*config.zones, "self"),
        zone_of_nic=tuple(number for nic in config.nics for number in zones[config.zone_of(nic)]),
        local_addresses={version: frozenset(address for v, address in local if v == version) for version in (4, 6)},
        broadcasts=frozenset(_broadcasts(config)),
        primary=_primary(config),
        routes=RouteTable(_routes(config)),
        policy=Policy(config.policy, zones),
        doors=doors,
        sources=Sources(changing, zones, hides, static),
        statics=statics,
        bound=_bound(config, hides),
        probes=_probes(config, checked),
        pools=tuple(pool for by_version in pools.values() for pool in by_version.values()),
        source_pools=tuple(hides.values()),
        outside={version: _outside(version, hides.values(), statics) for version in (4, 6)},
        rules=tuple(_rules(written)),
        checked=checked,
        picks_up=any(rule.pickup and not rule.audit for rule in config.policy),
        liberal=config.exceptions.invalid == "pass",
        told=config.exceptions.told(),
        antispoof=tuple(zone.antispoof for zone in config.zones.values()),
        drops_bogons=tuple(zone.bogons == "drop" for zone in config.zones.values()),
    )


def _zones(config: Config) -> dict[str, frozenset[int]]:
    """The numbers of the zones that a word of the file means."""
    zones = {name: frozenset((number,)) for number, name in enumerate(config.zones)}
    return zones | {"any": frozenset(range(len(zones))), "self": frozenset((len(zones),))}


def _bound(config: Config, pools: Mapping[tuple[str, int], SourcePool]) -> dict[int, Ranges]:
    """The addresses that entries which bind hide sources behind."""
    found: dict[int, list[Range]] = {4: [], 6: []}
    primary = _primary(config)
    for entry in config.nat:
        if isinstance(entry, Snat) and entry.mapping == "endpoint-independent":
            for version in (4, 6):
                found[version] += pools[entry.name, version].ranges if (entry.name, version) in pools else ()
        elif isinstance(entry, Masquerade) and entry.mapping == "endpoint-independent":
            nics = (nic for name, zone in config.zones.items() if {name, "any"} & {*entry.to_zones} for nic in zone.nics)
            addresses = (primary.get((config.nic_index(nic), entry.family)) for nic in nics)
            found[entry.family] += [(address, address) for address in addresses if address is not None]
    return {version: merged(ranges) for version, ranges in found.items()}


def _outside(version: int, pools: Iterable[SourcePool], statics: Statics) -> Ranges:
    hiding = (addresses for pool in pools if pool.version == version for addresses in pool.ranges)
    return merged([*hiding, *statics.ranges(version, single=True)])


def _pools(service: Service, seed: bytes, size: int) -> dict[int, Pool]:
    pools = {}
    for version in (4, 6):
        given = (target for target in service.targets if target.address.version == version)
        targets = [PoolTarget(t.name, int(t.address), t.port, t.weight, t.role == "backup") for t in given]
        affinity = service.affinity.timeout if service.affinity is not None else None
        pools[version] = Pool(service.name, version, targets, seed, size, service.algorithm, affinity, service.slow_start is not None)
    return pools


def _doors(config: Config, zones: Mapping[str, frozenset[int]], pools: Mapping[str, Mapping[int, Pool]]) -> Iterator[tuple[Place, Door]]:
    own = {name: [(a.version, int(a.ip)) for nic in zone.nics for a in config.nics[nic].address] for name, zone in config.zones.items()}
    for service in config.services.values():
        yield from service_doors(service, frozenset().union(*(zones[word] for word in service.from_zones)), pools[service.name])
    for forward in config.nat:
        if isinstance(forward, Forward):
            (outer,) = zones[forward.zone]
            yield from forward_doors(forward, outer, (outer,), own[forward.zone])
    for forward in config.nat:
        if isinstance(forward, Forward) and forward.hairpin:  # after what is meant for those zones
            (outer,) = zones[forward.zone]
            yield from forward_doors(forward, outer, zones["any"] - {outer}, own[forward.zone])


def _routes(config: Config) -> Iterator[Entry]:
    """Connected networks before static routes before gateways: of equal prefixes, the nearer wins."""
    connected = []
    for index, nic in enumerate(config.nics.values()):
        connected += [Entry(a.version, int(a.network.network_address), a.network.prefixlen, index) for a in nic.address]
    yield from connected
    links = RouteTable(connected)
    indexes = config.nic_indexes()
    for route in config.routes:
        hop = links.lookup(route.via.version, int(route.via))
        if route.nic is not None or hop is not None:
            index = indexes[route.nic] if route.nic is not None else hop.nic if hop else 0
            yield Entry(route.to.version, int(route.to.network_address), route.to.prefixlen, index, int(route.via))
    for index, nic in enumerate(config.nics.values()):
        for gateway in nic.gateway:
            yield Entry(gateway.version, 0, 0, index, int(gateway))


def _broadcasts(config: Config) -> Iterator[int]:
    for nic in config.nics.values():
        for address in nic.address:
            if isinstance(address.network, IPv4Network) and address.network.prefixlen < 31:
                yield int(address.network.broadcast_address)


def _primary(config: Config) -> dict[tuple[int, int], int]:
    primary: dict[tuple[int, int], int] = {}
    for index, nic in enumerate(config.nics.values()):
        for address in nic.address:
            if address.version == 4 or int(address.ip) & LINK_LOCAL_MASK != LINK_LOCAL:
                primary.setdefault((index, address.version), int(address.ip))
    return primary


def _checked(config: Config) -> Iterator[CheckedTarget]:
    for service in config.services.values():
        for target in service.targets:
            health = service.health
            port = target.port if health is None else 0 if health.type == "icmp" else health.port or target.port
            yield CheckedTarget(service.name, target.name, target.address.version, int(target.address), port, health)


def _probes(config: Config, checked: Iterable[CheckedTarget]) -> dict[tuple[int, int, int, int], Verdict]:
    rules = ((target, target.health, _health_rule(config.services[target.service])) for target in checked)
    return {(t.version, protocol_of(health, t.version), t.address, t.port): rule for t, health, rule in rules if health is not None}


def protocol_of(health: Health, version: int) -> int:
    """The IP protocol of probes."""
    return {"udp": UDP, "icmp": ICMP if version == 4 else ICMPV6}.get(health.type, TCP)


def _health_rule(service: Service) -> Verdict:
    return Verdict(True, f"health {service.name}", service.line)


def _rules(config: Config) -> Iterator[Verdict]:
    yield from map(Verdict.of, config.policy)
    forwards = {Verdict(True, f"forward {entry.name}", entry.line): None for entry in config.nat if isinstance(entry, Forward)}
    yield from forwards  # one to an object may have become two
    for entry in config.nat:
        if isinstance(entry, Masquerade | Snat) and (rule := let_in(entry)) is not None:
            yield rule
    for service in config.services.values():
        yield Verdict(True, f"service {service.name}", service.line)
        if service.health is not None:
            yield _health_rule(service)
    yield DEFAULT_DENY
