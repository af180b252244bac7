"""Descriptors and completions of the IO queues: what the two sides write into rings for each packet.

Every bit has a row, the reserved ones too. Compiled code reads the same layouts through the declarations beside this module;
these tables are the reference they are tested against. Source: ENA interface, IO path.
"""

# ruff: noqa: RUF012  (ctypes reads the field lists once, when the class is made)
from __future__ import annotations

from enum import IntEnum

from ena_dev.abi.record import U8, U16, U32, BusAddress, WireRecord

FULL_BUFFER = 0x10000  # bytes meant by an Rx buffer length of 0


class L3Protocol(IntEnum):
    UNKNOWN = 0
    IPV4 = 8
    IPV6 = 11
    FCOE = 21
    ROCE = 22


class L4Protocol(IntEnum):
    UNKNOWN = 0
    TCP = 12
    UDP = 13
    ROUTABLE_ROCE = 23


class TxDescriptor(WireRecord):
    """One buffer of a packet to send: 16 bytes, written by the driver. Offloads and request stand in the first one only."""

    _fields_ = [
        # word 0                              bits
        ("length", U32, 16),                # 15:0   bytes, without a pushed header
        ("req_id_high", U32, 6),            # 21:16
        ("_mbz22", U32, 1),                 # 22
        ("meta", U32, 1),                   # 23     0
        ("phase", U32, 1),                  # 24
        ("_mbz25", U32, 1),                 # 25
        ("first", U32, 1),                  # 26
        ("last", U32, 1),                   # 27
        ("completion_requested", U32, 1),   # 28
        ("_mbz29", U32, 3),                 # 31:29
        # word 1
        ("l3_protocol", U32, 4),            # 3:0    L3Protocol
        ("dont_fragment", U32, 1),          # 4      0 only for IPv4 with DF clear
        ("_mbz5", U32, 2),                  # 6:5
        ("tso", U32, 1),                    # 7
        ("l4_protocol", U32, 5),            # 12:8   L4Protocol
        ("l3_checksum", U32, 1),            # 13
        ("l4_checksum", U32, 1),            # 14
        ("fcs_disable", U32, 1),            # 15
        ("_mbz16", U32, 1),                 # 16
        ("l4_checksum_partial", U32, 1),    # 17     the field holds the pseudo-header sum
        ("_mbz18", U32, 4),                 # 21:18
        ("req_id_low", U32, 10),            # 31:22
        # words 2 and 3
        ("address_low", U32),
        ("address_high", U32, 16),          # 15:0
        ("_mbz16b", U32, 8),                # 23:16
        ("header_length", U32, 8),          # 31:24  bytes; LLQ: pushed, host placement: a hint
    ]

    @property
    def req_id(self) -> int:
        return int(self.req_id_high) << 10 | int(self.req_id_low)

    @property
    def address(self) -> int:
        return int(self.address_high) << 32 | int(self.address_low)


class TxMetaDescriptor(WireRecord):
    """Header lengths and segment size of the packet whose data descriptors follow: 16 bytes, written by the driver."""

    _fields_ = [
        # word 0                              bits
        ("_mbz0", U32, 14),                 # 13:0
        ("ext_valid", U32, 1),              # 14     the fields below count
        ("_mbz15", U32, 1),                 # 15
        ("mss_high", U32, 4),               # 19:16
        ("eth_meta_type", U32, 1),          # 20     1
        ("meta_store", U32, 1),             # 21     keep for the packets that follow
        ("_mbz22", U32, 1),                 # 22
        ("meta", U32, 1),                   # 23     1
        ("phase", U32, 1),                  # 24
        ("_mbz25", U32, 1),                 # 25
        ("first", U32, 1),                  # 26     1
        ("last", U32, 1),                   # 27     0
        ("completion_requested", U32, 1),   # 28     0
        ("_mbz29", U32, 3),                 # 31:29
        # word 1
        ("_mbz_word1", U32),
        # word 2
        ("l3_header_length", U32, 8),       # 7:0    bytes
        ("l3_header_offset", U32, 8),       # 15:8   bytes
        ("l4_header_words", U32, 6),        # 21:16  32-bit words, TSO only
        ("mss_low", U32, 10),               # 31:22
        # word 3
        ("_mbz_word3", U32),
    ]

    @property
    def mss(self) -> int:
        return int(self.mss_high) << 10 | int(self.mss_low)


