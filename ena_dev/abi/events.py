"""Asynchronous events: the AENQ entry, its groups, and the payload of each event the card sends.

Source: ENA interface, AENQ.
"""

# ruff: noqa: RUF012  (ctypes reads the field lists once, when the class is made)
from __future__ import annotations

from enum import IntEnum

from ena_dev.abi.features import HwHints
from ena_dev.abi.record import U8, U16, U32, U64, WireRecord


class Group(IntEnum):
    LINK_CHANGE = 0
    FATAL_ERROR = 1
    WARNING = 2
    NOTIFICATION = 3
    KEEP_ALIVE = 4
    REFRESH_CAPABILITIES = 5
    CONF_NOTIFICATIONS = 6
    DEVICE_REQUEST_RESET = 7

    @property
    def mask(self) -> int:
        """The group's bit in AENQ_CONFIG."""
        return 1 << self.value


class NotificationSyndrome(IntEnum):
    UPDATE_HINTS = 2


class AenqEntry(WireRecord):
    """The first 16 bytes of each event: what and when. The device writes the phase last."""

    _fields_ = [
        ("group", U16),  # Group
        ("syndrome", U16),
        ("phase", U8, 1),
        ("_flags1", U8, 7),
        ("_reserved5", U8 * 3),
        ("timestamp_low", U32),  # microseconds since the card started
        ("timestamp_high", U32),
    ]


class RawEvent(AenqEntry):
    """An event before its group is judged; also one without payload."""

    _fields_ = [("payload", U8 * 48)]


class LinkChange(AenqEntry):
    """LINK_CHANGE: the only way a driver learns of its carrier."""

    _fields_ = [
        ("link_up", U32, 1),
        ("_link1", U32, 31),
        ("_reserved20", U8 * 44),
    ]


class KeepAlive(AenqEntry):
    """KEEP_ALIVE, once a second. Counters are packets since the last reset."""

    _fields_ = [
        ("rx_drops", U64),  # dropped for policy reasons
        ("tx_drops", U64),  # dropped after accepting
        ("rx_overruns", U64),  # dropped for want of posted buffers
        ("_reserved40", U8 * 24),
    ]


class HintsUpdate(AenqEntry):
    """NOTIFICATION, syndrome UPDATE_HINTS."""

    _fields_ = [
        ("hints", HwHints),
        ("_reserved48", U8 * 16),
    ]


class ConfNotification(AenqEntry):
    """CONF_NOTIFICATIONS: bit N-1 tells of sub-optimal configuration N."""

    _fields_ = [
        ("codes", U64),
        ("_reserved24", U64),
        ("_reserved32", U8 * 32),
    ]
