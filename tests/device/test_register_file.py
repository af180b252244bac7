"""Control registers: values, both read methods, and writes that mean nothing."""

from __future__ import annotations

import struct

import pytest

from tests.device.conftest import Bench
from tests.support.scripted_driver import CAPS, DEV_CTL, DEV_STS, INTR_MASK, MMIO_REG_READ, MMIO_RESP_HI, MMIO_RESP_LO

VALUES = {0x00: 0x0000000A, 0x04: 0x01000001, 0x08: 0x0000303F, 0x0C: 0, 0x58: 1, 0x4C: 0}


@pytest.mark.parametrize(("offset", "value"), list(VALUES.items()), ids=hex)
def test_both_read_methods_agree(cold: Bench, offset: int, value: int) -> None:
    cold.driver.announce_response()
    assert cold.device.read(offset) == value
    assert cold.driver.read_readless(offset) == value


@pytest.mark.parametrize("offset", [0x1C, 0x48, 0x50, 0x02, 0x05, 0x7FC, 0xFFF, 0x10, 0x5C, 0x100, 0x5000])
def test_what_cannot_be_read_is_zero_and_what_is_unassigned_ignores_writes(cold: Bench, offset: int) -> None:
    assert cold.device.read(offset) == 0
    cold.device.write(offset, 0xFFFFFFFF)
    assert cold.device.read(offset) == 0
    assert cold.device.read(DEV_STS) == 1


def test_read_only_registers_ignore_writes(cold: Bench) -> None:
    for offset, value in VALUES.items():
        if offset != INTR_MASK:
            cold.device.write(offset, 0x12345678)
            assert cold.device.read(offset) == value


def test_a_readless_answer_has_its_request_id_written_last(cold: Bench) -> None:
    cold.driver.announce_response()
    cold.memory.writes.clear()
    cold.device.write(MMIO_REG_READ, 0x0008_0003)
    response = cold.driver._response
    assert cold.memory.writes == [(response + 2, struct.pack("<HI", 0x0008, 0x303F)), (response, struct.pack("<H", 3))]


def test_the_same_sequence_number_twice_is_answered_twice(cold: Bench) -> None:
    cold.driver.announce_response()
    for _ in range(2):
        cold.driver._sequence = 0
        assert cold.driver.read_readless(CAPS) == 0x303F


def test_readless_reads_work_during_a_reset_to_the_address_given_during_it(cold: Bench) -> None:
    cold.driver.announce_response()
    cold.device.write(DEV_CTL, 1)
    cold.driver._response = cold.memory.allocate(8)
    cold.driver.announce_response()
    assert cold.driver.read_readless(DEV_STS) & 8


def test_a_reset_forgets_where_readless_answers_go(cold: Bench) -> None:
    cold.driver.announce_response()
    cold.device.write(DEV_CTL, 1)
    cold.memory.writes.clear()
    cold.device.write(MMIO_REG_READ, 0x0008_0001)
    assert cold.memory.writes == []


def test_without_a_response_address_a_readless_read_does_nothing(cold: Bench, caplog: pytest.LogCaptureFixture) -> None:
    cold.driver.announce_response()
    cold.device.write(MMIO_RESP_LO, 0)
    cold.device.write(MMIO_RESP_HI, 0)
    cold.memory.writes.clear()
    cold.device.write(MMIO_REG_READ, 0x0008_0001)
    assert (cold.memory.writes, caplog.text) == ([], "")


def test_an_unmapped_response_address_is_survived(cold: Bench) -> None:
    cold.device.write(MMIO_RESP_LO, 0xDEADBEE0)
    cold.device.write(MMIO_REG_READ, 0x0008_0001)
    cold.driver.reset()


def test_the_interrupt_mask_reads_back(cold: Bench) -> None:
    cold.device.write(INTR_MASK, 1)
    assert cold.device.read(INTR_MASK) == 1
