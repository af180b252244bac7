# cython: language_level=3
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from posix.uio cimport iovec

from ena_dev.device.card cimport HEAD_BYTES, Card, RxQueue
from ena_dev.packet.headers cimport Parsed
from ena_dev.port.port cimport PortMeta

cdef struct Verdict:           # all that is known of a received frame
    uint8_t head[HEAD_BYTES]   # its first bytes, ours alone
    uint32_t head_length
    uint32_t length
    Parsed parsed
    int parse                  # PARSE_*
    RxQueue *queue             # where it goes
    uint32_t hash
    uint32_t status            # parse and checksum bits of the last completion
    uint16_t segment           # of a large packet that stays whole
    uint8_t flags              # RXC_PARTIAL
    uint8_t cut                # a large packet for a driver that takes none: segment it
    uint8_t patched            # the checksum was finished: store two bytes at patch_at
    uint32_t patch_at
    uint8_t patch[2]

cdef int rx_judge(Card *card, const iovec *pieces, int count, uint32_t length, const PortMeta *meta, Verdict *out) noexcept nogil
