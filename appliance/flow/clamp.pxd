# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""MSS clamping: both ends of a TCP connection are told not to send more than its way carries. Header-only.

What an end announces in its SYN is what the other may send to it; all of that passes both nics. Source: RFC 9293, 3.7.1; RFC 6691, 2.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from appliance.flow.engine cimport Engine, MSS_FITS, Nic, mss_of
from appliance.flow.options cimport OPTION_MSS, option_from
from appliance.flow.table cimport Flow
from ena_dev.driver.rings cimport FRAME_PARTIAL, Frame
from ena_dev.packet.checksum cimport checksum_apply, checksum_delta16, load_native16, store_native16
from ena_dev.packet.headers cimport IPV4_HEADER, IPV6_HEADER, TCP_HEADER, load_be16, store_be16


cdef enum:
    TCP_CHECKSUM = 16          # offset


cdef inline uint32_t lower(uint32_t limit, uint16_t asked, uint32_t fits) noexcept nogil:
    """The lower of a limit and what a rule or a nic asks for; 0: none."""
    cdef uint32_t wanted = fits if asked == MSS_FITS else asked
    return wanted if wanted and (limit == 0 or wanted < limit) else limit


cdef inline uint32_t largest_segment(const Engine *engine, const Flow *flow) noexcept nogil:
    """What either end of a flow may send at once; 0: whatever it likes."""
    cdef const Nic *one = &engine.nics[flow.state.nic_in]
    cdef const Nic *two = &engine.nics[flow.state.nic_out]
    cdef uint32_t fits = min(one.mtu, two.mtu) - TCP_HEADER - (IPV4_HEADER if flow.half[0].key.version == 4 else IPV6_HEADER)
    cdef uint32_t limit = lower(0, mss_of(engine, &flow.state), fits)
    return lower(lower(limit, one.mss, fits), two.mss, fits)


cdef inline void announce(uint8_t *tcp, uint32_t at, uint16_t size, bint partial) noexcept nogil:
    """Another value into the option at `at`. A checksum that is still to be made covers it by itself."""
    cdef uint16_t old = load_native16(tcp + at + 2), new
    store_be16(tcp + at + 2, size)
    new = load_native16(tcp + at + 2)
    if at & 1:                                 # each of its bytes is in the other half of a word
        old, new = old << 8 | old >> 8, new << 8 | new >> 8
    if not partial:
        store_native16(tcp + TCP_CHECKSUM, checksum_apply(load_native16(tcp + TCP_CHECKSUM), checksum_delta16(old, new)))


cdef inline void clamp_mss(const Engine *engine, const Flow *flow, Frame *frame) noexcept nogil:
    """Lower what a SYN announces. Without the option it announces less than any nic carries."""
    cdef uint8_t *tcp = frame.data + frame.parsed.l4_offset
    cdef uint32_t header = frame.parsed.payload_offset - frame.parsed.l4_offset, at = TCP_HEADER, size
    cdef uint32_t limit = largest_segment(engine, flow)
    if limit == 0:
        return
    size = option_from(tcp, header, &at)
    while size:
        if tcp[at] == OPTION_MSS and size == 4 and load_be16(tcp + at + 2) > limit:
            announce(tcp, at, <uint16_t> limit, frame.flags & FRAME_PARTIAL)
        at += size
        size = option_from(tcp, header, &at)
