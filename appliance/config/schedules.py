"""When rules apply: `schedules` by name, `when` and `until` of rules.

    office: {days: [mon-fri], from: 08:00, to: 18:00, zone: Europe/Berlin}
    until: 2026-12-31        until: 2026-12-31 18:00 Europe/Berlin

A schedule holds while a clock on the wall of its zone shows a time from `from` on and before `to`, on those days. One that goes past
midnight (`from: 22:00, to: 06:00`) belongs to the day on which it begins. Without a zone times are UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Final

from pydantic import Discriminator, Field, PlainValidator, Tag, ValidationInfo

from appliance.config.errors import BadValueError, instead_of, nearest, quoted
from appliance.config.section import Section
from appliance.config.values import Name, one_or_more, scalar

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
INLINE, NAMED = SCHEDULE_TAGS = ("inline schedule", "named schedule")
"""Words that pydantic puts into paths."""
DAY: Final = 24 * 60
"""Minutes."""
WRITTEN: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2}))?(?: ([A-Za-z][A-Za-z0-9/_+-]*))?")


def _days(value: object) -> frozenset[int]:
    """`mon`, `mon-fri`, or a list of such: numbers from 0 for Monday."""
    if isinstance(value, frozenset):
        return value
    words = one_or_more(value)
    return frozenset(day for word in words for day in _span(scalar(word, "mon-fri")))


def _span(text: str) -> list[int]:
    first, dash, last = text.partition("-")
    ends = [_day(first), _day(last if dash else first)]
    return [(ends[0] + step) % 7 for step in range((ends[1] - ends[0]) % 7 + 1)]


def _day(text: str) -> int:
    if text not in DAYS:
        raise BadValueError("not a day of the week", f"write one of {', '.join(DAYS)}, or a range such as mon-fri", quoted(text))
    return DAYS.index(text)


def _minute(latest: int) -> PlainValidator:
    """`08:00`: minutes since midnight."""

    def read(value: object) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{2}):([0-9]{2})", scalar(value, "08:00"))
        if found is None or int(found[2]) > 59 or int(found[1]) * 60 + int(found[2]) > latest:
            raise BadValueError("not a time of day", "write hours and minutes, such as 08:00")
        return int(found[1]) * 60 + int(found[2])

    return PlainValidator(read)


def time_zone(value: object) -> str:
    """The name of a zone in the tz database."""
    from zoneinfo import ZoneInfo, available_timezones  # few files need them

    text = scalar(value, "Europe/Berlin")
    try:
        ZoneInfo(text)
    except (OSError, ValueError, KeyError):
        names = {name.lower(): name for name in available_timezones()}
        close = nearest(text, names)
        hint = f"did you mean {quoted(names[close])}?" if close else "write one such as Europe/Berlin or UTC"
        raise BadValueError("unknown time zone", hint) from None
    return text


class Schedule(Section):
    """Times of the week. Days from 0 for Monday, minutes since midnight."""

    from_loader: ClassVar[frozenset[str]] = frozenset({"name", "line"})

    name: Name = "inline"
    line: int = 0
    days: Annotated[frozenset[int], PlainValidator(_days)] = frozenset(range(7))
    begin: Annotated[int, _minute(DAY - 1)] = Field(0, validation_alias="from")
    end: Annotated[int, _minute(DAY)] = Field(DAY, validation_alias="to")
    zone: Annotated[str, PlainValidator(time_zone)] = "UTC"


def _named(value: object, info: ValidationInfo) -> str:
    text = scalar(value, "office")
    if info.context is not None and text not in info.context.schedules:
        known = info.context.schedules
        raise BadValueError("unknown schedule", instead_of(text, known) if known else "define it under `schedules`")
    return text


def _until(value: object) -> float:
    """Seconds since the epoch at which it ends; a day alone ends with it."""
    if isinstance(value, int | float):
        return float(value)
    found = WRITTEN.fullmatch(scalar(value, "2026-12-31"))
    if found is None:
        raise BadValueError("not a date", "write one such as 2026-12-31, or 2026-12-31 18:00 Europe/Berlin")
    from zoneinfo import ZoneInfo

    zone = time_zone(found[3]) if found[3] else "UTC"
    try:
        moment = datetime.fromisoformat(f"{found[1]} {found[2] or '00:00'}").replace(tzinfo=ZoneInfo(zone))
        return (moment if found[2] else moment + timedelta(days=1)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        raise BadValueError("no such date", "write one such as 2026-12-31") from None


When = Annotated[
    Annotated[Schedule, Tag(INLINE)] | Annotated[str, PlainValidator(_named), Tag(NAMED)],
    Discriminator(lambda value: INLINE if isinstance(value, dict | Schedule) else NAMED),
]
Until = Annotated[float, PlainValidator(_until)]
