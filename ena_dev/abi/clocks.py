"""Time that the card tells: its PTP clock (PHC), and time stamps of packets. Source: ENA interface, PHC_CONFIG; HW_TIMESTAMP."""

# ruff: noqa: RUF012  (ctypes reads the field lists once, when the class is made)
from __future__ import annotations

from enum import IntEnum, IntFlag

from ena_dev.abi.record import U8, U16, U32, U64, BusAddress, WireRecord

PHC_NOT_ANSWERED = 0xDEAD  # added by a driver to the request id that stands in the response before


class PhcError(IntFlag):
    """Which fields of a response mean nothing."""

    TIMESTAMP = 1 << 0
    ERROR_BOUND = 1 << 1


class PhcConfig(WireRecord):
    """PHC_CONFIG. GET tells the doorbell and timeouts, SET the response's address and length."""

    VERSION = 0

    _fields_ = [
        ("version", U8),
        ("_reserved1", U8 * 3),
        ("doorbell", U32),  # offset in BAR 0
        ("expire_timeout", U32),  # microseconds
        ("block_timeout", U32),  # microseconds
        ("response", BusAddress),
        ("response_length", U32),  # bytes
    ]


class PhcResponse(WireRecord):
    """One answer of the clock, in the driver's memory. The device writes the request id last."""

    _fields_ = [
        ("req_id", U16),
        ("_reserved2", U8 * 6),
        ("timestamp", U64),  # ns since 1970, UTC
        ("_reserved16", U64),
        ("error_bound", U32),  # ns
        ("error_flags", U32),  # PhcError
        ("_reserved32", U8 * 32),
    ]


class TimestampMode(IntEnum):
    NONE = 0
    ALL = 1


class HwTimestamp(WireRecord):
    """HW_TIMESTAMP: GET tells what is supported, SET chooses."""

    VERSION = 1

    _fields_ = [
        ("version", U8),
        ("tx", U8),  # TimestampMode
        ("rx", U8),  # TimestampMode
    ]
