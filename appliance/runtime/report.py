"""What the running appliance shows of itself: plain dictionaries for the control socket. Reads only."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from appliance.config.limits import Protect
from appliance.config.models import Config, Forward, Listen, Target
from appliance.config.nat import Translation
from appliance.flow.program import Worker
from appliance.flow.records import FlowView
from appliance.flow.table import bytes_of
from appliance.policy.facts import SELF, TCP
from appliance.ranges import Ranges, merged, network_range
from appliance.ruleset import Ruleset
from appliance.runtime.cards import Card
from appliance.runtime.circumstances import Circumstances
from appliance.runtime.decider import Decider
from appliance.runtime.ejections import Ejections
from appliance.runtime.guest import Guest
from appliance.runtime.health import HealthChecker
from appliance.runtime.limits import Limits
from appliance.runtime.neighbours import Neighbourhood
from appliance.runtime.targets import Targets
from ena_dev.abi.admin import Direction
from ena_dev.driver import ethtool as views
from ena_dev.errors import UsageError

PORTLESS = (1, 58)
MOST_ANNOUNCED = 256
"""Addresses of pools that a nic's link is told of, without being asked."""
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}


class Running(Protocol):
    """What there is to show: the parts of an appliance that has started."""

    path: Path
    started: float
    config: Config
    ruleset: Ruleset
    worker: Worker
    decider: Decider
    health: HealthChecker
    limits: Limits
    targets: Targets
    ejections: Ejections
    cards: list[Card]
    guests: dict[str, Guest]
    circumstances: Circumstances
    neighbourhoods: dict[int, Neighbourhood]
    host: int


def address(family: int, value: int) -> str:
    """An address as people write it."""
    return str(IPv4Address(value) if family == 4 else IPv6Address(value))


def answered(config: Config, ruleset: Ruleset, index: int) -> Iterator[IPv4Address | IPv6Address]:
    """The addresses that one nic answers ARP and ND for: its own, and those of services and forwards within its networks."""
    nics = list(config.nics.values())
    own = {interface.ip for interface in nics[index].address}
    others = {interface.ip for nic in nics for interface in nic.address} - own
    yield from own
    for family, values in ruleset.local_addresses.items():
        for value in values:
            local = ip_address(address(family, value))
            if local not in own and local not in others and any(local in interface.network for interface in nics[index].address):
                yield local
    for family, ranges in stood_for(config, ruleset, index).items():
        few = islice((value for first, last in ranges for value in range(first, last + 1)), MOST_ANNOUNCED)
        yield from (ip_address(address(family, value)) for value in few)


def stood_for(config: Config, ruleset: Ruleset, index: int) -> dict[int, Ranges]:
    """By IP version, the addresses in one nic's networks that stand for others by translation: it answers ARP and ND for them, too."""
    found: dict[int, Ranges] = {}
    nets = [interface.network for interface in list(config.nics.values())[index].address if not interface.ip.is_link_local]
    for family, ranges in ruleset.outside.items():
        on_link = [network_range(net) for net in nets if net.version == family]
        both = [(max(a, c), min(b, d)) for a, b in ranges for c, d in on_link]
        # A prefix around the link's own is routed to us, and holds the neighbours.
        both += [(a, b) for a, b in ruleset.statics.ranges(family, single=False) for c, d in on_link if c <= a and b <= d and b - a < d - c]
        found[family] = merged((first, last) for first, last in both if first <= last)
    return found


def _software_version() -> str:
    try:
        return version("softena")
    except PackageNotFoundError:
        return "unknown"


SOFTWARE_VERSION = _software_version()
"""The installed version: read while everything can still be read."""


def status(appliance: Running, now: float) -> dict[str, Any]:
    """Everything at a glance, as it is at `now`."""
    counters = appliance.worker.counters()
    return {
        "version": SOFTWARE_VERSION,
        "config": str(appliance.path),
        "generation": appliance.ruleset.generation,
        "since": appliance.started,
        "uptime": time.time() - appliance.started,
        "nics": [_nic(appliance, card) for card in appliance.cards],
        "services": [_service(appliance, name) for name in appliance.config.services],
        "forwards": [_forward(appliance, entry) for entry in appliance.config.nat if isinstance(entry, Forward)],
        "flows": _flows(appliance),
        "totals": {name: value for name, value in counters.items() if not name.startswith("drop:")},
        "drops": {name.removeprefix("drop:"): value for name, value in counters.items() if name.startswith("drop:") and value},
        "decisions-failed": appliance.decider.failures,
        "handed-over": _handed_over(appliance),
        "unanswered": dict(appliance.decider.punts.unanswered),
        "nat-exhausted": appliance.decider.exhaustion.rows(now),
        "bindings": len(appliance.decider.view.bindings),
        "rules": _rules(appliance, now),
        "nat": [_nat(appliance, entry, now) for entry in appliance.config.nat],
        "sets": appliance.circumstances.sets.status(),
        "neighbours": [
            {"nic": appliance.cards[index].name, **entry}
            for index, neighbourhood in appliance.neighbourhoods.items()
            for entry in neighbourhood.entries()
        ],
    }


