"""Limits of rules, forwards and services: how many flows may begin in a time (`rate`), and be there at once (`connections`).

    rate: 50/s                                 of all sources together
    rate: [200/s, 10/s per source]             and of each: an IPv4 address, or an IPv6 /64
    connections: 20 per source
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import AfterValidator, PlainValidator

from appliance.config.errors import BadValueError
from appliance.config.section import Section
from appliance.config.values import OneOrMore, only, scalar

UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
MOST: Final = 1_000_000
PER_SOURCE: Final = r"( per source)?"


class Rate(NamedTuple):
    """So many new flows in so many seconds; as many may begin at once, and one each time their share of it is over."""

    flows: int
    seconds: float
    per_source: bool = False


class Most(NamedTuple):
    """So many flows at once."""

    flows: int
    per_source: bool = False


def _rate(value: object) -> Rate:
    if isinstance(value, Rate):
        return value
    text = scalar(value, "50/s")
    if re.fullmatch("[0-9]+", text):
        raise BadValueError("rate without a time", f"write {text}/s, {text}/m or {text}/h")
    found = re.fullmatch(rf"([0-9]{{1,9}})/(s|m|h){PER_SOURCE}", text)
    if found is None:
        raise BadValueError("not a rate", "write new flows in a time, such as 50/s, 100/m or 10/s per source")
    return Rate(_count(found[1]), UNITS[found[2]], found[3] is not None)


def _most(value: object) -> Most:
    if isinstance(value, Most):
        return value
    found = re.fullmatch(rf"([0-9]{{1,9}}){PER_SOURCE}", scalar(value, "100"))
    if found is None:
        raise BadValueError("not a number of connections", "write one, such as 100 or 20 per source")
    return Most(_count(found[1]), found[2] is not None)


def _count(digits: str) -> int:
    if not 1 <= int(digits) <= MOST:
        raise BadValueError("out of range", f"write a number from 1 to {MOST}; to let none begin, deny them")
    return int(digits)


def _once(limits: tuple[Rate, ...] | tuple[Most, ...]) -> object:
    if len({limit.per_source for limit in limits}) < len(limits):
        raise BadValueError("two of the same kind", "keep one for all, and one `per source`")
    return limits


Rates = Annotated[tuple[Annotated[Rate, PlainValidator(_rate)], ...], AfterValidator(_once), OneOrMore]
Mosts = Annotated[tuple[Annotated[Most, PlainValidator(_most)], ...], AfterValidator(_once), OneOrMore]


class Protect(Section):
    """What a service or a forward takes of new flows. `syn_cookies`: whether TCP handshakes are answered by cookies, with nothing
    remembered until their sender has proven to be there. Under pressure: while there are too many half-open flows."""

    new_flows: Rates = ()
    connections: Mosts = ()
    syn_cookies: Annotated[Literal["under-pressure", "always", "off"], only("under-pressure", "always", "off")] = "under-pressure"
