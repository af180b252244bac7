"""Each field of each record against a second transcription of the contract, typed apart from the first.

A row reads: byte offset, bits (from that byte, little endian) or size, name. A field is checked by setting it alone to all ones.
"""

from __future__ import annotations

from ctypes import Array, addressof, memset, sizeof

import pytest

from ena_dev.abi import admin, clocks, eth_io, events, features, flow_steering, registers
from ena_dev.abi.record import WireRecord

SIZES = {"u8": 8, "u16": 16, "u32": 32, "u64": 64}

COMMAND = """
0 11:0 command_id
0 15:12 _mbz12
2 u8 opcode
3 0 phase
3 1 control_data
3 2 control_data_indirect
3 7:3 _mbz3
"""
COMPLETION = """
0 11:0 command_id
0 15:12 _reserved12
2 u8 status
3 0 phase
3 7:1 _flags1
4 u16 extended_status
6 u16 sq_head
"""
EVENT = """
0 u16 group
2 u16 syndrome
4 0 phase
4 7:1 _flags1
5 3B _reserved5
8 u32 timestamp_low
12 u32 timestamp_high
"""
TX_COMPLETION = """
0 u16 req_id
2 u8 status
3 0 phase
3 5:1 _reserved1
3 7:6 _mbz6
4 u16 sq_index
6 u16 sq_head
"""
RX_COMPLETION = """
0 4:0 l3_protocol
0 6:5 vlan_count
0 7 _mbz7
0 12:8 l4_protocol
0 13 l3_checksum_error
0 14 l4_checksum_error
0 15 ipv4_fragment
0 16 l4_checksum_checked
0 17 _mbz17
0 23:18 _reserved18
0 24 phase
0 25 l3_checksum2
0 26 first
0 27 last
0 29:28 _reserved28
0 30 buffer_used
0 31 _reserved31
4 u16 length
6 u16 req_id
8 u32 hash
12 u16 sq_index
14 u8 offset
15 0 l4_checksum_partial
15 7:1 _reserved_byte15
"""

