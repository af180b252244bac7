"""Reset and readiness of the card: a table and a step.

A reset has two phases, each asked for by the driver. RESET_IN_PROGRESS shows from the first to the second and never clears by
itself. A card that met a broken contract (FAILED) does no DMA and waits for a reset.

READY stays set in every state: it tells that the register file answers. A driver that finds it clear gives up before it could
reset the card, and one that died half-way through a reset would lock out its successor.

Source: ENA interface, Reset handshake.
"""

from __future__ import annotations

from enum import Enum, auto

from ena_dev.abi.registers import DeviceStatus
from ena_dev.errors import UsageError


class State(Enum):
    READY = auto()
    RESETTING = auto()
    FAILED = auto()


class Event(Enum):
    RESET_SET = auto()  # DEV_CTL written with the reset bit
    RESET_CLEARED = auto()  # DEV_CTL written without it
    FAULT = auto()  # the driver broke the contract beyond repair


TRANSITIONS = {
    (State.READY, Event.RESET_SET): State.RESETTING,
    (State.READY, Event.RESET_CLEARED): State.READY,
    (State.READY, Event.FAULT): State.FAILED,
    (State.RESETTING, Event.RESET_SET): State.RESETTING,  # the next driver starts over
    (State.RESETTING, Event.RESET_CLEARED): State.READY,
    (State.FAILED, Event.RESET_SET): State.RESETTING,  # the only way out
    (State.FAILED, Event.RESET_CLEARED): State.FAILED,
    (State.FAILED, Event.FAULT): State.FAILED,
}

STATUS = {
    State.READY: DeviceStatus.of(ready=1),
    State.RESETTING: DeviceStatus.of(ready=1, reset_in_progress=1),
    State.FAILED: DeviceStatus.of(ready=1, fatal_error=1),
}


class IllegalTransition(UsageError):
    """An event without meaning in a state."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event.name} has no meaning in {state.name}")
        self.state, self.event = state, event


def step(state: State, event: Event) -> State:
    """The next state. Raises IllegalTransition where the table has no row."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(state, event) from None
