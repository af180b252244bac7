# cython: language_level=3
"""Descriptors and completions of the data path as C structs and bit constants. Source: ENA interface, IO path."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    # Tx descriptor and meta descriptor, word 0
    TX_LENGTH = 0xFFFF
    TX_REQ_ID_HIGH_SHIFT = 16            # [21:16] req_id[15:10]
    TX_META_DESC = 1 << 23
    TX_PHASE = 1 << 24
    TX_FIRST = 1 << 26
    TX_LAST = 1 << 27
    TX_COMP_REQ = 1 << 28
    # Tx descriptor, word 1
    TX_L3_PROTO = 0xF
    TX_DF = 1 << 4
    TX_TSO = 1 << 7
    TX_L4_PROTO_SHIFT = 8                # [12:8]
    TX_L3_CSUM = 1 << 13
    TX_L4_CSUM = 1 << 14
    TX_FCS_DIS = 1 << 15
    TX_L4_PARTIAL = 1 << 17
    TX_REQ_ID_LOW_SHIFT = 22             # [31:22] req_id[9:0]
    # Tx descriptor, word 3
    TX_ADDRESS_HIGH = 0xFFFF
    TX_HEADER_LENGTH_SHIFT = 24
    # Tx meta descriptor
    META_EXT_VALID = 1 << 14             # word 0
    META_MSS_HIGH_SHIFT = 16             # word 0 [19:16] mss[13:10]
    META_ETH_TYPE = 1 << 20
    META_STORE = 1 << 21
    META_L3_OFFSET_SHIFT = 8             # word 2 [15:8]; [7:0] L3 header length
    META_L4_WORDS_SHIFT = 16             # word 2 [21:16], 32-bit words
    META_MSS_LOW_SHIFT = 22              # word 2 [31:22] mss[9:0]
    # protocol indices
    L3_UNKNOWN = 0
    L3_IPV4 = 8
    L3_IPV6 = 11
    L4_UNKNOWN = 0
    L4_TCP = 12
    L4_UDP = 13
    # Tx completion, flags
    TX_CDESC_PHASE = 1
    TX_CDESC_ZERO = 0xC0                 # bits that must be zero
    # Rx descriptor, control byte
    RX_PHASE = 1
    RX_FIRST = 4
    RX_LAST = 8
    RX_COMP_REQ = 16
    # Rx completion, status word
    RXC_L4_SHIFT = 8
    RXC_L3_ERROR = 1 << 13
    RXC_L4_ERROR = 1 << 14
    RXC_FRAGMENT = 1 << 15
    RXC_L4_CHECKED = 1 << 16
    RXC_ZERO = 1 << 7 | 1 << 17          # bits that must be zero
    RXC_PHASE = 1 << 24
    RXC_FIRST = 1 << 26
    RXC_LAST = 1 << 27
    RXC_BUFFER = 1 << 30
    # Rx completion, byte 15, with the large-receive feature only
    RXC_PARTIAL = 1

cdef struct TxDesc:                      # 16 bytes; a meta descriptor has the same shape
    uint32_t word[4]

cdef struct TxCdesc:                     # 8 bytes
    uint16_t req_id
    uint8_t status
    uint8_t flags
    uint16_t sub_qid
    uint16_t sq_head

cdef struct RxDesc:                      # 16 bytes
    uint16_t length                      # 0 = 65536
    uint8_t reserved
    uint8_t control
    uint16_t req_id
    uint16_t reserved6
    uint32_t address_low
    uint16_t address_high
    uint16_t reserved14

cdef struct RxCdesc:                     # 16 bytes; the first half of the extended one
    uint32_t status
    uint16_t length
    uint16_t req_id
    uint32_t hash
    uint16_t sub_qid
    uint8_t offset
    uint8_t flags                        # RXC_PARTIAL

cdef struct RxCdescExt:                  # 32 bytes
    RxCdesc base
    uint32_t address_low
    uint16_t address_high
    uint16_t segment                     # large receive: MSS of the segments, 0 if the packet is not one
    uint32_t timestamp_low
    uint32_t timestamp_high
