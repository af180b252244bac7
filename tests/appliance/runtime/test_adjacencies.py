"""Numbers of next hops against a compiled side that is a dict, and at times too busy to listen."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.runtime.adjacencies import HOST, Adjacencies, Known

MAC, OTHER = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02"
NIC = 3


class Compiled:
    """What was told last of each number; `room`: commands it still takes."""

    def __init__(self, room: int = 1000) -> None:
        self.told: dict[int, object] = {}
        self.commands, self.room = 0, room
        self.flows: dict[int, int] = {}

    def set_adjacency(self, index: int, nic: int, mac: bytes | None) -> bool:
        return self._take(index, "failed" if mac is None else mac)

    def clear_adjacency(self, index: int, nic: int) -> bool:
        return self._take(index, "nothing")

    def _take(self, index: int, state: object) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.commands += 1
        self.told[index] = state
        return True

    def adjacency_used(self, index: int) -> float:
        return 0.0

    def adjacency_flows(self, index: int) -> int:
        return self.flows.get(index, 0)


def test_a_mac_that_is_known_is_not_told_again() -> None:
    compiled = Compiled()
    adjacencies = Adjacencies(compiled)
    number = adjacencies.take()
    assert number is not None and number != HOST
    for mac in (MAC, MAC, OTHER, OTHER):
        adjacencies.reached(number, NIC, mac)
    assert (compiled.told, compiled.commands) == ({number: OTHER}, 2)
    adjacencies.lost(number, NIC, Known.FAILED)
    adjacencies.reached(number, NIC, OTHER)
    assert compiled.told == {number: OTHER}


def test_a_number_comes_back_once_no_flow_carries_it() -> None:
    compiled = Compiled()
    adjacencies = Adjacencies(compiled, limit=4)
    first, second = adjacencies.take(), adjacencies.take()
    assert (first, second, adjacencies.take()) == (2, 3, None)
    compiled.flows[2] = 1
    adjacencies.reached(2, NIC, MAC)
    assert not adjacencies.give(2, NIC)
    compiled.flows[2] = 0
    assert adjacencies.give(2, NIC)
    assert compiled.told == {2: "nothing"}
    assert adjacencies.take() == 2
    adjacencies.reached(2, NIC, MAC)  # told anew, though it is the mac that it had before
    assert compiled.told == {2: MAC}


def test_a_number_whose_end_was_not_heard_is_nobodys_yet() -> None:
    compiled = Compiled()
    adjacencies = Adjacencies(compiled, limit=3)
    number = adjacencies.take()
    assert number == 2
    adjacencies.reached(number, NIC, MAC)
    compiled.room = 1  # to fail it, and no more
    assert not adjacencies.give(number, NIC)
    assert adjacencies.take() is None
    compiled.room = 1000
    adjacencies.settle()
    assert compiled.told == {2: "nothing"}
    assert adjacencies.give(number, NIC)


STEPS = st.lists(st.tuples(st.integers(2, 4), st.sampled_from([MAC, OTHER, Known.FAILED, Known.NOTHING]), st.integers(0, 2)), max_size=30)


@given(STEPS)
def test_what_was_not_heard_is_told_later_and_the_last_word_holds(steps: list[tuple[int, bytes | Known, int]]) -> None:
    compiled = Compiled(0)
    adjacencies = Adjacencies(compiled)
    last: dict[int, object] = {}
    for number, state, room in steps:
        compiled.room = room
        if isinstance(state, bytes):
            adjacencies.reached(number, NIC, state)
        else:
            adjacencies.lost(number, NIC, state)
        last[number] = state if isinstance(state, bytes) else state.value
    compiled.room = 1000
    adjacencies.settle()
    assert compiled.told == last
    commands = compiled.commands
    adjacencies.settle()
    assert compiled.commands == commands