LAYOUTS: dict[type[WireRecord], tuple[int, str]] = {
    registers.ReadResponse: (8, "0 u16 req_id; 2 u16 offset; 4 u32 value"),
    admin.AdminCommand: (4, COMMAND),
    admin.RawCommand: (64, COMMAND + "4 60B body"),
    admin.CreateCq: (
        64,
        COMMAND
        + """
        4 4:0 _caps1_0
        4 5 interrupt_mode
        4 7:6 _caps1_6
        5 4:0 entry_words
        5 7:5 _caps2_5
        6 u16 depth
        8 u32 vector
        12 u32 ring.low
        16 u16 ring.high
        18 u16 ring._reserved6
        20 44B _reserved20
        """,
    ),
    admin.CreateSq: (
        64,
        COMMAND
        + """
        4 4:0 _identity0
        4 7:5 direction
        5 u8 _reserved5
        6 3:0 placement
        6 6:4 completion_policy
        6 7 _caps2_7
        7 0 contiguous
        7 7:1 _caps3_1
        8 u16 cq_index
        10 u16 depth
        12 u32 ring.low
        16 u16 ring.high
        18 u16 ring._reserved6
        20 u32 head_writeback.low
        24 u16 head_writeback.high
        26 u16 head_writeback._reserved6
        28 36B _reserved28
        """,
    ),
    admin.DestroySq: (64, COMMAND + "4 u16 sq_index; 6 4:0 _identity0; 6 7:5 direction; 7 u8 _reserved7; 8 56B _reserved8"),
    admin.DestroyCq: (64, COMMAND + "4 u16 cq_index; 6 u16 _reserved6; 8 56B _reserved8"),
    admin.FeatureCommand: (
        64,
        COMMAND
        + """
        4 u32 buffer.length
        8 u32 buffer.address.low
        12 u16 buffer.address.high
        14 u16 buffer.address._reserved6
        16 1:0 select
        16 7:2 _flags2
        17 u8 feature_id
        18 u8 feature_version
        19 u8 _reserved19
        20 44B payload
        """,
    ),
    admin.GetStats: (
        64,
        COMMAND
        + """
        4 u32 buffer.length
        8 u32 buffer.address.low
        12 u16 buffer.address.high
        14 u16 buffer.address._reserved6
        16 u8 stats_type
        17 u8 scope
        18 u16 _reserved18
        20 u16 queue_index
        22 u16 device_id
        24 u64 requested_metrics
        32 32B _reserved32
        """,
    ),
    admin.AdminCompletion: (8, COMPLETION),
    admin.RawCompletion: (64, COMPLETION + "8 56B payload"),
    admin.CreateCqResponse: (
        64,
        COMPLETION
        + """
        8 u16 cq_index
        10 u16 actual_depth
        12 u32 numa_offset
        16 u32 head_doorbell_offset
        20 u32 unmask_offset
        24 40B _reserved24
        """,
    ),
    admin.CreateSqResponse: (
        64,
        COMPLETION
        + """
        8 u16 sq_index
        10 u16 _reserved10
        12 u32 doorbell_offset
        16 u32 llq_descriptors_offset
        20 u32 llq_headers_offset
        24 40B _reserved24
        """,
    ),
    admin.BasicStatsResponse: (
        64,
        COMPLETION
        + "8 u64 tx_bytes; 16 u64 tx_packets; 24 u64 rx_bytes; 32 u64 rx_packets; 40 u64 rx_drops; 48 u64 tx_drops; 56 u64 rx_overruns",
    ),
    admin.EniStatsResponse: (
        64,
        COMPLETION
        + """
        8 u64 bw_in_allowance_exceeded
        16 u64 bw_out_allowance_exceeded
        24 u64 pps_allowance_exceeded
        32 u64 conntrack_allowance_exceeded
        40 u64 linklocal_allowance_exceeded
        48 16B _reserved48
        """,
    ),
    admin.CustomerMetricsResponse: (64, COMPLETION + "8 u64 reported_metrics; 16 48B _reserved16"),
    features.DeviceAttributes: (
        36,
        """
        0 u32 impl_id
        4 u32 device_version
        8 u32 supported_features
        12 u32 capabilities
        16 u32 phys_addr_width
        20 u32 virt_addr_width
        24 6B mac
        30 u16 flow_steering_max_entries
        32 u32 max_mtu
        """,
    ),
    features.HwHints: (
        32,
        """
        0 u16 mmio_read_timeout
        2 u16 driver_watchdog_timeout
        4 u16 missing_tx_completion_timeout
        6 u16 missed_tx_completion_count_threshold
        8 u16 admin_completion_timeout
        10 u16 netdev_watchdog_timeout
        12 u16 max_tx_sgl
        14 u16 max_rx_sgl
        16 16B _reserved16
        """,
    ),
    features.MaxQueuesExt: (
        44,
        """
        0 u8 version
        1 3B _reserved1
        4 u32 max_tx_sq
        8 u32 max_tx_cq
        12 u32 max_rx_sq
        16 u32 max_rx_cq
        20 u32 max_tx_sq_depth
        24 u32 max_tx_cq_depth
        28 u32 max_rx_sq_depth
        32 u32 max_rx_cq_depth
        36 u32 max_tx_header_size
        40 u16 max_per_packet_tx_descriptors
        42 u16 max_per_packet_rx_descriptors
        """,
    ),
    features.Llq: (
        36,
        """
        0 u32 max_queues
        4 u32 max_depth
        8 u16 headers_supported
        10 u16 headers_enabled
        12 u16 entries_supported
        14 u16 entries_enabled
        16 u16 descriptors_supported
        18 u16 descriptors_enabled
        20 u16 strides_supported
        22 u16 strides_enabled
        24 u8 version
        25 u8 entry_recommended
        26 u16 max_wide_depth
        28 u16 accelerators
        30 u16 max_tx_burst
        32 u32 _reserved32
        """,
    ),
    features.RssHashFunction: (12, "0 u32 supported; 4 u32 selected; 8 u32 initial_value"),
    features.RssKey: (48, "0 u32 parts; 4 u32 _reserved4; 8 40B key"),
    features.StatelessOffloads: (12, "0 u32 tx; 4 u32 rx_supported; 8 u32 rx_enabled"),
    features.RssIndirectionEntry: (4, "0 u16 queue; 2 u16 _reserved2"),
    features.RssIndirection: (
        16,
        """
        0 u16 min_size_log
        2 u16 max_size_log
        4 u16 size_log
        6 0 one_entry_update
        6 7:1 _flags1
        7 u8 _reserved7
        8 u32 inline_index
        12 u16 inline_entry.queue
        14 u16 inline_entry._reserved2
        """,
    ),
    features.Mtu: (4, "0 u32 mtu"),
    features.RssHashInput: (
        4,
        """
        0 0 _supported_sort0
        0 1 supported_l3_sort
        0 2 supported_l4_sort
        0 15:3 _supported_sort3
        2 0 _enabled_sort0
        2 1 enabled_l3_sort
        2 2 enabled_l4_sort
        2 15:3 _enabled_sort3
        """,
    ),
    features.HashFields: (4, "0 u16 fields; 2 u16 _reserved2"),
    features.RssHashInputTable: (256, "0 64B supported; 64 64B selected; 128 64B _reserved128; 192 64B _reserved192"),
    features.InterruptModeration: (4, "0 u16 resolution; 2 u16 _reserved2"),
    features.LargeReceiveOffer: (8, "0 u32 supported_flags; 4 u32 max_packet"),
    features.LargeReceiveChoice: (4, "0 u32 enabled_flags"),
    features.AenqConfig: (8, "0 u32 supported_groups; 4 u32 enabled_groups"),
    features.HostAttributes: (
        20,
        """
        0 u32 host_info.low
        4 u16 host_info.high
        6 u16 host_info._reserved6
        8 u32 debug_area.low
        12 u16 debug_area.high
        14 u16 debug_area._reserved6
        16 u32 debug_area_size
        """,
    ),
    features.HostInfo: (
        196,
        """
        0 u32 os_type
        4 128B os_distribution_name
        132 u32 os_distribution
        136 32B kernel_version_name
        168 u32 kernel_version
        172 7:0 driver_major
        172 15:8 driver_minor
        172 23:16 driver_subminor
        172 31:24 driver_module_type
        176 8B network_features
        184 u16 spec_version
        186 2:0 pci_function
        186 7:3 pci_device
        186 15:8 pci_bus
        188 u16 cpus
        190 u16 _reserved190
        192 0 _driver_features0
        192 1 rx_offset
        192 2 interrupt_moderation
        192 3 rx_buffer_mirroring
        192 4 rss_configurable
        192 5 _driver_features5
        192 6 rx_page_reuse
        192 7 tx_ipv6_checksum
        192 8 phc
        192 9 debug_area_extended
        192 31:10 _driver_features10
        """,
    ),
    events.AenqEntry: (16, EVENT),
    flow_steering.FlowSteering: (12, "0 u8 action; 1 u8 flow_type; 2 u16 queue; 4 u16 location; 6 u16 _reserved6; 8 u32 flags"),
    flow_steering.FlowSpec: (
        128,
        """
        0 16B destination
        16 16B destination_mask
        32 16B source
        48 16B source_mask
        64 u16 destination_port
        66 u16 destination_port_mask
        68 u16 source_port
        70 u16 source_port_mask
        72 u8 tos
        73 u8 tos_mask
        74 54B _reserved74
        """,
    ),
    flow_steering.FlowLocation: (2, "0 u16 location"),
    clocks.PhcConfig: (
        28,
        """
        0 u8 version
        1 3B _reserved1
        4 u32 doorbell
        8 u32 expire_timeout
        12 u32 block_timeout
        16 u32 response.low
        20 u16 response.high
        22 u16 response._reserved6
        24 u32 response_length
        """,
    ),
    clocks.PhcResponse: (
        64,
        """
        0 u16 req_id
        2 6B _reserved2
        8 u64 timestamp
        16 u64 _reserved16
        24 u32 error_bound
        28 u32 error_flags
        32 32B _reserved32
        """,
    ),
    clocks.HwTimestamp: (3, "0 u8 version; 1 u8 tx; 2 u8 rx"),
    events.RawEvent: (64, EVENT + "16 48B payload"),
    events.LinkChange: (64, EVENT + "16 0 link_up; 16 31:1 _link1; 20 44B _reserved20"),
    events.KeepAlive: (64, EVENT + "16 u64 rx_drops; 24 u64 tx_drops; 32 u64 rx_overruns; 40 24B _reserved40"),
    events.HintsUpdate: (
        64,
        EVENT
        + """
        16 u16 hints.mmio_read_timeout
        18 u16 hints.driver_watchdog_timeout
        20 u16 hints.missing_tx_completion_timeout
        22 u16 hints.missed_tx_completion_count_threshold
        24 u16 hints.admin_completion_timeout
        26 u16 hints.netdev_watchdog_timeout
        28 u16 hints.max_tx_sgl
        30 u16 hints.max_rx_sgl
        32 16B hints._reserved16
        48 16B _reserved48
        """,
    ),
    events.ConfNotification: (64, EVENT + "16 u64 codes; 24 u64 _reserved24; 32 32B _reserved32"),
    eth_io.TxDescriptor: (
        16,
        """
        0 15:0 length
        0 21:16 req_id_high
        0 22 _mbz22
        0 23 meta
        0 24 phase
        0 25 _mbz25
        0 26 first
        0 27 last
        0 28 completion_requested
        0 31:29 _mbz29
        4 3:0 l3_protocol
        4 4 dont_fragment
        4 6:5 _mbz5
        4 7 tso
        4 12:8 l4_protocol
        4 13 l3_checksum
        4 14 l4_checksum
        4 15 fcs_disable
        4 16 _mbz16
        4 17 l4_checksum_partial
        4 21:18 _mbz18
        4 31:22 req_id_low
        8 u32 address_low
        12 15:0 address_high
        12 23:16 _mbz16b
        12 31:24 header_length
        """,
    ),
    eth_io.TxMetaDescriptor: (
        16,
        """
        0 13:0 _mbz0
        0 14 ext_valid
        0 15 _mbz15
        0 19:16 mss_high
        0 20 eth_meta_type
        0 21 meta_store
        0 22 _mbz22
        0 23 meta
        0 24 phase
        0 25 _mbz25
        0 26 first
        0 27 last
        0 28 completion_requested
        0 31:29 _mbz29
        4 u32 _mbz_word1
        8 7:0 l3_header_length
        8 15:8 l3_header_offset
        8 21:16 l4_header_words
        8 31:22 mss_low
        12 u32 _mbz_word3
        """,
    ),
    eth_io.TxCompletion: (8, TX_COMPLETION),
    eth_io.TxCompletionExtended: (16, TX_COMPLETION + "8 u32 timestamp_low; 12 u32 timestamp_high"),
    eth_io.RxDescriptor: (
        16,
        """
        0 u16 length
        2 u8 _reserved2
        3 0 phase
        3 1 _mbz1
        3 2 first
        3 3 last
        3 4 completion_requested
        3 5 must_be_one
        3 7:6 _mbz6
        4 u16 req_id
        6 u16 _reserved6
        8 u32 buffer.low
        12 u16 buffer.high
        14 u16 buffer._reserved6
        """,
    ),
    eth_io.RxCompletion: (16, RX_COMPLETION),
    eth_io.RxCompletionExtended: (
        32,
        RX_COMPLETION + "16 u32 buffer_low; 20 u16 buffer_high; 22 u16 segment_size; 24 u32 timestamp_low; 28 u32 timestamp_high",
    ),
}

