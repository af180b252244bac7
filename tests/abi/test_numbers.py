"""The numbers of commands, statuses, features, events and bits, typed a second time from the contract."""

from __future__ import annotations

from enum import Enum

import pytest

from ena_dev.abi import admin, clocks, eth_io, events, features, flow_steering, registers

NUMBERS: dict[type[Enum], str] = {
    admin.Opcode: "CREATE_SQ 1, DESTROY_SQ 2, CREATE_CQ 3, DESTROY_CQ 4, GET_FEATURE 8, SET_FEATURE 9, GET_STATS 11",
    admin.Status: (
        "SUCCESS 0, RESOURCE_ALLOCATION_FAILURE 1, BAD_OPCODE 2, UNSUPPORTED_OPCODE 3, MALFORMED_REQUEST 4, "
        "ILLEGAL_PARAMETER 5, UNKNOWN_ERROR 6, RESOURCE_BUSY 7"
    ),
    admin.Direction: "TX 1, RX 2",
    admin.Placement: "HOST 1, DEVICE 3",
    admin.StatsType: "BASIC 0, EXTENDED 1, ENI 2, SRD 3, CUSTOMER_METRICS 4",
    features.FeatureId: (
        "DEVICE_ATTRIBUTES 1, MAX_QUEUES_NUM 2, HW_HINTS 3, LLQ 4, EXTRA_PROPERTIES_STRINGS 5, EXTRA_PROPERTIES_FLAGS 6, "
        "MAX_QUEUES_EXT 7, FRAG_BYPASS 8, RSS_HASH_FUNCTION 10, STATELESS_OFFLOAD_CONFIG 11, RSS_INDIRECTION_TABLE_CONFIG 12, "
        "MTU 14, RSS_HASH_INPUT 18, INTERRUPT_MODERATION 20, LARGE_RECEIVE 24, AENQ_CONFIG 26, LINK_CONFIG 27, "
        "HOST_ATTR_CONFIG 28, PHC_CONFIG 29, FLOW_STEERING_CONFIG 30, HW_TIMESTAMP 31"
    ),
    features.Capability: "ENI_STATS 1, ENA_SRD_INFO 2, CUSTOMER_METRICS 4, EXTENDED_RESET_REASONS 8, CDESC_MBZ 16",
    admin.CustomerMetric: (
        "BW_IN_ALLOWANCE_EXCEEDED 1, BW_OUT_ALLOWANCE_EXCEEDED 2, PPS_ALLOWANCE_EXCEEDED 4, CONNTRACK_ALLOWANCE_EXCEEDED 8, "
        "LINKLOCAL_ALLOWANCE_EXCEEDED 16, CONNTRACK_ALLOWANCE_AVAILABLE 32"
    ),
    features.TxOffload: (
        "IPV4_CHECKSUM 1, L4_IPV4_PARTIAL 2, L4_IPV4_FULL 4, L4_IPV6_PARTIAL 8, L4_IPV6_FULL 16, TSO_IPV4 32, TSO_IPV6 64, TSO_ECN 128"
    ),
    features.RxOffload: "IPV4_CHECKSUM 1, L4_IPV4 2, L4_IPV6 4, HASH 8",
    features.LlqHeader: "INLINE 1, SEPARATE 2",
    features.LlqEntry: "BYTES_128 1, BYTES_192 2, BYTES_256 4",
    features.LlqStride: "SINGLE 1, MULTIPLE 2",
    features.LlqAccelerator: "DISABLE_META_CACHING 1, LIMIT_TX_BURST 2",
    features.HashFunction: "TOEPLITZ 2, CRC32 4",
    features.HashField: "L2_DESTINATION 1, L2_SOURCE 2, L3_DESTINATION 4, L3_SOURCE 8, L4_DESTINATION 16, L4_SOURCE 32",
    features.HashProtocol: (
        "TCP4 0, UDP4 1, TCP6 2, UDP6 3, IP4 4, IP6 5, IP4_FRAGMENT 6, NOT_IP 7, TCP6_EXTENSION 8, IP6_EXTENSION 9"
    ),
    features.OsType: "LINUX 1, WINDOWS 2, DPDK 3, FREEBSD 4, IPXE 5",
    flow_steering.FlowAction: "ADD 1, REMOVE 2, REMOVE_ALL 3",
    flow_steering.FlowType: "IPV4 1, IPV6 2, IPV4_TCP 3, IPV6_TCP 4, IPV4_UDP 5, IPV6_UDP 6",
    clocks.PhcError: "TIMESTAMP 1, ERROR_BOUND 2",
    clocks.TimestampMode: "NONE 0, ALL 1",
    events.Group: (
        "LINK_CHANGE 0, FATAL_ERROR 1, WARNING 2, NOTIFICATION 3, KEEP_ALIVE 4, REFRESH_CAPABILITIES 5, CONF_NOTIFICATIONS 6, "
        "DEVICE_REQUEST_RESET 7"
    ),
    eth_io.L3Protocol: "UNKNOWN 0, IPV4 8, IPV6 11, FCOE 21, ROCE 22",
    eth_io.L4Protocol: "UNKNOWN 0, TCP 12, UDP 13, ROUTABLE_ROCE 23",
    registers.ResetReason: (
        "NORMAL 0, KEEP_ALIVE_TO 1, ADMIN_TO 2, MISS_TX_CMPL 3, INV_RX_REQ_ID 4, INV_TX_REQ_ID 5, TOO_MANY_RX_DESCS 6, INIT_ERR 7, "
        "DRIVER_INVALID_STATE 8, OS_TRIGGER 9, OS_NETDEV_WD 10, SHUTDOWN 11, USER_TRIGGER 12, GENERIC 13, MISS_INTERRUPT 14, "
        "SUSPECTED_POLL_STARVATION 15, RX_DESCRIPTOR_MALFORMED 16, TX_DESCRIPTOR_MALFORMED 17, MISSING_ADMIN_INTERRUPT 18, "
        "DEVICE_REQUEST 19, MISS_FIRST_INTERRUPT 20"
    ),
}


@pytest.mark.parametrize("numbers", NUMBERS, ids=lambda numbers: numbers.__name__)
def test_numbers_are_the_contracts(numbers: type[Enum]) -> None:
    assert ", ".join(f"{member.name} {member.value}" for member in numbers) == NUMBERS[numbers]


def test_masks_are_bits_of_the_number() -> None:
    assert features.FeatureId.AENQ_CONFIG.mask == 0x0400_0000
    assert events.Group.KEEP_ALIVE.mask == 0x10
