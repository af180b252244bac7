"""Admin commands and completions: opcodes, statuses, and the 64-byte entries of the AQ and ACQ rings.

A command record extends `AdminCommand`, a response record extends `AdminCompletion`; all are one ring entry long. Payloads of
features stand in `features`. Source: ENA interface, Admin queue.
"""

# ruff: noqa: RUF012  (ctypes reads the field lists once, when the class is made)
from __future__ import annotations

from enum import IntEnum, IntFlag

from ena_dev.abi.record import U8, U16, U32, U64, BusAddress, WireRecord

ENTRY_SIZE = 64  # bytes, of AQ, ACQ and AENQ entries alike
NO_VECTOR = 0xFFFFFFFF


class Opcode(IntEnum):
    CREATE_SQ = 1
    DESTROY_SQ = 2
    CREATE_CQ = 3
    DESTROY_CQ = 4
    GET_FEATURE = 8
    SET_FEATURE = 9
    GET_STATS = 11


class Status(IntEnum):
    SUCCESS = 0
    RESOURCE_ALLOCATION_FAILURE = 1
    BAD_OPCODE = 2
    UNSUPPORTED_OPCODE = 3  # the only one that drivers tolerate: whatever this card lacks
    MALFORMED_REQUEST = 4
    ILLEGAL_PARAMETER = 5
    UNKNOWN_ERROR = 6
    RESOURCE_BUSY = 7


class Direction(IntEnum):
    TX = 1
    RX = 2


class Placement(IntEnum):
    HOST = 1
    DEVICE = 3  # LLQ


class CompletionPolicy(IntEnum):
    PER_DESCRIPTOR = 0
    ON_DEMAND = 1
    HEAD_ON_DEMAND = 2
    HEAD = 3


class StatsType(IntEnum):
    BASIC = 0
    EXTENDED = 1
    ENI = 2
    SRD = 3
    CUSTOMER_METRICS = 4


class CustomerMetric(IntFlag):
    """Bits of a customer metrics bitmap; the values stand in their order."""

    BW_IN_ALLOWANCE_EXCEEDED = 1 << 0
    BW_OUT_ALLOWANCE_EXCEEDED = 1 << 1
    PPS_ALLOWANCE_EXCEEDED = 1 << 2
    CONNTRACK_ALLOWANCE_EXCEEDED = 1 << 3
    LINKLOCAL_ALLOWANCE_EXCEEDED = 1 << 4
    CONNTRACK_ALLOWANCE_AVAILABLE = 1 << 5  # a gauge


class StatsScope(IntEnum):
    QUEUE = 0
    DEVICE = 1


class Select(IntEnum):
    """Which values of a feature; drivers send 0 and mean the current ones."""

    UNSPECIFIED = 0
    CURRENT = 1
    DEFAULT = 3


class ControlBuffer(WireRecord):
    """Where a command keeps more data: a flat buffer, whichever of the two flags says so."""

    _fields_ = [
        ("length", U32),  # bytes
        ("address", BusAddress),
    ]


class AdminCommand(WireRecord):
    """The first word of each AQ entry."""

    _fields_ = [
        ("command_id", U16, 12),
        ("_mbz12", U16, 4),
        ("opcode", U8),
        ("phase", U8, 1),
        ("control_data", U8, 1),
        ("control_data_indirect", U8, 1),
        ("_mbz3", U8, 5),
    ]


class RawCommand(AdminCommand):
    """An AQ entry before its opcode is judged."""

    _fields_ = [("body", U8 * 60)]


class CreateCq(AdminCommand):
    """CREATE_CQ, sent before the SQ that uses it."""

    _fields_ = [
        ("_caps1_0", U8, 5),
        ("interrupt_mode", U8, 1),
        ("_caps1_6", U8, 2),
        ("entry_words", U8, 5),  # 2: Tx, 4: Rx or extended Tx, 8: extended Rx
        ("_caps2_5", U8, 3),
        ("depth", U16),  # entries, a power of two
        ("vector", U32),  # out of range: never interrupt
        ("ring", BusAddress),
        ("_reserved20", U8 * 44),
    ]


