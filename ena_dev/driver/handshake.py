"""The two-phase reset of the card. Source: ENA interface, Reset handshake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ena_dev.abi.registers import Caps, ControllerVersion, DeviceControl, DeviceStatus, Register, ResetReason, Version
from ena_dev.driver.polling import pauses
from ena_dev.driver.registers import Registers
from ena_dev.errors import DeviceError, ResetTimeout

TIMEOUT_UNIT = 0.1  # CAPS counts 100 ms
ADMIN_TIMEOUT = 3.0  # where CAPS leaves it to the driver
ADDRESS_WIDTHS = range(32, 49)
OLDEST_CONTROLLER = (0, 0, 1)


async def reset_card(registers: Registers, reason: ResetReason, *, extended: bool, stopped: Callable[[], None] | None = None) -> float:
    """Reset the card; returns its admin timeout.

    `extended`: the card understands reasons above 15. `stopped` is called once the card shows the reset: from then on it
    touches no memory. Raises DeviceError if the card is not ready, ResetTimeout if it does not follow.
    """
    status = await registers.read(Register.DEV_STS, DeviceStatus)
    if not status.ready and not status.reset_in_progress:
        raise DeviceError("the card is not ready for a reset")
    caps = await registers.read(Register.CAPS, Caps)
    if not caps.reset_timeout:
        raise DeviceError("the card names no reset timeout")
    timeout = caps.reset_timeout * TIMEOUT_UNIT
    registers.write(Register.DEV_CTL, DeviceControl.reset_for(reason, extended=extended))
    registers.announce_response()
    await _wait_for(registers, in_progress=True, patience=timeout)
    if stopped is not None:
        stopped()
    registers.write(Register.DEV_CTL, DeviceControl.of())
    await _wait_for(registers, in_progress=False, patience=timeout)
    return caps.admin_timeout * TIMEOUT_UNIT or ADMIN_TIMEOUT


async def _wait_for(registers: Registers, *, in_progress: bool, patience: float) -> None:
    for pause in pauses(patience):
        if bool((await registers.read(Register.DEV_STS, DeviceStatus)).reset_in_progress) == in_progress:
            return
        await asyncio.sleep(pause)
    raise ResetTimeout("begin" if in_progress else "end", patience)


async def check_versions(registers: Registers) -> ControllerVersion:
    """The controller's version. Raises DeviceError if it is older than 0.0.1, or can't address host memory as drivers need it."""
    await registers.read(Register.VERSION, Version)
    controller = await registers.read(Register.CONTROLLER_VERSION, ControllerVersion)
    if (controller.major, controller.minor, controller.subminor) < OLDEST_CONTROLLER:
        raise DeviceError(f"controller version {controller!r} is too old")
    width = (await registers.read(Register.CAPS, Caps)).dma_addr_width
    if width not in ADDRESS_WIDTHS:
        raise DeviceError(f"the card addresses {width} bits of memory, not 32 to 48")
    return controller


async def require_ready(registers: Registers) -> None:
    """Raises DeviceError unless the card takes an admin queue now."""
    if not (await registers.read(Register.DEV_STS, DeviceStatus)).ready:
        raise DeviceError("the card is not ready for an admin queue")
