"""Warnings about timeouts that end flows which their hosts still count on, by what the RFCs ask of translators and firewalls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from appliance.config.finding import Finding
from appliance.config.models import Config, Forward, Rule, Service
from appliance.config.places import Path
from appliance.config.section import dashed
from appliance.config.timeouts import OwnTimeouts, Timeouts
from appliance.config.words import UDP, ServiceMatch

PROFILES: Final = 254
"""How many different timeouts the rules, forwards and services of a file may have."""

WELL_KNOWN: Final = 1023
"""The last port whose UDP flows may end sooner: RFC 4787, REQ-5 a."""


class Least(NamedTuple):
    """The shortest a timer should be."""

    seconds: float
    text: str
    source: str


LEAST: Final = {
    "tcp_established": Least(7440.0, "2h4m", "RFC 5382, REQ-5"),
    "tcp_closing": Least(240.0, "4m", "RFC 5382, REQ-5"),
    "udp": Least(120.0, "2m", "RFC 4787, REQ-5"),
    "udp_replied": Least(120.0, "2m", "RFC 4787, REQ-5"),
    "icmp": Least(60.0, "60s", "RFC 5508, REQ-2"),
}
"""A connection that is only half open may end sooner (RFC 7857, 2.1), and so may DNS."""


def check(config: Config) -> Iterator[Finding]:
    """Findings about the timeouts of the file, and about each rule's, forward's and service's own."""
    yield from _short(("timeouts",), config.timeouts, ())
    for index, rule in enumerate(config.policy):
        if rule.timeouts.model_fields_set:  # of ten thousand rules a few have their own
            yield from _short(("policy", index, "timeouts"), rule.timeouts, _well_known(rule.services))
    for index, entry in enumerate(config.nat):
        if isinstance(entry, Forward):
            yield from _short(("nat", index, "timeouts"), entry.timeouts, _well_known([ServiceMatch(entry.protocol, entry.ports)]))
    for service in config.services.values():
        ports = [ServiceMatch(listen.protocol, (listen.port, listen.port)) for listen in service.listen]
        yield from _short(("services", service.name, "timeouts"), service.timeouts, _well_known(ports))
    yield from _too_many(config)


def _short(path: Path, timeouts: Timeouts | OwnTimeouts, exempt: Iterable[str]) -> Iterator[Finding]:
    """A connection may end as soon as its owner likes, if both ends are told."""
    if timeouts.on_expiry == "reset":
        exempt = (*exempt, "tcp_established")
    for key, least in LEAST.items():
        seconds = getattr(timeouts, key)
        if key in timeouts.model_fields_set and seconds is not None and seconds < least.seconds and key not in exempt:
            hint = f"flows may end that are still in use: write {least.text} or more ({least.source})"
            yield Finding((*path, dashed(key)), "shorter than it should be", hint, warning=True)


def _well_known(services: Iterable[ServiceMatch]) -> tuple[str, ...]:
    """The timers that may be short since all UDP that is meant goes to well-known ports."""
    for service in services:
        if service.protocol is None or (service.protocol == UDP and (service.ports is None or service.ports[1] > WELL_KNOWN)):
            return ()
    return "udp", "udp_replied"


def _too_many(config: Config) -> Iterator[Finding]:
    owners: list[tuple[Path, Rule | Forward | Service]] = [(("policy", i), rule) for i, rule in enumerate(config.policy)]
    owners += [(("nat", i), entry) for i, entry in enumerate(config.nat) if isinstance(entry, Forward)]
    owners += [(("services", service.name), service) for service in config.services.values()]
    seen: set[tuple[object, ...]] = set()
    for path, own in owners:
        has_own = own.mss_clamp or own.timeouts.model_fields_set
        seen.add((own.mss_clamp, *own.timeouts.model_dump().values()) if has_own else ())
        if len(seen) > PROFILES:
            yield Finding((*path, "timeouts"), "too many different timeouts", f"use at most {PROFILES}, each as often as you like")
            return
