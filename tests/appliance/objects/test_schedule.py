"""Schedules against the C library's idea of what a clock on the wall shows, and against looking at it minute by minute."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config.errors import ConfigError
from appliance.config.loader import loads
from appliance.config.models import Config, Rule
from appliance.config.schedules import DAY, Schedule
from appliance.objects.schedule import Calendar, holds_at, next_change

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia"]
TURNS = [int(datetime(2026, month, day, 12).timestamp()) for month, day in ((3, 8), (3, 28), (4, 4), (10, 3), (10, 24), (11, 1), (7, 1))]
"""Days around which clocks are put forward or back somewhere, and one without."""


@contextmanager
def local_time(zone: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()


schedules = st.builds(
    Schedule,
    days=st.frozensets(st.integers(0, 6), min_size=1),
    begin=st.sampled_from([0, 30, 60, 120, 150, 180, 8 * 60, 22 * 60, DAY - 1]),
    end=st.sampled_from([1, 60, 121, 150, 181, 6 * 60, 18 * 60, DAY]),
    zone=st.sampled_from(ZONES),
).filter(lambda schedule: schedule.begin != schedule.end)
moments = st.builds(lambda turn, hours: turn + hours * 1800, st.sampled_from(TURNS), st.integers(-96, 96))


@settings(max_examples=200)
@given(schedule=schedules, moment=moments)
def test_a_schedule_holds_while_the_clock_on_the_wall_says_so(schedule: Schedule, moment: int) -> None:
    with local_time(schedule.zone):
        shown = time.localtime(moment)
    minute, today = shown.tm_hour * 60 + shown.tm_min, shown.tm_wday
    if schedule.begin < schedule.end:
        expected = today in schedule.days and schedule.begin <= minute < schedule.end
    else:
        expected = (today in schedule.days and minute >= schedule.begin) or ((today + 6) % 7 in schedule.days and minute < schedule.end)
    assert holds_at(schedule, moment) == expected


@settings(max_examples=60)
@given(schedule=schedules, moment=moments)
def test_the_next_change_is_the_first_one_by_looking_each_minute(schedule: Schedule, moment: int) -> None:
    now, minute = holds_at(schedule, moment), moment // 60 * 60
    expected = next((at for at in range(minute + 60, minute + 9 * 86400, 60) if holds_at(schedule, at) != now), None)
    assert next_change(schedule, moment) == expected


BERLIN = ZoneInfo("Europe/Berlin")
BASE = """version: 1
nics: {wan: {address: 203.0.113.7/24}}
zones: {internet: {nics: [wan]}}
"""


def test_rules_apply_by_their_schedules_until_their_end() -> None:
    config = loads(BASE + """
schedules: {office: {days: [mon-fri], from: 08:00, to: 18:00, zone: Europe/Berlin}}
policy:
  - always: {allow: any}
  - office: {when: office, allow: any}
  - night: {when: {days: fri, from: 22:00, to: 06:00, zone: Europe/Berlin}, deny: any, until: 2026-10-25}
  - guest: {allow: dns, until: 2026-10-23 12:00 Europe/Berlin}
""")
    calendar, moment, story = Calendar(config), datetime(2026, 10, 23, 7, tzinfo=BERLIN).timestamp(), []
    while len(story) < 8:
        names = [rule.name for rule in calendar.at(moment).policy]
        story.append((datetime.fromtimestamp(moment, BERLIN).strftime("%a %d %H:%M"), names))
        moment = calendar.next_change(moment)  # type: ignore[assignment]
    assert story == [
        ("Fri 23 07:00", ["always", "guest"]), ("Fri 23 08:00", ["always", "office", "guest"]), ("Fri 23 12:00", ["always", "office"]),
        ("Fri 23 18:00", ["always"]), ("Fri 23 22:00", ["always", "night"]), ("Sat 24 06:00", ["always"]),
        ("Mon 26 01:00", ["always"]), ("Mon 26 08:00", ["always", "office"]),
    ]  # fmt: skip


def test_rules_without_times_need_no_calendar() -> None:
    config = Config(nics={}, zones={}, policy=[Rule(name="a", verdict="allow")])
    assert Calendar(config).at(0.0) is config and Calendar(config).next_change(0.0) is None


@pytest.mark.parametrize(
    ("addition", "line"),
    [
        ("schedules: {a: {days: [mo]}}",
         '4:23: schedule "a": days: not a day of the week, found `mo`, '
         "write one of mon, tue, wed, thu, fri, sat, sun, or a range such as mon-fri"),
        ("schedules: {a: {from: 24:00}}",
         '4:23: schedule "a": from: not a time of day, found `24:00`, write hours and minutes, such as 08:00'),
        ("schedules: {a: {zone: europe/berln}}",
         '4:23: schedule "a": zone: unknown time zone, found `europe/berln`, did you mean `Europe/Berlin`?'),
        ("schedules: {a: {from: 08:00, to: 08:00}}",
         '4:34: schedule "a": to: the same time as `from`, found `08:00`, write another, or neither for the whole day'),
        ("policy: [a: {when: offce, allow: any}]",
         '4:20: rule "a": when: unknown schedule, found `offce`, define it under `schedules`'),
        ("schedules: {office: {}}\npolicy: [a: {when: offce, allow: any}]",
         '5:20: rule "a": when: unknown schedule, found `offce`, did you mean `office`?'),
        ("policy: [a: {when: {dys: mon}, allow: any}]", '4:21: rule "a": when: unknown key, found `dys`, did you mean `days`?'),
        ("policy: [a: {until: tomorrow, allow: any}]",
         '4:21: rule "a": until: not a date, found `tomorrow`, write one such as 2026-12-31, or 2026-12-31 18:00 Europe/Berlin'),
        ("policy: [a: {until: 2026-02-30, allow: any}]",
         '4:21: rule "a": until: no such date, found `2026-02-30`, write one such as 2026-12-31'),
    ],
)  # fmt: skip
def test_a_mistake_with_times_is_pointed_at(addition: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(f"{BASE}{addition}\n", "x.yaml")
    assert str(caught.value) == f"x.yaml:{line}"
