"""What a card tells of its driver, who may write anything there."""

from __future__ import annotations

import ctypes

from hypothesis import given
from hypothesis import strategies as st

from appliance.runtime.card_report import _driver
from ena_dev.abi.features import HostInfo, OsType


def test_a_driver_is_told_as_it_says() -> None:
    info = HostInfo(os_type=OsType.DPDK, driver_major=2, driver_minor=8, driver_subminor=1, driver_module_type=ord("g"))
    info.kernel_version_name = type(info.kernel_version_name)(*b"6.1.0")
    assert _driver(info) == {"system": "dpdk", "distribution": "", "kernel": "6.1.0", "version": "2.8.1", "module": "g"}


@given(st.binary(min_size=ctypes.sizeof(HostInfo), max_size=ctypes.sizeof(HostInfo)))
def test_nothing_that_a_driver_says_harms_a_terminal(raw: bytes) -> None:
    said = _driver(HostInfo.parse(raw))
    assert all(text.isprintable() for text in said.values())
