"""Features: their numbers, and the records that GET_FEATURE and SET_FEATURE carry in the entry or in a control buffer.

A GET payload starts at byte 8 of the completion, a SET payload at byte 20 of the command. Source: ENA interface, Features.

`LARGE_RECEIVE` is a vendor feature under an unassigned number. Only a driver that asks for it sees its fields in Rx completions;
it carries the segment size and the state of the checksum of a packet larger than the MTU.
"""

# ruff: noqa: RUF012  (ctypes reads the field lists once, when the class is made)
from __future__ import annotations

from enum import IntEnum, IntFlag

from ena_dev.abi.record import U8, U16, U32, BusAddress, WireRecord

RSS_KEY_SIZE = 40  # bytes
NO_INLINE_ENTRY = 0xFFFFFFFF
HINT_OFF = 0xFFFF  # a watchdog hint that switches the watchdog off


class FeatureId(IntEnum):
    DEVICE_ATTRIBUTES = 1
    MAX_QUEUES_NUM = 2
    HW_HINTS = 3
    LLQ = 4
    EXTRA_PROPERTIES_STRINGS = 5
    EXTRA_PROPERTIES_FLAGS = 6
    MAX_QUEUES_EXT = 7
    FRAG_BYPASS = 8
    RSS_HASH_FUNCTION = 10
    STATELESS_OFFLOAD_CONFIG = 11
    RSS_INDIRECTION_TABLE_CONFIG = 12
    MTU = 14
    RSS_HASH_INPUT = 18
    INTERRUPT_MODERATION = 20
    LARGE_RECEIVE = 24  # vendor
    AENQ_CONFIG = 26
    LINK_CONFIG = 27
    HOST_ATTR_CONFIG = 28
    PHC_CONFIG = 29
    FLOW_STEERING_CONFIG = 30
    HW_TIMESTAMP = 31

    @property
    def mask(self) -> int:
        """The feature's bit in supported_features."""
        return 1 << self.value


class Capability(IntFlag):
    """Bits of the capabilities word of the device attributes."""

    ENI_STATS = 1 << 0
    ENA_SRD_INFO = 1 << 1
    CUSTOMER_METRICS = 1 << 2
    EXTENDED_RESET_REASONS = 1 << 3
    CDESC_MBZ = 1 << 4


class TxOffload(IntFlag):
    """Bits of the tx word of the stateless offloads."""

    IPV4_CHECKSUM = 1 << 0
    L4_IPV4_PARTIAL = 1 << 1  # the field holds the pseudo-header sum
    L4_IPV4_FULL = 1 << 2
    L4_IPV6_PARTIAL = 1 << 3
    L4_IPV6_FULL = 1 << 4
    TSO_IPV4 = 1 << 5
    TSO_IPV6 = 1 << 6
    TSO_ECN = 1 << 7


class RxOffload(IntFlag):
    """Bits of the rx words of the stateless offloads."""

    IPV4_CHECKSUM = 1 << 0
    L4_IPV4 = 1 << 1
    L4_IPV6 = 1 << 2
    HASH = 1 << 3


class HashFunction(IntFlag):
    """Bits of supported and selected RSS functions: 1 << function number."""

    TOEPLITZ = 1 << 1
    CRC32 = 1 << 2


class HashField(IntFlag):
    """Header fields that may enter the RSS hash."""

    L2_DESTINATION = 1 << 0
    L2_SOURCE = 1 << 1
    L3_DESTINATION = 1 << 2
    L3_SOURCE = 1 << 3
    L4_DESTINATION = 1 << 4
    L4_SOURCE = 1 << 5


class HashProtocol(IntEnum):
    """Rows of the hash input arrays."""

    TCP4 = 0
    UDP4 = 1
    TCP6 = 2
    UDP6 = 3
    IP4 = 4
    IP6 = 5
    IP4_FRAGMENT = 6
    NOT_IP = 7
    TCP6_EXTENSION = 8
    IP6_EXTENSION = 9


class OsType(IntEnum):
    LINUX = 1
    WINDOWS = 2
    DPDK = 3
    FREEBSD = 4
    IPXE = 5


class LlqHeader(IntFlag):
    """Where an LLQ's headers are."""

    INLINE = 1 << 0  # in the packet's first line
    SEPARATE = 1 << 1


class LlqEntry(IntFlag):
    """Bytes of an LLQ's line."""

    BYTES_128 = 1 << 0
    BYTES_192 = 1 << 1
    BYTES_256 = 1 << 2


