import asyncio

import pytest

from ena_dev.abi.registers import ResetReason
from ena_dev.driver.handshake import check_versions, require_ready, reset_card
from ena_dev.driver.registers import Registers
from ena_dev.errors import DeviceError, ResetTimeout
from tests.support.host import Host


@pytest.fixture
def registers(host: Host) -> Registers:
    return Registers(host.bar, host.memory)


async def test_the_handshake_is_seen_in_both_phases_and_yields_the_default_admin_timeout(host: Host, registers: Registers) -> None:
    stopped: list[int] = []
    assert await reset_card(registers, ResetReason.NORMAL, extended=True, stopped=lambda: stopped.append(host.card.registers[0x58])) == 3.0
    assert stopped == [0b1001]  # ready, and still in reset: memory is ours again
    assert host.card.registers[0x58] == 1
    offsets = [offset for offset, _ in host.card.writes]
    assert offsets == [0x54, 0x60, 0x64, 0x54]  # the answer buffer is told again right after the reset begins


@pytest.mark.parametrize(
    ("reason", "extended", "value"),
    [
        (ResetReason.MISS_TX_CMPL, True, 0x30000001),
        (ResetReason.RX_DESCRIPTOR_MALFORMED, True, 0x01000001),
        (ResetReason.RX_DESCRIPTOR_MALFORMED, False, 0xD0000001),
    ],
)
async def test_reasons_are_told_as_in_the_contracts_examples(
    host: Host, registers: Registers, reason: ResetReason, extended: bool, value: int
) -> None:
    await reset_card(registers, reason, extended=extended)
    assert host.card.writes[0] == (0x54, value)


@pytest.mark.parametrize("stuck", ["begin", "end"])
async def test_a_card_that_does_not_follow_is_given_the_time_it_named(host: Host, registers: Registers, stuck: str) -> None:
    host.card.stuck = stuck
    begun = asyncio.get_running_loop().time()
    with pytest.raises(ResetTimeout) as caught:
        await reset_card(registers, ResetReason.NORMAL, extended=False)
    assert caught.value.step == stuck
    assert asyncio.get_running_loop().time() - begun == pytest.approx(3.1)


async def test_a_card_left_half_way_through_a_reset_can_be_reset(host: Host, registers: Registers) -> None:
    host.card.registers[0x58] = 1 << 3
    await reset_card(registers, ResetReason.NORMAL, extended=False)
    assert host.card.registers[0x58] == 1


@pytest.mark.parametrize(("offset", "value"), [(0x58, 0), (0x08, 0x3000)])
async def test_a_card_that_is_not_ready_or_names_no_timeout_is_refused(host: Host, registers: Registers, offset: int, value: int) -> None:
    host.card.registers[offset] = value
    with pytest.raises(DeviceError):
        await reset_card(registers, ResetReason.NORMAL, extended=False)
    assert host.card.resets == []


@pytest.mark.parametrize(("offset", "value"), [(0x04, 0x01000000), (0x08, 0x1F3F), (0x08, 0x313F)])
async def test_old_controllers_and_odd_address_widths_are_refused(host: Host, registers: Registers, offset: int, value: int) -> None:
    host.card.registers[offset] = value
    with pytest.raises(DeviceError):
        await check_versions(registers)


async def test_the_admin_queue_waits_for_a_ready_card(host: Host, registers: Registers) -> None:
    await require_ready(registers)
    host.card.registers[0x58] = 0
    with pytest.raises(DeviceError):
        await require_ready(registers)
