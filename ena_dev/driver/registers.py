"""Typed access to a card's BAR 0: direct reads, or readless ones where a plain read would not do.

    direct     bar.read(offset)
    readless   MMIO_REG_READ <- (offset, sequence)  ...  the card writes {sequence, offset, value} to host memory

Source: ENA interface, Register file and Readless register reads.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

from ena_dev.abi.record import BusAddress
from ena_dev.abi.registers import DEAD, ReadRequest, ReadResponse, Register, RegisterValue
from ena_dev.bus.memory import Memory
from ena_dev.bus.mmio import RegisterBar
from ena_dev.driver.polling import pauses
from ena_dev.errors import RegisterTimeout

V = TypeVar("V", bound=RegisterValue)

READ_TIMEOUT = 0.2
UNMATCHED = 0xDEAD  # added to the sequence number, so that an old answer can't look like a new one


class Registers:
    """One card's registers. `readless` picks the way of reading; the answer buffer is announced in both cases."""

    def __init__(self, bar: RegisterBar, memory: Memory, *, readless: bool = False) -> None:
        self._bar, self._memory, self.readless = bar, memory, readless
        self._response = memory.allocate(ReadResponse.size())
        self._sequence = 0
        self._one_reader = asyncio.Lock()
        self.read_timeout = READ_TIMEOUT

    def announce_response(self) -> None:
        """Tell the card where readless answers go. Repeated in each reset, which makes real cards forget."""
        address = BusAddress.of(self._response)
        self.write(Register.MMIO_RESP_LO, address.low)
        self.write(Register.MMIO_RESP_HI, address.high)

    def close(self) -> None:
        """Take the answer buffer away from the card and free it."""
        self.write(Register.MMIO_RESP_LO, 0)
        self.write(Register.MMIO_RESP_HI, 0)
        self._memory.free(self._response)

    async def read(self, register: Register, kind: type[V]) -> V:
        """The register's value. Raises RegisterTimeout if the card is dead or does not answer in time."""
        if self.readless:
            async with self._one_reader:
                value = await self._read_through_memory(register)
        else:
            value = self._bar.read(register.offset)
        if value == DEAD:
            raise RegisterTimeout(register.name, 0.0)
        return kind(value)

    def write(self, register: Register, value: int) -> None:
        self._bar.write(register.offset, value)

    def ring(self, offset: int, value: int) -> None:
        """Write an IO register: a doorbell or an unmask register, by its BAR 0 offset."""
        self._bar.write(offset, value)

    async def _read_through_memory(self, register: Register) -> int:
        self._sequence = self._sequence + 1 & 0xFFFF
        self._memory.write(self._response, bytes(ReadResponse(req_id=self._sequence + UNMATCHED & 0xFFFF)))
        self.write(Register.MMIO_REG_READ, ReadRequest.of(req_id=self._sequence, offset=register.offset))
        for pause in pauses(self.read_timeout):
            response = ReadResponse.parse(self._memory.read(self._response, ReadResponse.size()))
            if response.req_id == self._sequence:
                return int(response.value) if response.offset == register.offset else DEAD
            await asyncio.sleep(pause)
        raise RegisterTimeout(register.name, self.read_timeout)
