"""Control buffers, and how a command is refused.

A driver gives some commands a flat buffer in its memory. Which flag bit says so is not looked at: drivers set either, or none.
Source: ENA interface, AQ entry; Opcodes and status.
"""

from __future__ import annotations

from ena_dev.abi.admin import ControlBuffer, Status
from ena_dev.device.interfaces import Memory
from ena_dev.errors import BusError, SoftenaError


class Refused(SoftenaError):
    """A command that ends with a status other than success. It never leaves the command layer."""

    def __init__(self, status: Status, why: str) -> None:
        super().__init__(f"{status.name}: {why}")
        self.status, self.why = status, why


def illegal(why: str) -> Refused:
    return Refused(Status.ILLEGAL_PARAMETER, why)


def malformed(why: str) -> Refused:
    return Refused(Status.MALFORMED_REQUEST, why)


def unsupported(why: str) -> Refused:
    return Refused(Status.UNSUPPORTED_OPCODE, why)


def read_buffer(memory: Memory, buffer: ControlBuffer, length: int) -> bytes:
    """Copy `length` bytes out of a control buffer. Raises Refused if it is shorter than that or not mapped."""
    _require_room(buffer, length)
    try:
        return memory.read(buffer.address.value, length)
    except BusError as error:
        raise illegal(str(error)) from error


def write_buffer(memory: Memory, buffer: ControlBuffer, data: bytes) -> None:
    """Fill the start of a control buffer. Raises Refused if it is shorter than `data` or not mapped."""
    _require_room(buffer, len(data))
    try:
        memory.write(buffer.address.value, data)
    except BusError as error:
        raise illegal(str(error)) from error


def _require_room(buffer: ControlBuffer, length: int) -> None:
    if buffer.length < length:
        raise malformed(f"control buffer of {buffer.length} bytes, {length} needed")
