"""BAR 0, page 0: a row per register, a class per register value.

All registers are 32 bits wide. `Register.at(offset)` finds the row of an offset; a value class names the bits of one register,
and `of` builds a value from names.
Source: ENA interface, Register file; Reset handshake; Interrupt unmask register; NUMA config register.
"""

# ruff: noqa: RUF012  (ctypes reads the field lists once, when the class is made)
from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, IntEnum, auto
from typing import Any, Self, overload

from ena_dev.abi.record import U16, U32, WireRecord
from ena_dev.errors import UsageError

REGISTER_PAGE = 0x1000  # bytes of the control registers; IO doorbells lie above
BAR0_SIZE = 0x4000
DEAD = 0xFFFFFFFF  # what a read of an absent device yields: never a legal value


class Access(Enum):
    READ = auto()
    WRITE = auto()
    NONE = auto()  # defined, but no driver touches it


class Register(Enum):
    """The control registers: byte offset, and what drivers do with them."""

    #                    offset  access           value class
    VERSION              = (0x00, Access.READ)   # Version
    CONTROLLER_VERSION   = (0x04, Access.READ)   # ControllerVersion
    CAPS                 = (0x08, Access.READ)   # Caps
    CAPS_EXT             = (0x0C, Access.NONE)
    AQ_BASE_LO           = (0x10, Access.WRITE)
    AQ_BASE_HI           = (0x14, Access.WRITE)
    AQ_CAPS              = (0x18, Access.WRITE)  # RingCaps
    ACQ_BASE_LO          = (0x20, Access.WRITE)
    ACQ_BASE_HI          = (0x24, Access.WRITE)
    ACQ_CAPS             = (0x28, Access.WRITE)  # RingCaps
    AQ_DB                = (0x2C, Access.WRITE)  # free-running tail, never masked to the depth
    ACQ_TAIL             = (0x30, Access.NONE)
    AENQ_CAPS            = (0x34, Access.WRITE)  # RingCaps
    AENQ_BASE_LO         = (0x38, Access.WRITE)
    AENQ_BASE_HI         = (0x3C, Access.WRITE)
    AENQ_HEAD_DB         = (0x40, Access.WRITE)  # free-running head, starts at the depth
    AENQ_TAIL            = (0x44, Access.NONE)
    INTR_MASK            = (0x4C, Access.WRITE)  # InterruptMask
    DEV_CTL              = (0x54, Access.WRITE)  # DeviceControl
    DEV_STS              = (0x58, Access.READ)   # DeviceStatus
    MMIO_REG_READ        = (0x5C, Access.WRITE)  # ReadRequest
    MMIO_RESP_LO         = (0x60, Access.WRITE)
    MMIO_RESP_HI         = (0x64, Access.WRITE)
    RSS_IND_ENTRY_UPDATE = (0x68, Access.NONE)   # IndirectionUpdate
    PHC_DB               = (0x100, Access.WRITE)

    @property
    def offset(self) -> int:
        return self.value[0]

    @property
    def access(self) -> Access:
        return self.value[1]

    @classmethod
    def at(cls, offset: int) -> Register | None:
        """The register at a byte offset; None where nothing is assigned."""
        return _BY_OFFSET.get(offset)


_BY_OFFSET = {register.offset: register for register in Register}


class Bits:
    """A named bit range of a register value; read it on a value, or take the descriptor from the class."""

    def __init__(self, high: int, low: int) -> None:
        self.high, self.low = high, low

    @property
    def largest(self) -> int:
        return (1 << (self.high - self.low + 1)) - 1

    @overload
    def __get__(self, value: None, owner: type) -> Bits: ...
    @overload
    def __get__(self, value: int, owner: type) -> int: ...
    def __get__(self, value: int | None, owner: type) -> Bits | int:
        return self if value is None else value >> self.low & self.largest


def bits(high: int, low: int | None = None) -> Bits:
    """Bits high..low inclusive; one bit if `low` is left out."""
    return Bits(high, high if low is None else low)


class RegisterValue(int):
    """A 32-bit register value with named fields."""

    @classmethod
    def of(cls, **fields: int) -> Self:
        """Build a value. Raises UsageError for an unknown name or a number that does not fit."""
        known, value = dict(cls.fields()), 0
        for name, number in fields.items():
            field = known.get(name)
            if field is None or not 0 <= number <= field.largest:
                raise UsageError(f"{cls.__name__}.{name} can't hold {number}")
            value |= number << field.low
        return cls(value)

    @classmethod
    def fields(cls) -> Iterator[tuple[str, Bits]]:
        return ((name, field) for name, field in vars(cls).items() if isinstance(field, Bits))

    def __repr__(self) -> str:
        shown = ((name, int(self) >> field.low & field.largest) for name, field in self.fields())
        return f"{type(self).__name__}({', '.join(f'{name}={number}' for name, number in shown if number)})"


