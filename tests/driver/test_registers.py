import asyncio
import struct

import pytest

from ena_dev.abi.registers import Caps, DeviceStatus, Register
from ena_dev.driver.registers import Registers
from ena_dev.errors import RegisterTimeout
from tests.support.host import Host


@pytest.mark.parametrize("readless", [False, True])
async def test_both_ways_of_reading_yield_the_registers_value(host: Host, readless: bool) -> None:
    registers = Registers(host.bar, host.memory, readless=readless)
    registers.announce_response()
    assert await registers.read(Register.CAPS, Caps) == 0x0000303F
    assert (await registers.read(Register.DEV_STS, DeviceStatus)).ready == 1


async def test_a_readless_read_asks_with_sequence_and_offset_and_presets_an_answer_that_cannot_match(host: Host) -> None:
    registers, seen = Registers(host.bar, host.memory, readless=True), []
    registers.announce_response()
    address = host.card.registers[0x60] | host.card.registers[0x64] << 32
    answer = host.card._readless

    def look(request: int) -> None:
        seen.append((request, struct.unpack("<H", host.memory.read(address, 2))[0]))
        answer(request)

    host.card._readless = look  # type: ignore[method-assign]
    for _ in range(3):
        await registers.read(Register.CAPS, Caps)
    assert seen[-1] == (0x00080003, 0xDEB0)  # the contract's worked example


async def test_readers_at_the_same_time_get_their_own_answers(host: Host) -> None:
    registers = Registers(host.bar, host.memory, readless=True)
    registers.announce_response()
    caps, status = await asyncio.gather(registers.read(Register.CAPS, Caps), registers.read(Register.DEV_STS, DeviceStatus))
    assert (caps, status) == (0x0000303F, 1)


@pytest.mark.parametrize(("readless", "waited"), [(False, 0.0), (True, 0.2)])
async def test_a_dead_card_is_told_as_a_timeout(host: Host, readless: bool, waited: float) -> None:
    registers = Registers(host.bar, host.memory, readless=readless)
    host.card.dead = True
    begun = asyncio.get_running_loop().time()
    with pytest.raises(RegisterTimeout) as caught:
        await registers.read(Register.DEV_STS, DeviceStatus)
    assert caught.value.waited == waited
    assert asyncio.get_running_loop().time() - begun == pytest.approx(waited)


async def test_an_answer_for_another_register_is_no_answer(host: Host) -> None:
    registers = Registers(host.bar, host.memory, readless=True)
    registers.announce_response()
    answer = host.card._readless
    host.card._readless = lambda request: answer(request & 0xFFFF)  # type: ignore[method-assign]
    with pytest.raises(RegisterTimeout):
        await registers.read(Register.CAPS, Caps)


async def test_closing_takes_the_answer_buffer_away(host: Host) -> None:
    before = host.memory.allocated
    registers = Registers(host.bar, host.memory)
    registers.announce_response()
    registers.close()
    assert host.card.registers[0x60] == host.card.registers[0x64] == 0
    assert host.memory.allocated == before
