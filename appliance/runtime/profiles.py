"""How flows are kept, by the rule that lets them through: the file's timeouts and each rule's, forward's and service's own.

A flow belongs to the rule that `softena flows` shows. Profiles follow the rules' numbers, not the flows: a reload that changes a rule's
timeouts changes them for the flows that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from appliance.config.models import Config, Forward
from appliance.config.section import dashed
from appliance.config.timeouts import TIMERS, OwnTimeouts, Timeouts
from appliance.flow.records import Profile


def profile(timeouts: Timeouts) -> Profile:
    """What the compiled path is told."""
    seconds = tuple((dashed(name), getattr(timeouts, name)) for name in TIMERS)
    return Profile(seconds, timeouts.on_expiry == "reset", timeouts.refresh == "both")


def profiles(config: Config, number: Callable[[str], int]) -> tuple[Profile, dict[int, Profile]]:
    """What holds for all, and by number for the rules that have something of their own. Rules too many to have a number have none."""
    own = {number(name): profile(timeouts.over(config.timeouts)) for name, timeouts in _owners(config) if timeouts.model_fields_set}
    own.pop(0, None)
    return profile(config.timeouts), own


def _owners(config: Config) -> Iterator[tuple[str, OwnTimeouts]]:
    for rule in config.policy:
        yield rule.name, rule.timeouts
    for entry in config.nat:
        if isinstance(entry, Forward):
            yield f"forward {entry.name}", entry.timeouts
    for service in config.services.values():
        yield f"service {service.name}", service.timeouts
