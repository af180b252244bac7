"""When schedules hold, and when that changes next. Pure: time is an argument, in seconds since the epoch.

A schedule is about what a clock on the wall shows, so an hour that the clock skips is skipped, and one that it shows twice counts twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from appliance.config.models import Config, Rule
from appliance.config.schedules import Schedule

AHEAD: Final = 9
"""Days within which each schedule changes that does so at all: a week, and what clocks are put forward or back."""


def holds_at(schedule: Schedule, instant: float) -> bool:
    """Whether a schedule holds."""
    local = datetime.fromtimestamp(instant, ZoneInfo(schedule.zone))
    minute = local.hour * 60 + local.minute
    today, yesterday = local.weekday() in schedule.days, (local.weekday() - 1) % 7 in schedule.days
    if schedule.begin < schedule.end:
        return today and schedule.begin <= minute < schedule.end
    return (today and minute >= schedule.begin) or (yesterday and minute < schedule.end)


def next_change(schedule: Schedule, instant: float) -> float | None:
    """The first moment after `instant` from which on it holds, or holds no more; None: it never changes."""
    now = holds_at(schedule, instant)
    return next((moment for moment in sorted(set(_candidates(schedule, instant))) if holds_at(schedule, moment) != now), None)


def _candidates(schedule: Schedule, instant: float) -> Iterator[float]:
    """Moments after `instant` at which the clock on the wall shows an end of the schedule, or jumps."""
    zone = ZoneInfo(schedule.zone)
    first = datetime.fromtimestamp(instant, zone).date()
    for step in range(AHEAD):
        day = first + timedelta(days=step)
        for minute in (schedule.begin, schedule.end, 0):
            yield from (moment for moment in _shown(day, minute, zone) if moment > instant)
    for step in range(AHEAD):
        jump = _jump(instant + step * 86400, instant + (step + 1) * 86400, zone)
        if jump is not None:
            yield jump


def _shown(day: date, minute: int, zone: ZoneInfo) -> Iterable[float]:
    """When the clock shows a time of a day: once, or twice if it was put back in between."""
    naive = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minute)
    return {naive.replace(tzinfo=zone, fold=fold).astimezone(UTC).timestamp() for fold in (0, 1)}


def _jump(low: float, high: float, zone: ZoneInfo) -> float | None:
    """The second in which the clock is put forward or back, after `low` and not after `high`."""
    before = _offset(low, zone)
    if _offset(high, zone) == before:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return float(int(high))


def _offset(instant: float, zone: ZoneInfo) -> timedelta | None:
    return datetime.fromtimestamp(instant, zone).utcoffset()


class Calendar:
    """The rules of one configuration that don't apply at all times."""

    def __init__(self, config: Config) -> None:
        self._named = config.schedules
        self._rules = [rule for rule in config.policy if rule.when is not None or rule.until is not None]
        self._config = config

    @property
    def timed(self) -> bool:
        """Whether there is any."""
        return bool(self._rules)

    def _schedule(self, rule: Rule) -> Schedule | None:
        return self._named[rule.when] if isinstance(rule.when, str) else rule.when

    def applies(self, rule: Rule, instant: float) -> bool:
        """Whether a rule applies at a moment."""
        schedule = self._schedule(rule)
        return (rule.until is None or instant < rule.until) and (schedule is None or holds_at(schedule, instant))

    def at(self, instant: float) -> Config:
        """The configuration with the rules that apply at a moment."""
        if not self._rules:
            return self._config
        idle = {id(rule) for rule in self._rules if not self.applies(rule, instant)}
        return self._config.model_copy(update={"policy": tuple(rule for rule in self._config.policy if id(rule) not in idle)})

    def idle(self, instant: float) -> frozenset[str]:
        """The names of the rules that don't apply at a moment."""
        return frozenset(rule.name for rule in self._rules if not self.applies(rule, instant))

    def next_change(self, instant: float) -> float | None:
        """The first moment after `instant` at which another set of rules may apply; None: never."""
        alive = [rule for rule in self._rules if rule.until is None or instant < rule.until]
        schedules = {schedule: None for rule in alive if (schedule := self._schedule(rule)) is not None}
        changes = [next_change(schedule, instant) for schedule in schedules]
        moments = [*changes, *(rule.until for rule in alive)]
        return min((moment for moment in moments if moment is not None), default=None)
