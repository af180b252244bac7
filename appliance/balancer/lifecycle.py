"""The life of a target: which events lead where, and what becomes of its flows. Sans-IO: a shell brings events, and does what is said.

    active ---leave---> lame-duck --empty--> drained         leave: no new flows, the others may last as long as they like
       |  ---drain---> draining  --empty-->                  drain: the same up to a deadline
       |                         --deadline->
       |----fail----> unhealthy --recover--> active          restore leads back from all of the above
       '----eject---> ejected   --readmit--> active          like unhealthy, by what was seen of its flows; those it has may last

A target that was told to leave stays told, whatever health checks say of it meanwhile: only `restore` brings it back.
"""

from enum import Enum
from typing import Final


class TargetState(Enum):
    """Only an active target takes new flows."""

    ACTIVE = "active"
    LAME_DUCK = "lame-duck"
    DRAINING = "draining"
    DRAINED = "drained"
    UNHEALTHY = "unhealthy"
    EJECTED = "ejected"


class TargetEvent(Enum):
    """What happens to a target."""

    LEAVE = "leave"
    """It shall take no new flows."""
    DRAIN = "drain"
    """The same, and its flows shall be gone by a deadline."""
    DEADLINE = "deadline"
    EMPTY = "empty"
    """It has no flows left."""
    RESTORE = "restore"
    """It is told to come back, and may."""
    RESTORE_DOWN = "restore-down"
    """It is told to come back, and is not up."""
    FAIL = "fail"
    """Health checks have found it down."""
    RECOVER = "recover"
    """Health checks have found it up."""
    EJECT = "eject"
    """Its new connections fail."""
    READMIT = "readmit"
    """It gets another chance."""


class Flows(Enum):
    """What becomes of a target's flows."""

    STAY = "stay"
    LOST = "lost"
    """The service says what becomes of the flows of a lost target."""
    END = "end"


_State, _Event = TargetState, TargetEvent

TRANSITIONS: Final = {
    (_State.ACTIVE, _Event.LEAVE): (_State.LAME_DUCK, Flows.STAY),
    (_State.ACTIVE, _Event.DRAIN): (_State.DRAINING, Flows.STAY),
    (_State.ACTIVE, _Event.FAIL): (_State.UNHEALTHY, Flows.LOST),
    (_State.ACTIVE, _Event.EJECT): (_State.EJECTED, Flows.STAY),
    (_State.LAME_DUCK, _Event.DRAIN): (_State.DRAINING, Flows.STAY),
    (_State.LAME_DUCK, _Event.EMPTY): (_State.DRAINED, Flows.STAY),
    (_State.LAME_DUCK, _Event.RESTORE): (_State.ACTIVE, Flows.STAY),
    (_State.LAME_DUCK, _Event.RESTORE_DOWN): (_State.UNHEALTHY, Flows.STAY),
    (_State.LAME_DUCK, _Event.FAIL): (_State.LAME_DUCK, Flows.LOST),
    (_State.DRAINING, _Event.LEAVE): (_State.LAME_DUCK, Flows.STAY),
    (_State.DRAINING, _Event.DRAIN): (_State.DRAINING, Flows.STAY),
    (_State.DRAINING, _Event.DEADLINE): (_State.DRAINED, Flows.END),
    (_State.DRAINING, _Event.EMPTY): (_State.DRAINED, Flows.STAY),
    (_State.DRAINING, _Event.RESTORE): (_State.ACTIVE, Flows.STAY),
    (_State.DRAINING, _Event.RESTORE_DOWN): (_State.UNHEALTHY, Flows.STAY),
    (_State.DRAINING, _Event.FAIL): (_State.DRAINING, Flows.LOST),
    (_State.DRAINED, _Event.RESTORE): (_State.ACTIVE, Flows.STAY),
    (_State.DRAINED, _Event.RESTORE_DOWN): (_State.UNHEALTHY, Flows.STAY),
    (_State.UNHEALTHY, _Event.LEAVE): (_State.LAME_DUCK, Flows.STAY),
    (_State.UNHEALTHY, _Event.DRAIN): (_State.DRAINING, Flows.STAY),
    (_State.UNHEALTHY, _Event.FAIL): (_State.UNHEALTHY, Flows.LOST),
    (_State.UNHEALTHY, _Event.RECOVER): (_State.ACTIVE, Flows.STAY),
    (_State.EJECTED, _Event.LEAVE): (_State.LAME_DUCK, Flows.STAY),
    (_State.EJECTED, _Event.DRAIN): (_State.DRAINING, Flows.STAY),
    (_State.EJECTED, _Event.FAIL): (_State.UNHEALTHY, Flows.LOST),
    (_State.EJECTED, _Event.RESTORE): (_State.ACTIVE, Flows.STAY),
    (_State.EJECTED, _Event.RESTORE_DOWN): (_State.UNHEALTHY, Flows.STAY),
    (_State.EJECTED, _Event.READMIT): (_State.ACTIVE, Flows.STAY),
}
"""(state, event) -> (next state, its flows). What isn't here changes nothing."""


class Life:
    """One target. Time comes in, states come out."""

    __slots__ = ("deadline", "state")

    def __init__(self, up: bool) -> None:
        self.state = TargetState.ACTIVE if up else TargetState.UNHEALTHY
        self.deadline: float | None = None
        """When a draining target's last flows end."""

    @property
    def leaving(self) -> bool:
        """Whether the target waits for its last flow to end."""
        return self.state in (TargetState.LAME_DUCK, TargetState.DRAINING)

    def feed(self, event: TargetEvent, deadline: float | None = None) -> Flows:
        """Take an event, DRAIN with a deadline; what becomes of the flows."""
        row = TRANSITIONS.get((self.state, event))
        if row is None:
            return Flows.STAY
        self.state, flows = row
        if event is TargetEvent.DRAIN:
            self.deadline = deadline
        elif self.state is not TargetState.DRAINING:
            self.deadline = None
        return flows

    def look(self, now: float, flows: int) -> Flows:
        """What time and the number of its flows have brought."""
        if not self.leaving:
            return Flows.STAY
        if not flows:
            return self.feed(TargetEvent.EMPTY)
        return self.feed(TargetEvent.DEADLINE) if self.deadline is not None and now >= self.deadline else Flows.STAY
