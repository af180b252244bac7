"""BAR 0: control registers go to Python, doorbells to their owners, everything else is refused or counted."""

import pytest

from ena_dev.bus.mmio import RegisterBar
from ena_dev.errors import BusError


class Recorder:
    def __init__(self) -> None:
        self.writes: list[tuple[int, int]] = []

    def read(self, offset: int) -> int:
        return offset + 1

    def write(self, offset: int, value: int) -> None:
        self.writes.append((offset, value))


def test_the_first_page_is_the_control_registers() -> None:
    bar = RegisterBar(recorder := Recorder())
    bar.write(0x54, 0x1_0000_0001)
    assert recorder.writes == [(0x54, 1)]
    assert bar.read(0xFFC) == 0xFFD


@pytest.mark.parametrize("offset", [0x4000, 0xFFFFFFFC, 0x1002, 1])
def test_accesses_outside_or_off_a_boundary_are_refused(offset: int) -> None:
    bar = RegisterBar(Recorder())
    with pytest.raises(BusError):
        bar.read(offset)
    with pytest.raises(BusError):
        bar.write(offset, 0)


def test_a_doorbell_nobody_owns_is_ignored_and_counted() -> None:
    bar = RegisterBar(Recorder())
    bar.write(0x1000, 5)
    bar.write(0x3FFC, 5)
    assert (bar.ignored, bar.read(0x1000)) == (2, 0)