class Version(RegisterValue):
    """VERSION: of the register interface."""

    minor = bits(7, 0)
    major = bits(15, 8)


class ControllerVersion(RegisterValue):
    """CONTROLLER_VERSION. Without the implementation it must be at least 0.0.1."""

    subminor = bits(7, 0)
    minor = bits(15, 8)
    major = bits(23, 16)
    implementation = bits(31, 24)


class Caps(RegisterValue):
    """CAPS. Timeouts count 100 ms; admin_timeout 0 leaves the driver its default."""

    contiguous_queue_required = bits(0)
    reset_timeout = bits(5, 1)
    dma_addr_width = bits(15, 8)  # address bits, 32..48
    admin_timeout = bits(19, 16)


class RingCaps(RegisterValue):
    """AQ_CAPS, ACQ_CAPS, AENQ_CAPS. Zero stops the ring."""

    depth = bits(15, 0)  # entries
    entry_size = bits(31, 16)  # bytes


class InterruptMask(RegisterValue):
    """INTR_MASK: gates vector 0."""

    masked = bits(0)


class DeviceControl(RegisterValue):
    """DEV_CTL. The reset reason is split over two nibbles; the high one needs a capability."""

    reset = bits(0)
    aq_restart = bits(1)
    quiescent = bits(2)
    io_resume = bits(3)
    reason_high = bits(27, 24)
    reason_low = bits(31, 28)

    @property
    def reason(self) -> int:
        return int(self.reason_high) << 4 | int(self.reason_low)

    @classmethod
    def reset_for(cls, reason: int, *, extended: bool) -> Self:
        """The value that starts a reset. Without extended reasons, those above 15 are told as GENERIC."""
        told = reason if extended or reason < 16 else ResetReason.GENERIC
        return cls.of(reset=1, reason_high=told >> 4, reason_low=told & 0xF)


class DeviceStatus(RegisterValue):
    """DEV_STS."""

    ready = bits(0)
    aq_restart_in_progress = bits(1)
    aq_restart_finished = bits(2)
    reset_in_progress = bits(3)
    reset_finished = bits(4)
    fatal_error = bits(5)
    quiescent_in_progress = bits(6)
    quiescent_achieved = bits(7)


class ReadRequest(RegisterValue):
    """MMIO_REG_READ: asks for a readless read."""

    req_id = bits(15, 0)
    offset = bits(31, 16)  # bytes


class IndirectionUpdate(RegisterValue):
    """RSS_IND_ENTRY_UPDATE."""

    index = bits(15, 0)
    queue = bits(31, 16)


class InterruptControl(RegisterValue):
    """An interrupt unmask register of the IO doorbell pages. Delays count the moderation resolution."""

    rx_delay = bits(14, 0)
    tx_delay = bits(29, 15)
    unmask = bits(30)
    no_moderation_update = bits(31)


class NumaConfig(RegisterValue):
    """A NUMA config register of the IO doorbell pages: advice only."""

    node = bits(7, 0)
    enabled = bits(31)


class ReadResponse(WireRecord):
    """The answer to a readless read, in host memory; the device writes req_id last. Source: ENA interface, Readless register reads."""

    _fields_ = [
        ("req_id", U16),
        ("offset", U16),  # bytes, echoes the request
        ("value", U32),
    ]


class ResetReason(IntEnum):
    """Why a driver resets the card. Source: ENA interface, Reset handshake."""

    NORMAL = 0
    KEEP_ALIVE_TO = 1
    ADMIN_TO = 2
    MISS_TX_CMPL = 3
    INV_RX_REQ_ID = 4
    INV_TX_REQ_ID = 5
    TOO_MANY_RX_DESCS = 6
    INIT_ERR = 7
    DRIVER_INVALID_STATE = 8
    OS_TRIGGER = 9
    OS_NETDEV_WD = 10
    SHUTDOWN = 11
    USER_TRIGGER = 12
    GENERIC = 13
    MISS_INTERRUPT = 14
    SUSPECTED_POLL_STARVATION = 15
    RX_DESCRIPTOR_MALFORMED = 16
    TX_DESCRIPTOR_MALFORMED = 17
    MISSING_ADMIN_INTERRUPT = 18
    DEVICE_REQUEST = 19
    MISS_FIRST_INTERRUPT = 20

    @classmethod
    def _missing_(cls, value: Any) -> ResetReason:
        return cls.GENERIC  # a reason nobody defined is still a reset