def _flows(appliance: Running) -> dict[str, int]:
    """Flows by class, the bounds of the table, and how many bytes it takes at most."""
    usage = appliance.worker.usage()
    return {**usage, "limit-bytes": bytes_of(usage["limit"])}


def _nic(appliance: Running, card: Card) -> dict[str, Any]:
    totals: dict[str, int] = {}
    for pair in card.adapter.pairs:
        for name, value in pair.statistics().items():
            totals[name] = totals.get(name, 0) + value
    nic, guest = appliance.config.nics.get(card.name), appliance.guests.get(card.name)
    return {
        "name": card.name,
        "tap": "" if guest else card.interface,
        "guest": guest.status() if guest else None,
        "zone": appliance.ruleset.zone_names[appliance.ruleset.zone(SELF if card.index == appliance.host else card.index)],
        "mac": card.mac.hex(":"),
        "addresses": [str(interface) for interface in nic.address] if nic else [],
        "mtu": card.mtu,
        "queues": len(card.adapter.pairs),
        "link": card.adapter.link_up,
        "resets": len(card.device.resets) - 1,
        "rx": {"packets": totals.get("rx_cnt", 0), "bytes": totals.get("rx_bytes", 0)},
        "tx": {"packets": totals.get("tx_cnt", 0), "bytes": totals.get("tx_bytes", 0)},
        "counters": totals,
        "drops": _card_drops(card),
    }


def _card_drops(card: Card) -> dict[str, int]:
    """What a card has dropped in both directions, by reason."""
    found: Counter[str] = Counter()
    for direction in Direction:
        counted = card.engine.counters(direction)
        found.update({f"card-{name.removeprefix('drop_').replace('_', '-')}": n for name, n in counted.items() if name.startswith("drop_")})
    return {name: count for name, count in found.items() if count}


def _handed_over(appliance: Running) -> dict[str, Any]:
    """What became of the frames that the compiled path has handed over; the rest of them, and packets of our own, were dropped."""
    punts, lost = appliance.decider.punts, sum(neighbourhood.lost for neighbourhood in appliance.neighbourhoods.values())
    return {"handled": punts.handled, "drops": dict(punts.drops + Counter({"no-neighbour": lost}))}


def _service(appliance: Running, name: str) -> dict[str, Any]:
    service = appliance.config.services[name]
    return {
        "name": name,
        "listen": [_listen(listen) for listen in service.listen],
        "syn-cookies": _cookies(appliance, name, service.protect),
        "targets": [_target(appliance, name, each) for each in service.targets],
    }


def _forward(appliance: Running, forward: Forward) -> dict[str, Any]:
    """A port forward; only TCP has cookies."""
    cookies = _cookies(appliance, f"forward {forward.name}", forward.protect) if forward.protocol == TCP else None
    return {"name": forward.name, "line": forward.line, "syn-cookies": cookies}


def _cookies(appliance: Running, owner: str, protect: Protect) -> dict[str, Any]:
    """SYN cookies of a service or a forward since the start, and whether new clients get them now."""
    (sent, accepted, refused), opening, pressed = appliance.worker.service_cookies(appliance.decider.services.number(owner))
    mode = protect.syn_cookies
    pressed = pressed and mode == "under-pressure"
    return {"mode": mode, "under-pressure": pressed, "half-open": opening, "sent": sent, "accepted": accepted, "refused": refused}


def target(appliance: Running, service: str, name: str) -> dict[str, Any]:
    """One target of a service. StopIteration or KeyError: there is none."""
    return _target(appliance, service, next(each for each in appliance.config.services[service].targets if each.name == name))


