"""The control registers of a polled BAR: told to the card in an order that a driver could have written them in.

A look sees what a driver wrote since the last one, not in which order. It need not: a driver waits for an answer before it goes on. Of what
can stand there together, a reset was written before the base addresses, and those before what asks for something; a reset makes all that
stood there before void. Triggers are taken before states are compared, so a trigger never runs ahead of the states that belong to it.
Source: ENA interface, Register file; Reset handshake; Readless register reads.
"""

from __future__ import annotations

from typing import Final

from ena_dev.abi.registers import Access, DeviceControl, Register
from ena_dev.bus.executor import Executor
from ena_dev.polled.bar import PolledBar

ASKING: Final[tuple[Register, ...]] = (Register.AQ_DB, Register.AENQ_HEAD_DB, Register.PHC_DB, Register.MMIO_REG_READ)
TRIGGERS: Final[tuple[Register, ...]] = (Register.DEV_CTL, *ASKING)
STATES: Final = tuple(register for register in Register if register.access is Access.WRITE and register not in TRIGGERS)
SHOWN: Final = tuple(register for register in Register if register.access is Access.READ)
MAILBOX: Final = (Register.MMIO_REG_READ, Register.MMIO_RESP_LO, Register.MMIO_RESP_HI)
"""Written right behind a reset, before it is answered."""


def control_bar(executor: Executor) -> PolledBar:
    """A BAR that is polled for an ENA card's registers."""
    return PolledBar(executor, [register.offset for register in TRIGGERS], [register.offset for register in STATES])


class ControlPage:
    """Tells the card behind `bar` what was written to its control registers."""

    def __init__(self, bar: PolledBar) -> None:
        self._bar = bar

    def serve(self) -> None:
        """Tell all that was written since the last time."""
        bar = self._bar
        taken = {register: value for register in TRIGGERS if (value := bar.take(register.offset)) is not None}
        control = taken.get(Register.DEV_CTL)
        if control is not None:
            bar.write(Register.DEV_CTL.offset, control)
            if DeviceControl(control).reset:
                bar.clear([register.offset for register in MAILBOX])
        for register in STATES:
            if (value := bar.changed(register.offset)) is not None:
                bar.write(register.offset, value)
        for register in ASKING:
            if register in taken:
                bar.write(register.offset, taken[register])
        self.show()
        bar.listen()

    def show(self) -> None:
        """Keep what a driver may read up to date: the card's state also changes by itself."""
        for register in SHOWN:
            self._bar.show(register.offset, self._bar.read(register.offset))

    def reset(self) -> None:
        """As after power-on."""
        self._bar.clear()
        self.show()
        self._bar.listen()
