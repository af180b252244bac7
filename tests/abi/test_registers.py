"""The register map and its values against the contract's tables and worked examples."""

from __future__ import annotations

import pytest

from ena_dev.abi.registers import (
    Caps,
    ControllerVersion,
    DeviceControl,
    DeviceStatus,
    IndirectionUpdate,
    InterruptControl,
    InterruptMask,
    NumaConfig,
    ReadRequest,
    Register,
    RegisterValue,
    ResetReason,
    RingCaps,
    Version,
)
from ena_dev.errors import UsageError

OFFSETS = {
    0x00: "VERSION",
    0x04: "CONTROLLER_VERSION",
    0x08: "CAPS",
    0x0C: "CAPS_EXT",
    0x10: "AQ_BASE_LO",
    0x14: "AQ_BASE_HI",
    0x18: "AQ_CAPS",
    0x20: "ACQ_BASE_LO",
    0x24: "ACQ_BASE_HI",
    0x28: "ACQ_CAPS",
    0x2C: "AQ_DB",
    0x30: "ACQ_TAIL",
    0x34: "AENQ_CAPS",
    0x38: "AENQ_BASE_LO",
    0x3C: "AENQ_BASE_HI",
    0x40: "AENQ_HEAD_DB",
    0x44: "AENQ_TAIL",
    0x4C: "INTR_MASK",
    0x54: "DEV_CTL",
    0x58: "DEV_STS",
    0x5C: "MMIO_REG_READ",
    0x60: "MMIO_RESP_LO",
    0x64: "MMIO_RESP_HI",
    0x68: "RSS_IND_ENTRY_UPDATE",
    0x100: "PHC_DB",
}

FIELDS = {
    Version: {"minor": 0xFF, "major": 0xFF00},
    ControllerVersion: {"subminor": 0xFF, "minor": 0xFF00, "major": 0xFF0000, "implementation": 0xFF000000},
    Caps: {"contiguous_queue_required": 1, "reset_timeout": 0x3E, "dma_addr_width": 0xFF00, "admin_timeout": 0xF0000},
    RingCaps: {"depth": 0xFFFF, "entry_size": 0xFFFF0000},
    InterruptMask: {"masked": 1},
    DeviceControl: {"reset": 1, "aq_restart": 2, "quiescent": 4, "io_resume": 8, "reason_high": 0x0F000000, "reason_low": 0xF0000000},
    DeviceStatus: {
        "ready": 0x01,
        "aq_restart_in_progress": 0x02,
        "aq_restart_finished": 0x04,
        "reset_in_progress": 0x08,
        "reset_finished": 0x10,
        "fatal_error": 0x20,
        "quiescent_in_progress": 0x40,
        "quiescent_achieved": 0x80,
    },
    ReadRequest: {"req_id": 0xFFFF, "offset": 0xFFFF0000},
    IndirectionUpdate: {"index": 0xFFFF, "queue": 0xFFFF0000},
    InterruptControl: {"rx_delay": 0x7FFF, "tx_delay": 0x3FFF8000, "unmask": 0x40000000, "no_moderation_update": 0x80000000},
    NumaConfig: {"node": 0xFF, "enabled": 0x80000000},
}


def test_registers_lie_where_the_contract_says() -> None:
    assert {register.offset: register.name for register in Register} == OFFSETS


@pytest.mark.parametrize("offset", [0x1C, 0x48, 0x50, 0x02, 0x104, 0xFFC, -4])
def test_gaps_belong_to_nobody(offset: int) -> None:
    assert Register.at(offset) is None


@pytest.mark.parametrize("value", FIELDS, ids=lambda value: value.__name__)
def test_register_fields_have_their_bits(value: type[RegisterValue]) -> None:
    assert {name: field.largest << field.low for name, field in value.fields()} == FIELDS[value]
    for name, mask in FIELDS[value].items():
        field = dict(value.fields())[name]
        assert value.of(**{name: field.largest}) == mask
        assert getattr(value(0xFFFFFFFF), name) == field.largest
        assert getattr(value(0xFFFFFFFF & ~mask), name) == 0


def test_every_register_value_is_in_the_table() -> None:
    assert set(RegisterValue.__subclasses__()) == set(FIELDS)


@pytest.mark.parametrize("fields", [{"reset_timeout": 32}, {"reset_timeout": -1}, {"no_such_field": 1}])
def test_a_value_that_does_not_fit_is_refused(fields: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="can't hold"):
        Caps.of(**fields)


def test_a_value_prints_its_fields() -> None:
    assert repr(Caps(0x303F)) == "Caps(contiguous_queue_required=1, reset_timeout=31, dma_addr_width=48)"


def test_the_reset_reason_is_split_over_two_nibbles() -> None:
    assert DeviceControl.reset_for(ResetReason.MISS_TX_CMPL, extended=True) == 0x30000001
    assert DeviceControl.reset_for(ResetReason.RX_DESCRIPTOR_MALFORMED, extended=True) == 0x01000001
    assert DeviceControl.reset_for(ResetReason.RX_DESCRIPTOR_MALFORMED, extended=False) == 0xD0000001
    assert DeviceControl(0x01000001).reason == ResetReason.RX_DESCRIPTOR_MALFORMED
    assert all(DeviceControl.reset_for(reason, extended=True).reason == reason for reason in ResetReason)
    assert ResetReason(0xFF) is ResetReason.GENERIC


def test_worked_register_values() -> None:
    assert Caps.of(contiguous_queue_required=1, reset_timeout=31, dma_addr_width=48) == 0x303F
    assert ControllerVersion.of(subminor=1, implementation=1) == 0x01000001
    assert ReadRequest.of(req_id=3, offset=Register.CAPS.offset) == 0x00080003
    assert InterruptControl.of(rx_delay=20, tx_delay=64, unmask=1) == 0x40200014
    assert InterruptControl.of(rx_delay=20, tx_delay=64, unmask=1, no_moderation_update=1) == 0xC0200014
    assert InterruptControl.of(rx_delay=20, tx_delay=64) == 0x00200014
