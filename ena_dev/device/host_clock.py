"""The clock behind the card's PHC: this host's CLOCK_REALTIME, and how wrong the kernel thinks it may be.

The kernel keeps a bound (maxerror, which grows by 500 ppm between corrections) as long as something disciplines the clock. On a clock that
nothing disciplines there is no bound that would be true, and none is told. Source: adjtimex(2); RFC 5905 for the bound.
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass

UNSYNCHRONISED = 0x40  # STA_UNSYNC
OWN_ERROR = 1_000  # ns: the order in which bound and time are read, and the resolution of both


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One look at a clock."""

    utc: int  # ns since 1970, as POSIX counts: without leap seconds
    error_bound: int | None  # ns; None: not known
    monotonic: int  # ns of CLOCK_MONOTONIC at the same moment


class Timex(ctypes.Structure):
    """struct timex, as far as it is read, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # us
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


_adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex


def host_clock() -> ClockReading:
    """The time now, with the kernel's error bound."""
    bound = _error_bound()
    return ClockReading(time.clock_gettime_ns(time.CLOCK_REALTIME), bound, time.clock_gettime_ns(time.CLOCK_MONOTONIC))


def _error_bound() -> int | None:
    state = Timex()
    if _adjtimex(ctypes.byref(state)) < 0 or state.status & UNSYNCHRONISED:
        return None
    return int(state.maxerror) * 1_000 + OWN_ERROR