def _target(appliance: Running, service: str, found: Target) -> dict[str, Any]:
    name = found.name
    life = appliance.targets.life(service, name)
    return {
        "name": name,
        "address": str(found.address),
        "port": found.port,
        "weight": found.weight,
        "state": appliance.health.state(service, name),
        "phase": life.state.value,
        "up": appliance.health.up(service, name),
        "share": appliance.targets.share(service, name),
        "flows": appliance.targets.flows(service, name),
        "deadline": None if life.deadline is None else time.time() + life.deadline - appliance.targets.now(),
        **appliance.ejections.shown(service, name),
    }


def _listen(listen: Listen) -> str:
    where = f"[{listen.address}]" if listen.address.version == 6 else str(listen.address)
    return f"{where}:{listen.port}/{PROTOCOLS[listen.protocol]}"


def _rules(appliance: Running, now: float) -> list[dict[str, Any]]:
    counted, limited = appliance.worker.rule_counters(), appliance.limits.counts()
    rows, idle = [], appliance.circumstances.idle()
    for rule in appliance.ruleset.rules:
        number = appliance.decider.rules.number(rule.name)
        packets, octets, flows = counted.get(number, (0, 0, 0))
        over_limit, connections = limited.get(rule.name, (None, None))
        rows.append({
            "name": rule.name, "line": rule.line, "allow": rule.allow, "verdict": rule.word, "audit": rule.audit,
            "applies": rule.name not in idle,
            "packets": packets, "bytes": octets, "flows": flows, "idle": now - appliance.worker.rule_last(number) if packets else None,
            "over-limit": over_limit, "connections": connections,
        })  # fmt: skip
    return rows


def _nat(appliance: Running, entry: Translation, now: float) -> dict[str, Any]:
    """An entry of `nat`, and how many flows it has translated since the start."""
    count, last = appliance.worker.nat_flows(appliance.decider.nat.number(entry.name))
    return {"name": entry.name, "line": entry.line, "kind": entry.kind, "flows": count, "idle": now - last if count else None}


def flows(appliance: Running, limit: int, cursor: int, now: float) -> dict[str, Any]:
    """At most `limit` flows from a cursor as they are at `now`, and the next cursor: 0 after the last."""
    found, following = appliance.worker.read(cursor, max(1, min(limit, 4096)))
    lines = {rule.name: rule.line for rule in appliance.ruleset.rules}
    return {"flows": [_flow(appliance, flow, lines, now) for flow in found], "next": following}


def _flow(appliance: Running, flow: FlowView, lines: Mapping[str, int], now: float) -> dict[str, Any]:
    names, services = appliance.decider.rules.names, appliance.decider.services.names
    owner = services[flow.service]
    return {
        "id": flow.flow,
        "protocol": PROTOCOLS.get(flow.protocol, str(flow.protocol)),
        "state": flow.state,
        "in": _card_name(appliance, flow.nic_in),
        "out": _card_name(appliance, flow.nic_out),
        "original": _ends(flow, flow.original),
        "reply": _ends(flow, flow.reply) if flow.nic_out >= 0 else None,
        "rule": names[flow.rule],
        "line": lines.get(names[flow.rule], 0),
        "service": "" if owner.startswith("forward ") else owner,
        "forward": owner.removeprefix("forward ") if owner.startswith("forward ") else "",
        "target": services[flow.target].partition("/")[2],
        "generation": flow.generation,
        "packets": list(flow.packets),
        "bytes": list(flow.bytes),
        "age": now - flow.created,
        "idle": now - flow.last_seen,
        "expires": flow.expires - now,
        "reason": flow.reason,
    }


def _card_name(appliance: Running, index: int) -> str:
    return appliance.cards[index].name if 0 <= index < len(appliance.cards) else ""


def _ends(flow: FlowView, ends: tuple[int, int, int, int]) -> dict[str, Any]:
    source, destination, sport, dport = ends
    return {"source": address(flow.version, source), "destination": address(flow.version, destination), "sport": sport, "dport": dport}


def ethtool(appliance: Running, nic: str, kind: str) -> dict[str, Any]:
    """One view of one card. Raises UsageError for an unknown nic or kind."""
    for card in appliance.cards:
        if nic in (card.name, card.interface):
            data = views.view(kind, card.adapter, card.interface)
            return {"text": views.render(kind, data), "data": data}
    raise UsageError(f"no nic is called {nic}; there are {', '.join(card.name for card in appliance.cards)}")
