"""How flows are kept, by the rule that lets them through: the file's timeouts and each rule's, forward's and service's own.

A flow belongs to the rule that `softena flows` shows, and if that has nothing of its own to its service. Profiles follow the numbers of
rules, not flows: a reload that changes a rule's timeouts changes them for the flows that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from appliance.config.models import Config, Forward, Rule, Service
from appliance.config.section import dashed
from appliance.config.timeouts import TIMERS, Timeouts
from appliance.flow.records import Profile

Owner = Rule | Forward | Service
Profiles = dict[int, Profile]


def profile(timeouts: Timeouts, mss: int = 0) -> Profile:
    """What the compiled path is told."""
    seconds = tuple((dashed(name), getattr(timeouts, name)) for name in TIMERS)
    return Profile(seconds, timeouts.on_expiry == "reset", timeouts.refresh == "both", mss)


def profiles(
    config: Config, number: Callable[[str], int], number_of_service: Callable[[str], int]
) -> tuple[Profile, Profiles, Profiles]:
    """What holds for all, and by number for rules and services that have their own. Those too many to have a number have none."""
    return profile(config.timeouts), _own(dict(_rules(config)), config, number), _own(config.services, config, number_of_service)


def _own(owners: Mapping[str, Owner], config: Config, number: Callable[[str], int]) -> Profiles:
    found = {
        number(name): profile(owner.timeouts.over(config.timeouts), owner.mss_clamp)
        for name, owner in owners.items()
        if owner.timeouts.model_fields_set or owner.mss_clamp
    }
    found.pop(0, None)
    return found


def _rules(config: Config) -> Iterator[tuple[str, Owner]]:
    for rule in config.policy:
        yield rule.name, rule
    for entry in config.nat:
        if isinstance(entry, Forward):
            yield f"forward {entry.name}", entry