class LlqStride(IntFlag):
    """Descriptors in each line after a packet's first."""

    SINGLE = 1 << 0
    MULTIPLE = 1 << 1  # as many as it holds


class LlqAccelerator(IntFlag):
    """What makes LLQs easier for a card."""

    DISABLE_META_CACHING = 1 << 0  # each packet brings a meta descriptor
    LIMIT_TX_BURST = 1 << 1


class LargeReceiveFlag(IntFlag):
    """Bits of the vendor feature."""

    SEGMENT_SIZE = 1 << 0  # segment size and partial checksum in 32-byte Rx completions


class DeviceAttributes(WireRecord):
    """DEVICE_ATTRIBUTES."""

    _fields_ = [
        ("impl_id", U32),
        ("device_version", U32),
        ("supported_features", U32),  # FeatureId.mask
        ("capabilities", U32),  # Capability
        ("phys_addr_width", U32),  # bits
        ("virt_addr_width", U32),  # bits
        ("mac", U8 * 6),  # network order
        ("flow_steering_max_entries", U16),
        ("max_mtu", U32),  # bytes, without the Ethernet header
    ]


class HwHints(WireRecord):
    """HW_HINTS, and the payload of the hints notification. Zero keeps the driver's default; times in ms."""

    _fields_ = [
        ("mmio_read_timeout", U16),
        ("driver_watchdog_timeout", U16),  # HINT_OFF: off
        ("missing_tx_completion_timeout", U16),
        ("missed_tx_completion_count_threshold", U16),  # packets
        ("admin_completion_timeout", U16),
        ("netdev_watchdog_timeout", U16),  # HINT_OFF: off
        ("max_tx_sgl", U16),  # buffers
        ("max_rx_sgl", U16),  # buffers
        ("_reserved16", U8 * 16),
    ]


class MaxQueuesExt(WireRecord):
    """MAX_QUEUES_EXT, version 1. Depths in entries."""

    VERSION = 1

    _fields_ = [
        ("version", U8),
        ("_reserved1", U8 * 3),
        ("max_tx_sq", U32),
        ("max_tx_cq", U32),
        ("max_rx_sq", U32),
        ("max_rx_cq", U32),
        ("max_tx_sq_depth", U32),
        ("max_tx_cq_depth", U32),
        ("max_rx_sq_depth", U32),
        ("max_rx_cq_depth", U32),
        ("max_tx_header_size", U32),  # bytes
        ("max_per_packet_tx_descriptors", U16),
        ("max_per_packet_rx_descriptors", U16),
    ]


class Llq(WireRecord):
    """LLQ: GET offers what is supported, SET carries one bit of each in the enabled fields. Version 0 ends with the strides."""

    VERSION = 1

    _fields_ = [
        ("max_queues", U32),  # 0: no LLQ
        ("max_depth", U32),  # lines of 128 bytes
        ("headers_supported", U16),  # LlqHeader
        ("headers_enabled", U16),
        ("entries_supported", U16),  # LlqEntry
        ("entries_enabled", U16),
        ("descriptors_supported", U16),  # before the header: bits 1, 2, 4, 8 mean themselves
        ("descriptors_enabled", U16),
        ("strides_supported", U16),  # LlqStride
        ("strides_enabled", U16),
        ("version", U8),
        ("entry_recommended", U8),  # LlqEntry
        ("max_wide_depth", U16),  # lines of 256 bytes; 0: half of max_depth
        ("accelerators", U16),  # LlqAccelerator: supported, or enabled
        ("max_tx_burst", U16),  # bytes of lines between doorbells
        ("_reserved32", U32),
    ]


class RssHashFunction(WireRecord):
    """RSS_HASH_FUNCTION; its control buffer is an `RssKey`."""

    _fields_ = [
        ("supported", U32),  # HashFunction
        ("selected", U32),  # HashFunction, never 0
        ("initial_value", U32),
    ]


class RssKey(WireRecord):
    """Control buffer of RSS_HASH_FUNCTION. The hash consumes the key last byte first. Source: ENA interface, Hash function."""

    PARTS = 10

    _fields_ = [
        ("parts", U32),  # 32-bit words
        ("_reserved4", U32),
        ("key", U8 * RSS_KEY_SIZE),  # as it lies in memory
    ]


class StatelessOffloads(WireRecord):
    """STATELESS_OFFLOAD_CONFIG."""

    _fields_ = [
        ("tx", U32),  # TxOffload
        ("rx_supported", U32),  # RxOffload
        ("rx_enabled", U32),  # RxOffload
    ]


