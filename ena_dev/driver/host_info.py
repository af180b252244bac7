"""The page that tells the card who drives it. Source: ENA interface, HOST_ATTR_CONFIG."""

from __future__ import annotations

import os
import platform

from ena_dev.abi.features import HostInfo, OsType
from ena_dev.abi.record import U8

PAGE_SIZE = 4096
DRIVER_VERSION = (2, 0, 0)  # cards read a major of 2 as: knows all of this interface


def host_info() -> HostInfo:
    """Ours: honours the Rx offset, sets moderation and RSS key, sums over IPv6."""
    major, minor, subminor = DRIVER_VERSION
    info = HostInfo(
        os_type=OsType.LINUX,
        driver_major=major,
        driver_minor=minor,
        driver_subminor=subminor,
        spec_version=HostInfo.SPEC_VERSION,
        cpus=os.cpu_count() or 1,
        rx_offset=1,
        interrupt_moderation=1,
        rss_configurable=1,
        tx_ipv6_checksum=1,
    )
    info.os_distribution_name = _text("softena", 128)
    info.kernel_version_name = _text(platform.release(), 32)
    return info


def _text(text: str, size: int) -> object:
    """A C string cut to fit."""
    return (U8 * size)(*text.encode("ascii", "replace")[: size - 1])
