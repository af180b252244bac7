"""A target's life: every row of the table is walked, everything else is shown to change nothing, and time does its part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.balancer.lifecycle import TRANSITIONS, Flows, Life, TargetEvent, TargetState

ACTIVE, LAME_DUCK, DRAINING, DRAINED, UNHEALTHY, EJECTED = TargetState
STAY, LOST, END = Flows
ROWS = """
active      leave         lame-duck  stay
active      drain         draining   stay
active      fail          unhealthy  lost
active      eject         ejected    stay
lame-duck   drain         draining   stay
lame-duck   empty         drained    stay
lame-duck   restore       active     stay
lame-duck   restore-down  unhealthy  stay
lame-duck   fail          lame-duck  lost
draining    leave         lame-duck  stay
draining    drain         draining   stay
draining    deadline      drained    end
draining    empty         drained    stay
draining    restore       active     stay
draining    restore-down  unhealthy  stay
draining    fail          draining   lost
drained     restore       active     stay
drained     restore-down  unhealthy  stay
unhealthy   leave         lame-duck  stay
unhealthy   drain         draining   stay
unhealthy   fail          unhealthy  lost
unhealthy   recover       active     stay
ejected     leave         lame-duck  stay
ejected     drain         draining   stay
ejected     fail          unhealthy  lost
ejected     restore       active     stay
ejected     restore-down  unhealthy  stay
ejected     readmit       active     stay
"""
TABLE = {(TargetState(a), TargetEvent(b)): (TargetState(c), Flows(d)) for a, b, c, d in map(str.split, ROWS.strip().splitlines())}


def at(state):
    life = Life(True)
    life.state = state
    return life


def test_the_table_is_the_one_written_here():
    assert TRANSITIONS == TABLE


@pytest.mark.parametrize("state", TargetState)
@pytest.mark.parametrize("event", TargetEvent)
def test_each_event_leads_where_its_row_says_and_nowhere_without_one(state, event):
    life = at(state)
    flows = life.feed(event, 5.0)
    assert (life.state, flows) == TABLE.get((state, event), (state, STAY))


@given(st.lists(st.sampled_from(TargetEvent)))
def test_who_was_told_to_leave_takes_no_flows_until_it_is_told_to_come_back(events):
    life, leaves = Life(True), False
    for event in events:
        life.feed(event, 9.0)
        told = event in (TargetEvent.LEAVE, TargetEvent.DRAIN)
        leaves = (leaves or told) and event not in (TargetEvent.RESTORE, TargetEvent.RESTORE_DOWN)
        assert leaves is (life.state not in (ACTIVE, UNHEALTHY, EJECTED))
        assert (life.deadline is not None) is (life.state is DRAINING)


def test_a_draining_target_is_drained_when_its_last_flow_ends_or_at_the_deadline():
    for flows, now, state, fate in [(3, 9.9, DRAINING, STAY), (0, 5.0, DRAINED, STAY), (3, 10.0, DRAINED, END)]:
        life = Life(True)
        life.feed(TargetEvent.DRAIN, 10.0)
        assert (life.look(now, flows), life.state) == (fate, state)


def test_a_lame_duck_has_no_deadline_and_an_active_target_nothing_to_wait_for():
    life = Life(True)
    assert (life.look(1e9, 0), life.state) == (STAY, ACTIVE)
    life.feed(TargetEvent.DRAIN, 10.0)
    life.feed(TargetEvent.LEAVE)
    assert (life.look(1e9, 1), life.state) == (STAY, LAME_DUCK)
    assert (life.look(1e9, 0), life.state) == (STAY, DRAINED)
    assert Life(False).state is UNHEALTHY