class TxCompletion(WireRecord):
    """One packet sent: 8 bytes, written by the device in one store."""

    _fields_ = [
        ("req_id", U16),                    #        echoes the descriptor's, whatever it is
        ("status", U8),
        ("phase", U8, 1),                   # 0
        ("_reserved1", U8, 5),              # 5:1
        ("_mbz6", U8, 2),                   # 7:6
        ("sq_index", U16),
        ("sq_head", U16),
    ]


class TxCompletionExtended(TxCompletion):
    """A Tx completion with the time of sending, in ns: 16 bytes."""

    _fields_ = [
        ("timestamp_low", U32),
        ("timestamp_high", U32),
    ]


class RxDescriptor(WireRecord):
    """One posted buffer: 16 bytes, written by the driver."""

    _fields_ = [
        ("length", U16),                    #        bytes; 0 means FULL_BUFFER
        ("_reserved2", U8),
        ("phase", U8, 1),                   # 0
        ("_mbz1", U8, 1),                   # 1
        ("first", U8, 1),                   # 2      1
        ("last", U8, 1),                    # 3      1
        ("completion_requested", U8, 1),    # 4      1
        ("must_be_one", U8, 1),             # 5      drivers leave it 0
        ("_mbz6", U8, 2),                   # 7:6
        ("req_id", U16),
        ("_reserved6", U16),
        ("buffer", BusAddress),
    ]


class RxCompletion(WireRecord):
    """One received buffer: 16 bytes, written by the device. Parse results stand in a packet's last one, the offset in its first."""

    _fields_ = [
        # word 0: status                      bits
        ("l3_protocol", U32, 5),            # 4:0    L3Protocol
        ("vlan_count", U32, 2),             # 6:5
        ("_mbz7", U32, 1),                  # 7
        ("l4_protocol", U32, 5),            # 12:8   L4Protocol
        ("l3_checksum_error", U32, 1),      # 13     IPv4: wrong, or not checked
        ("l4_checksum_error", U32, 1),      # 14     means something only if checked
        ("ipv4_fragment", U32, 1),          # 15
        ("l4_checksum_checked", U32, 1),    # 16
        ("_mbz17", U32, 1),                 # 17
        ("_reserved18", U32, 6),            # 23:18
        ("phase", U32, 1),                  # 24
        ("l3_checksum2", U32, 1),           # 25
        ("first", U32, 1),                  # 26
        ("last", U32, 1),                   # 27
        ("_reserved28", U32, 2),            # 29:28
        ("buffer_used", U32, 1),            # 30     1
        ("_reserved31", U32, 1),            # 31
        # words 1 to 3
        ("length", U16),                    #        bytes in this buffer
        ("req_id", U16),                    #        echoes the Rx descriptor's
        ("hash", U32),
        ("sq_index", U16),
        ("offset", U8),                     #        bytes before the data, in the first buffer
        ("l4_checksum_partial", U8, 1),     # 0      vendor, large receive: the field holds the pseudo-header sum
        ("_reserved_byte15", U8, 7),        # 7:1
    ]


class RxCompletionExtended(RxCompletion):
    """An Rx completion of 32 bytes."""

    _fields_ = [
        ("buffer_low", U32),
        ("buffer_high", U16),
        ("segment_size", U16),              #        vendor, large receive: bytes of payload a segment; 0: not a large packet
        ("timestamp_low", U32),             #        ns
        ("timestamp_high", U32),
    ]
