from hypothesis import given
from hypothesis import strategies as st

from ena_dev.driver.polling import LONGEST, SHORTEST, pauses


@given(st.floats(0, 20))
def test_pauses_add_up_to_the_timeout_and_end_with_a_last_look(timeout: float) -> None:
    slept = list(pauses(timeout))
    assert abs(sum(slept) - timeout) < 1e-6
    assert slept[-1] == 0.0


def test_pauses_double_up_to_the_longest() -> None:
    slept = list(pauses(1.0))
    assert slept[:7] == [SHORTEST * 2**n for n in range(6)] + [LONGEST]
    assert max(slept) == LONGEST