Row = tuple[int, int, str]  # lowest bit, number of bits, name


def rows(text: str) -> list[Row]:
    lines = (line.split() for line in text.replace(";", "\n").splitlines() if line.strip())
    return [(8 * int(offset) + low, width, name) for offset, spec, name in lines for low, width in [extent(spec)]]


def extent(spec: str) -> tuple[int, int]:
    if spec in SIZES:
        return 0, SIZES[spec]
    if spec.endswith("B"):
        return 0, 8 * int(spec[:-1])
    high, _, low = spec.partition(":")
    return int(low or high), int(high) - int(low or high) + 1


def filled(record: type[WireRecord], path: str) -> int:
    """A record with one field all ones, as a number."""
    made = record()
    *outer, name = path.split(".")
    owner = made
    for part in outer:
        owner = getattr(owner, part)
    value = getattr(owner, name)
    if isinstance(value, Array):
        memset(addressof(value), 0xFF, sizeof(value))
    else:
        setattr(owner, name, -1)
    return int.from_bytes(bytes(made), "little")


CASES = [(record, row) for record, (_, text) in LAYOUTS.items() for row in rows(text)]


@pytest.mark.parametrize(("record", "row"), CASES, ids=[f"{record.__name__}.{row[2]}" for record, row in CASES])
def test_a_field_lies_where_the_contract_says(record: type[WireRecord], row: Row) -> None:
    low, width, name = row
    assert filled(record, name) == ((1 << width) - 1) << low


@pytest.mark.parametrize("record", LAYOUTS, ids=lambda record: record.__name__)
def test_every_bit_of_a_record_has_exactly_one_row(record: type[WireRecord]) -> None:
    size, text = LAYOUTS[record]
    bits = sorted(bit for low, width, _ in rows(text) for bit in range(low, low + width))
    assert record.size() == size
    assert bits == list(range(8 * size))


def test_no_record_is_left_out() -> None:
    modules = (registers, admin, features, flow_steering, clocks, events, eth_io)
    records = {value for module in modules for value in vars(module).values() if isinstance(value, type) and issubclass(value, WireRecord)}
    nested = {WireRecord, admin.BusAddress, admin.ControlBuffer}  # checked inside those that hold them
    assert records - nested == set(LAYOUTS)