class RssIndirectionEntry(WireRecord):
    """One entry of the table: called a CQ index by the contract, but drivers store the device's Rx SQ index."""

    _fields_ = [
        ("queue", U16),
        ("_reserved2", U16),
    ]


class RssIndirection(WireRecord):
    """RSS_INDIRECTION_TABLE_CONFIG; its control buffer holds 2**size_log entries."""

    _fields_ = [
        ("min_size_log", U16),
        ("max_size_log", U16),
        ("size_log", U16),
        ("one_entry_update", U8, 1),
        ("_flags1", U8, 7),
        ("_reserved7", U8),
        ("inline_index", U32),  # NO_INLINE_ENTRY: the whole table
        ("inline_entry", RssIndirectionEntry),
    ]


class Mtu(WireRecord):
    """MTU."""

    _fields_ = [("mtu", U32)]  # bytes, without the Ethernet header


class HashFields(WireRecord):
    """The fields hashed for one protocol."""

    _fields_ = [
        ("fields", U16),  # HashField
        ("_reserved2", U16),
    ]


class RssHashInput(WireRecord):
    """RSS_HASH_INPUT; its control buffer is an `RssHashInputTable`."""

    _fields_ = [
        ("_supported_sort0", U16, 1),
        ("supported_l3_sort", U16, 1),
        ("supported_l4_sort", U16, 1),
        ("_supported_sort3", U16, 13),
        ("_enabled_sort0", U16, 1),
        ("enabled_l3_sort", U16, 1),
        ("enabled_l4_sort", U16, 1),
        ("_enabled_sort3", U16, 13),
    ]


class RssHashInputTable(WireRecord):
    """Control buffer of RSS_HASH_INPUT: arrays indexed by `HashProtocol`."""

    PROTOCOLS = 16

    _fields_ = [
        ("supported", HashFields * PROTOCOLS),
        ("selected", HashFields * PROTOCOLS),
        ("_reserved128", HashFields * PROTOCOLS),
        ("_reserved192", HashFields * PROTOCOLS),
    ]


class InterruptModeration(WireRecord):
    """INTERRUPT_MODERATION."""

    _fields_ = [
        ("resolution", U16),  # microseconds, not 0
        ("_reserved2", U16),
    ]


class LargeReceiveOffer(WireRecord):
    """LARGE_RECEIVE, what GET answers."""

    _fields_ = [
        ("supported_flags", U32),  # LargeReceiveFlag
        ("max_packet", U32),  # bytes, with the Ethernet header
    ]


class LargeReceiveChoice(WireRecord):
    """LARGE_RECEIVE, what SET carries."""

    _fields_ = [("enabled_flags", U32)]  # LargeReceiveFlag


class AenqConfig(WireRecord):
    """AENQ_CONFIG: bit maps over `events.Group`."""

    _fields_ = [
        ("supported_groups", U32),
        ("enabled_groups", U32),
    ]


class HostAttributes(WireRecord):
    """HOST_ATTR_CONFIG. An address of 0 means absent."""

    _fields_ = [
        ("host_info", BusAddress),
        ("debug_area", BusAddress),
        ("debug_area_size", U32),  # bytes
    ]


class HostInfo(WireRecord):
    """The page behind HOST_ATTR_CONFIG: who the driver is and what it can do."""

    _fields_ = [
        ("os_type", U32),  # OsType
        ("os_distribution_name", U8 * 128),
        ("os_distribution", U32),
        ("kernel_version_name", U8 * 32),
        ("kernel_version", U32),
        ("driver_major", U32, 8),
        ("driver_minor", U32, 8),
        ("driver_subminor", U32, 8),
        ("driver_module_type", U32, 8),
        ("network_features", U32 * 2),
        ("spec_version", U16),
        ("pci_function", U16, 3),
        ("pci_device", U16, 5),
        ("pci_bus", U16, 8),
        ("cpus", U16),
        ("_reserved190", U16),
        ("_driver_features0", U32, 1),
        ("rx_offset", U32, 1),
        ("interrupt_moderation", U32, 1),
        ("rx_buffer_mirroring", U32, 1),
        ("rss_configurable", U32, 1),
        ("_driver_features5", U32, 1),
        ("rx_page_reuse", U32, 1),
        ("tx_ipv6_checksum", U32, 1),
        ("phc", U32, 1),
        ("debug_area_extended", U32, 1),
        ("_driver_features10", U32, 22),
    ]

    SPEC_VERSION = 0x0200
