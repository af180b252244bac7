"""Flow rules: what SET of FLOW_STEERING_CONFIG carries, in the entry and in its control buffer, and what is answered.

Source: ENA interface, FLOW_STEERING_CONFIG.
"""

# ruff: noqa: RUF012  (ctypes reads the field lists once, when the class is made)
from __future__ import annotations

from enum import IntEnum

from ena_dev.abi.record import U8, U16, U32, WireRecord

ANY_LOCATION = 0xFFFF  # the card chooses


class FlowAction(IntEnum):
    ADD = 1
    REMOVE = 2
    REMOVE_ALL = 3


class FlowType(IntEnum):
    IPV4 = 1
    IPV6 = 2
    IPV4_TCP = 3
    IPV6_TCP = 4
    IPV4_UDP = 5
    IPV6_UDP = 6


class FlowSteering(WireRecord):
    """The entry. A rule that is added stands in the control buffer."""

    _fields_ = [
        ("action", U8),  # FlowAction
        ("flow_type", U8),  # FlowType
        ("queue", U16),  # number of a queue pair, not the index of an SQ
        ("location", U16),  # ANY_LOCATION
        ("_reserved6", U16),
        ("flags", U32),  # 0
    ]


class FlowSpec(WireRecord):
    """The rule: fields compared where their masks have ones. Addresses are in network order, IPv4 ones in the first four bytes."""

    _fields_ = [
        ("destination", U8 * 16),
        ("destination_mask", U8 * 16),
        ("source", U8 * 16),
        ("source_mask", U8 * 16),
        ("destination_port", U16),  # a number, as all of these
        ("destination_port_mask", U16),
        ("source_port", U16),
        ("source_port_mask", U16),
        ("tos", U8),
        ("tos_mask", U8),
        ("_reserved74", U8 * 54),
    ]


class FlowLocation(WireRecord):
    """The answer to ADD."""

    _fields_ = [("location", U16)]
