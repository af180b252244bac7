"""How flows are kept: the file's timeouts, and those that rules, forwards and services have of their own.

What a flow's rule has not, its forward or service may have, whichever rule lets it through; what neither has is the file's. Profiles follow
the numbers of rules and services, not flows: a reload that changes timeouts changes them for the flows that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from appliance.config.models import Config, Forward, Rule, Service
from appliance.config.section import dashed
from appliance.config.timeouts import TIMERS, OwnTimeouts, Timeouts
from appliance.flow.records import Profile

Owner = Rule | Forward | Service
Profiles = dict[int, Profile]


def profile(timeouts: Timeouts | OwnTimeouts, mss: int = 0) -> Profile:
    """What the compiled path is told; what isn't written is left to others."""
    seconds = tuple((dashed(name), getattr(timeouts, name) or 0.0) for name in TIMERS)
    reset = None if timeouts.on_expiry is None else timeouts.on_expiry == "reset"
    inbound = None if timeouts.refresh is None else timeouts.refresh == "both"
    return Profile(seconds, reset, inbound, mss)


def profiles(
    config: Config, number: Callable[[str], int], number_of_service: Callable[[str], int]
) -> tuple[Profile, Profiles, Profiles]:
    """What holds for all, and by number what rules have of their own, and services and forwards. Without a number they have none."""
    forwards: dict[str, Owner] = {f"forward {entry.name}": entry for entry in config.nat if isinstance(entry, Forward)}
    rules = _own({rule.name: rule for rule in config.policy}, number)
    return profile(config.timeouts), rules, _own(forwards | config.services, number_of_service)


def _own(owners: Mapping[str, Owner], number: Callable[[str], int]) -> Profiles:
    found = {
        number(name): profile(owner.timeouts.completed(), owner.mss_clamp)
        for name, owner in owners.items()
        if owner.timeouts.model_fields_set or owner.mss_clamp
    }
    found.pop(0, None)
    return found
