# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""TCP splicing: two handshakes that become one connection, whose numbers are translated from then on. Header-only.

    cookie   the originator's handshake was with us. The target chose another first number: its numbers are shifted, and what the
             originator acknowledges of them, SACK included, is shifted back; windows are put into the scale that the reader was told
    proxy    the target reads a header before the originator's first byte: its SYN has a number that is lower by the header's length,
             so that all that follows has its own

Everything else of the flow path sees numbers as the target does. Timestamps need no shift: in neither case does the target get that option.
Source: Maltz and Bhagwat, TCP Splicing for URL-aware Redirection, 1998; RFC 7323 (scale), RFC 2018 (SACK), RFC 1624 (checksum).
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t

from appliance.flow.options cimport OPTION_SACK, option_from
from ena_dev.driver.rings cimport FRAME_PARTIAL, Frame
from ena_dev.packet.checksum cimport (
    checksum_apply, checksum_delta16, checksum_fold, checksum_sum, load_native16, store_native16,
)
from ena_dev.packet.headers cimport (
    TCP_ACK, TCP_HEADER, TCP_RST, TCP_SYN, load_be16, load_be32, store_be16, store_be32,
)


cdef enum:  # Splice.what
    SPLICE_COOKIE = 1
    SPLICE_PROXY = 2
    SPLICE_SACK = 4            # the originator takes SACK
    SPLICE_OPEN = 8            # the target has answered: `delta` is known
    SPLICE_TOLD = 16           # the header was sent,
    SPLICE_HEARD = 32          # and acknowledged

cdef enum:
    UNSCALED = 15              # in place of a window scale: there is no such option
    MOST_SCALE = 14            # RFC 7323, 2.3
    OUR_SCALE = 7              # of the windows that an originator is told in a cookie's SYN+ACK


cdef struct Splice:            # 20 bytes
    uint32_t delta             # what is added to the target's numbers
    uint32_t ours              # the number of the SYN that the originator was answered with
    uint32_t first             # the number of the originator's first byte
    uint16_t window            # that it offered last before the target was there
    uint16_t mss               # its SYN's
    uint8_t what
    uint8_t scale              # its SYN's, UNSCALED
    uint8_t header             # bytes that the target reads before its first
    uint8_t tries              # of what is sent again until it is answered


cdef inline uint16_t rescaled(uint32_t window, uint8_t scale, uint8_t reads) noexcept nogil:
    """A window that is sent by one scale, for who reads it by another. One that is open stays open."""
    cdef uint32_t octets = window << (0 if scale == UNSCALED else scale)
    cdef uint32_t field = octets >> (0 if reads == UNSCALED else reads)
    if field == 0 and octets:
        return 1
    return <uint16_t> (field if field < 65535 else 65535)


cdef inline void shift_sack(uint8_t *tcp, uint32_t header, uint32_t delta) noexcept nogil:
    """Add to both edges of all SACK blocks. What is malformed ends it: nobody reads beyond."""
    cdef uint32_t at = TCP_HEADER, edge, size = option_from(tcp, header, &at)
    while size:
        if tcp[at] == OPTION_SACK:
            for edge in range(at + 2, at + 2 + (size - 2) // 4 * 4, 4):
                store_be32(tcp + edge, load_be32(tcp + edge) + delta)
        at += size
        size = option_from(tcp, header, &at)


cdef inline void to_target(const Splice *splice, uint8_t *tcp, uint32_t header, uint8_t reads) noexcept nogil:
    cdef uint8_t flags = tcp[13]
    if splice.header and flags & TCP_RST and not splice.what & SPLICE_TOLD and load_be32(tcp + 4) == splice.first:
        store_be32(tcp + 4, splice.first - splice.header)      # nothing but its SYN was there yet
    if not splice.what & SPLICE_COOKIE:
        return
    if flags & TCP_ACK:
        store_be32(tcp + 8, load_be32(tcp + 8) - splice.delta)
        shift_sack(tcp, header, 0 - splice.delta)
    if not flags & TCP_SYN and reads != splice.scale:
        store_be16(tcp + 14, rescaled(load_be16(tcp + 14), splice.scale, reads))


cdef inline void to_originator(const Splice *splice, uint8_t *tcp, uint8_t scale) noexcept nogil:
    cdef uint8_t flags = tcp[13], reads = 0 if splice.scale == UNSCALED else OUR_SCALE
    cdef uint32_t ahead = splice.first - load_be32(tcp + 8)
    if splice.header and flags & TCP_ACK and 0 < ahead <= splice.header:
        store_be32(tcp + 8, splice.first)      # the header is none of its business
    if not splice.what & SPLICE_COOKIE:
        return
    store_be32(tcp + 4, load_be32(tcp + 4) + splice.delta if splice.what & SPLICE_OPEN else splice.ours + 1)
    if not flags & TCP_SYN and reads != scale:
        store_be16(tcp + 14, rescaled(load_be16(tcp + 14), scale, reads))


cdef inline void splice_frame(const Splice *splice, Frame *frame, int direction, uint8_t scale) noexcept nogil:
    """Translate the numbers of a TCP frame with its header; `scale` is what the target reads windows by, or, of a reply, sends them by."""
    cdef uint8_t *tcp = frame.data + frame.parsed.l4_offset
    cdef uint32_t header = frame.parsed.payload_offset - frame.parsed.l4_offset
    cdef uint16_t before = checksum_fold(checksum_sum(tcp, header, 0))
    if direction:
        to_originator(splice, tcp, scale)
    else:
        to_target(splice, tcp, header, scale)
    if not frame.flags & FRAME_PARTIAL:
        before = <uint16_t> checksum_fold(checksum_delta16(before, checksum_fold(checksum_sum(tcp, header, 0))))
        store_native16(tcp + 16, checksum_apply(load_native16(tcp + 16), before))
