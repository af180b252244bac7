"""Limits of rules, forwards and services: what the file says, told to the data thread; and what that refused for it, told to people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import structlog

from appliance.config.limits import Most, Protect, Rate
from appliance.config.models import Config, Forward
from appliance.flow.limits import SERVICES, LimitTable

log = structlog.get_logger("limits")

QUIET: Final = 10.0
"""Seconds between two lines about one limit."""


class Given(NamedTuple):
    """What the data thread is told of one limit: (flows, seconds) or flows, of all and of each source."""

    rate: tuple[int, float] | None
    rate_each: tuple[int, float] | None
    most: int | None
    most_each: int | None


def given(rates: tuple[Rate, ...], mosts: tuple[Most, ...]) -> Given:
    """The limits of a rule, a forward or a service as the data thread takes them."""
    rate = {each.per_source: (each.flows, each.seconds) for each in rates}
    most = {each.per_source: each.flows for each in mosts}
    return Given(rate.get(False), rate.get(True), most.get(False), most.get(True))


def _protected(config: Config) -> Iterator[tuple[str, str, Protect]]:
    """Who owns flows, what the rule is called that it implies, and what it takes of them."""
    for service in config.services.values():
        yield service.name, f"service {service.name}", service.protect
    for entry in config.nat:
        if isinstance(entry, Forward):
            yield f"forward {entry.name}", f"forward {entry.name}", entry.protect


class Limits:
    """The limits of one worker."""

    def __init__(self, table: LimitTable) -> None:
        self._table = table
        self._names: dict[int, str] = {}
        self._told: dict[int, tuple[int, float]] = {}

    def configure(self, config: Config, number: Callable[[str], int], number_of_service: Callable[[str], int]) -> None:
        """Hold flows to the limits of this configuration from now on. Rules and services too many to have a number have none."""
        found: dict[int, tuple[str, Given]] = {}
        for rule in config.policy:
            if rule.rate or rule.connections:
                found[number(rule.name)] = rule.name, given(rule.rate, rule.connections)
        for owner, rule_name, protect in _protected(config):
            if protect.new_flows or protect.connections:
                found[SERVICES + number_of_service(owner)] = rule_name, given(protect.new_flows, protect.connections)
        for nobody in (0, SERVICES):
            found.pop(nobody, None)
        self._names = {place: name for place, (name, _) in found.items()}
        self._table.configure({place: limits for place, (_, limits) in found.items()})

    def counts(self) -> dict[str, tuple[int, int]]:
        """(flows refused, connections) by rule, or by the rule that a forward or a service implies."""
        return {self._names[number]: counts for number, counts in self._table.counts().items()}

    def look(self, now: float) -> None:
        """Log what was refused since the last line about each limit, now and then."""
        for number, (refused, connections) in self._table.counts().items():
            before, at = self._told.get(number, (0, now - QUIET))
            if refused > before and now - at >= QUIET:
                self._told[number] = refused, now
                rule = self._names[number]
                log.warning("over limit: new flows are refused", rule=rule, refused=refused - before, connections=connections)
