"""Models of policy rules. First match wins, so order is meaning."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, Field, PlainValidator

from appliance.config.errors import BadValueError
from appliance.config.limits import Mosts, Rates
from appliance.config.objects import Places, read_services
from appliance.config.schedules import Until, When
from appliance.config.section import Section
from appliance.config.timeouts import OwnTimeouts
from appliance.config.values import Segment, Switch, Title, ZoneWords
from appliance.config.words import ANY, ServiceMatch

VERDICTS = ("allow", "deny", "reject")
"""A rule has one of these keys. `reject` denies, and tells the sender."""


def _verdict(value: object) -> Any:
    if value not in VERDICTS:
        raise BadValueError("not a verdict", "write allow, deny or reject")
    return value


class Rule(Section):
    """One rule of the policy. Empty `source` or `destination` means every address; `any` in a zone list every nic's zone, never `self`.

    `audit`: it counts and logs what it would decide, and the next rule decides. `liberal`: TCP may have any sequence numbers, as where its
    other half goes another way. `pickup`: a TCP connection may begin in the middle.
    """

    from_loader: ClassVar[frozenset[str]] = frozenset({"name", "line", "verdict"})

    name: Title
    line: int = 0
    from_zones: ZoneWords = Field(("any",), validation_alias="from")
    to_zones: ZoneWords = Field(("any",), validation_alias="to")
    source: Places = ()
    destination: Places = ()
    verdict: Annotated[Literal["allow", "deny", "reject"], PlainValidator(_verdict)]
    audit: Switch = False
    liberal: Switch = False
    pickup: Switch = False
    rate: Rates = ()
    connections: Mosts = ()
    timeouts: OwnTimeouts = OwnTimeouts()
    mss_clamp: Segment = 0
    when: When | None = None
    until: Until | None = None
    """Seconds since the epoch."""
    services: Annotated[tuple[ServiceMatch, ...], PlainValidator(read_services)] = Field(
        (ANY,), validation_alias=AliasChoices(*VERDICTS)
    )