class CreateSq(AdminCommand):
    """CREATE_SQ."""

    _fields_ = [
        ("_identity0", U8, 5),
        ("direction", U8, 3),  # Direction
        ("_reserved5", U8),
        ("placement", U8, 4),  # Placement
        ("completion_policy", U8, 3),  # CompletionPolicy
        ("_caps2_7", U8, 1),
        ("contiguous", U8, 1),
        ("_caps3_1", U8, 7),
        ("cq_index", U16),
        ("depth", U16),  # entries (LLQ: lines), a power of two
        ("ring", BusAddress),  # 0 for LLQ
        ("head_writeback", BusAddress),  # always 0
        ("_reserved28", U8 * 36),
    ]


class DestroySq(AdminCommand):
    """DESTROY_SQ."""

    _fields_ = [
        ("sq_index", U16),
        ("_identity0", U8, 5),
        ("direction", U8, 3),  # Direction
        ("_reserved7", U8),
        ("_reserved8", U8 * 56),
    ]


class DestroyCq(AdminCommand):
    """DESTROY_CQ."""

    _fields_ = [
        ("cq_index", U16),
        ("_reserved6", U16),
        ("_reserved8", U8 * 56),
    ]


class FeatureCommand(AdminCommand):
    """GET_FEATURE and SET_FEATURE; the payload is empty in GET."""

    _fields_ = [
        ("buffer", ControlBuffer),
        ("select", U8, 2),  # Select
        ("_flags2", U8, 6),
        ("feature_id", U8),  # features.FeatureId
        ("feature_version", U8),  # the highest the driver knows, from zero
        ("_reserved19", U8),
        ("payload", U8 * 44),
    ]


class GetStats(AdminCommand):
    """GET_STATS."""

    _fields_ = [
        ("buffer", ControlBuffer),  # customer metrics only
        ("stats_type", U8),  # StatsType
        ("scope", U8),  # StatsScope; queue 0 means the whole device to most drivers
        ("_reserved18", U16),
        ("queue_index", U16),
        ("device_id", U16),
        ("requested_metrics", U64),
        ("_reserved32", U8 * 32),
    ]


class AdminCompletion(WireRecord):
    """The first two words of each ACQ entry. The device writes the first one last."""

    _fields_ = [
        ("command_id", U16, 12),
        ("_reserved12", U16, 4),
        ("status", U8),  # Status
        ("phase", U8, 1),
        ("_flags1", U8, 7),
        ("extended_status", U16),
        ("sq_head", U16),  # AQ entries consumed so far
    ]


class RawCompletion(AdminCompletion):
    """An ACQ entry whose response is read by what was asked; also that of empty responses and features."""

    _fields_ = [("payload", U8 * 56)]


class CreateCqResponse(AdminCompletion):
    """Offsets are bytes in BAR 0; 0 means there is no such register."""

    _fields_ = [
        ("cq_index", U16),
        ("actual_depth", U16),  # entries
        ("numa_offset", U32),
        ("head_doorbell_offset", U32),
        ("unmask_offset", U32),
        ("_reserved24", U8 * 40),
    ]


class CreateSqResponse(AdminCompletion):
    """The doorbell lies in BAR 0, LLQ memory in BAR 2; offsets in bytes."""

    _fields_ = [
        ("sq_index", U16),
        ("_reserved10", U16),
        ("doorbell_offset", U32),
        ("llq_descriptors_offset", U32),
        ("llq_headers_offset", U32),
        ("_reserved24", U8 * 40),
    ]


class BasicStatsResponse(AdminCompletion):
    """GET_STATS, basic: seven counters, each as low and high word. Source: ENA interface, GET_STATS payloads."""

    _fields_ = [
        ("tx_bytes", U64),
        ("tx_packets", U64),
        ("rx_bytes", U64),
        ("rx_packets", U64),
        ("rx_drops", U64),
        ("tx_drops", U64),
        ("rx_overruns", U64),
    ]


class EniStatsResponse(AdminCompletion):
    """GET_STATS, ENI: packets that waited or were dropped because of an allowance. Source: ENA interface, GET_STATS payloads."""

    _fields_ = [
        ("bw_in_allowance_exceeded", U64),
        ("bw_out_allowance_exceeded", U64),
        ("pps_allowance_exceeded", U64),
        ("conntrack_allowance_exceeded", U64),
        ("linklocal_allowance_exceeded", U64),
        ("_reserved48", U8 * 16),
    ]


class CustomerMetricsResponse(AdminCompletion):
    """GET_STATS, customer metrics: which ones there are. Their values, u64 each, go to the control buffer."""

    _fields_ = [
        ("reported_metrics", U64),  # CustomerMetric
        ("_reserved16", U8 * 48),
    ]
