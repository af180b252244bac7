"""The whole transition table, a row a test.

                  RESET_SET   RESET_CLEARED   FAULT
    READY         RESETTING   READY           FAILED
    RESETTING     RESETTING   READY           -
    FAILED        RESETTING   FAILED          FAILED
"""

from __future__ import annotations

from itertools import product

import pytest

from ena_dev.device.lifecycle import STATUS, Event, IllegalTransition, State, step

TABLE = {
    State.READY: (State.RESETTING, State.READY, State.FAILED),
    State.RESETTING: (State.RESETTING, State.READY, None),
    State.FAILED: (State.RESETTING, State.FAILED, State.FAILED),
}


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)), ids=lambda value: value.name)
def test_each_event_in_each_state(state: State, event: Event) -> None:
    expected = TABLE[state][list(Event).index(event)]
    if expected is None:
        with pytest.raises(IllegalTransition, match=f"{event.name} has no meaning in {state.name}"):
            step(state, event)
    else:
        assert step(state, event) is expected


def test_the_status_register_of_each_state() -> None:
    assert {state.name: int(status) for state, status in STATUS.items()} == {"READY": 0x01, "RESETTING": 0x09, "FAILED": 0x21}
