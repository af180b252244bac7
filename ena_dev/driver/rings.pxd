# cython: language_level=3
"""The driver's side of the rings of one queue pair, and the frames of a burst."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ena_dev.packet.headers cimport Parsed

cdef enum:
    BURST = 64                 # frames a program gets at once
    MAX_RX_BUFFERS = 17        # of one packet
    MAX_TX_BUFFERS = 17
    # Frame.flags
    FRAME_PARTIAL = 1          # the L4 checksum field holds the pseudo-header sum: send it with checksum offload
    FRAME_L4_GOOD = 2          # the device checked the L4 checksum
    FRAME_L4_BAD = 4
    FRAME_L3_BAD = 8
    # why a pair stands still; 0: it runs. Numbers are the contract's reset reasons
    FAULT_INV_RX_REQ_ID = 4
    FAULT_INV_TX_REQ_ID = 5
    FAULT_TOO_MANY_RX_DESCS = 6
    FAULT_INVALID_STATE = 8
    FAULT_RX_MALFORMED = 16
    FAULT_TX_MALFORMED = 17
    # results of sending
    SEND_OK = 0
    SEND_FULL = 1              # ring and backlog are full: the caller still owns the frame
    SEND_REFUSED = 2           # too many buffers, too long, no such offload: the caller still owns the frame

cdef struct Frame:             # one packet of a burst
    uint8_t *data              # first byte (Ethernet header) in the first buffer
    uint32_t length            # bytes of the whole frame
    uint32_t first_length      # bytes of it in the first buffer
    uint32_t first             # head of its buffer chain in the pool
    uint32_t hash              # RSS
    uint16_t offset            # of `data` in the first buffer
    uint16_t buffers
    uint16_t segment           # MSS of a large packet, 0 otherwise
    uint16_t queue
    uint8_t nic
    uint8_t flags
    uint64_t arrived           # ns
    Parsed parsed              # filled by the program, not by the driver

cdef struct RxRing:
    uint8_t *descriptors       # host view of the SQ
    uint8_t *completions
    uint32_t depth
    uint32_t completion_bytes  # 16 or 32
    uint32_t doorbell          # BAR offset
    uint16_t tail              # posted
    uint16_t head              # next completion
    uint32_t *buffer_of        # by req_id; NO_BUFFER: free
    uint16_t *free_ids
    uint32_t free_count
    uint64_t packets, bytes, refill_partial, csum_good, csum_bad, csum_unchecked, empty

cdef struct TxRing:
    uint8_t *descriptors
    uint8_t *completions
    uint32_t depth
    uint32_t doorbell
    uint32_t max_buffers
    uint16_t tail, head        # next descriptor, next completion
    uint16_t rung              # tail at the last doorbell
    uint32_t used              # descriptors in flight
    uint32_t *buffer_of        # first buffer by req_id
    uint16_t *descs_of
    uint64_t *sent_at          # ns; 0: not in flight
    uint16_t *free_ids
    uint32_t free_count
    uint32_t meta[4]           # last meta descriptor sent: repeated only when it changes
    Frame *backlog             # what found no room, oldest first
    uint32_t backlog_head, backlog_count
    uint64_t packets, bytes, doorbells, full, refused, polls
