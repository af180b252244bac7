# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""TCP segments that are made here, and what the SYN of another says. Header-only.

Source: RFC 9293, 3.1 and 3.2 (header, MSS); RFC 7323, 2.2; RFC 2018, 2; RFC 6864, 4.1 (an atomic datagram needs no identification).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from appliance.flow.key cimport Tuple
from appliance.flow.options cimport OPTION_MSS, OPTION_NOP, OPTION_SACK_PERMITTED, OPTION_SCALE, option_from
from appliance.flow.splice cimport MOST_SCALE, UNSCALED
from ena_dev.driver.pool cimport NO_BUFFER, OWNER_BURST, Pool, pool_data, pool_give_chain, pool_take
from ena_dev.driver.rings cimport Frame
from ena_dev.packet.checksum cimport checksum_finish, checksum_pseudo_v4, checksum_pseudo_v6, checksum_sum, store_native16
from ena_dev.packet.headers cimport (
    ETHERNET_HEADER, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IPV4_HEADER, IPV6_HEADER, PROTOCOL_TCP, TCP_HEADER, load_be16, load_be32, parse_frame,
    store_be16, store_be32,
)


cdef enum:
    MADE_MOST = 192            # bytes of a frame that is made here, at most
    HOPS = 64

cdef struct Saying:            # a segment without its ends
    uint32_t seq
    uint32_t ack
    uint16_t window
    uint16_t mss               # 0: no such option
    uint16_t size              # of the payload
    uint8_t flags
    uint8_t scale              # UNSCALED: no such option
    uint8_t sack               # permitted
    uint8_t hops
    const uint8_t *payload


cdef inline void say(Saying *says, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t window) noexcept nogil:
    """A segment without options and payload."""
    memset(says, 0, sizeof(Saying))
    says.flags, says.seq, says.ack, says.window, says.scale, says.hops = flags, seq, ack, window, UNSCALED, HOPS


# -- reading ---------------------------------------------------------------------------------------------------------------

cdef inline void hear_options(const Frame *frame, Saying *heard) noexcept nogil:
    """MSS, window scale and SACK of a SYN that parsed well. What is malformed ends the reading; without MSS it is 536 or 1220."""
    cdef const uint8_t *tcp = frame.data + frame.parsed.l4_offset
    cdef uint32_t header = frame.parsed.payload_offset - frame.parsed.l4_offset, at = TCP_HEADER, size = option_from(tcp, header, &at)
    heard.mss, heard.scale, heard.sack = 536 if frame.parsed.version == 4 else 1220, UNSCALED, 0
    while size:
        if tcp[at] == OPTION_MSS and size == 4:
            heard.mss = load_be16(tcp + at + 2)
        elif tcp[at] == OPTION_SCALE and size == 3:
            heard.scale = min(tcp[at + 2], <uint8_t> MOST_SCALE)
        elif tcp[at] == OPTION_SACK_PERMITTED and size == 2:
            heard.sack = 1
        at += size
        size = option_from(tcp, header, &at)


cdef inline void say_again(Saying *says, const Frame *frame) noexcept nogil:
    """What a frame says but for its payload, and options other than those that were heard before."""
    cdef const uint8_t *tcp = frame.data + frame.parsed.l4_offset
    says.seq, says.ack, says.window = load_be32(tcp + 4), load_be32(tcp + 8), load_be16(tcp + 14)
    says.flags, says.hops, says.size = tcp[13], frame.parsed.ttl, 0


# -- writing ---------------------------------------------------------------------------------------------------------------

cdef inline uint32_t write_options(uint8_t *at, const Saying *says) noexcept nogil:
    """Returns their length, a multiple of four."""
    cdef uint32_t n = 0
    if says.mss:
        at[0], at[1] = OPTION_MSS, 4
        store_be16(at + 2, says.mss)
        n = 4
    if says.sack:
        at[n], at[n + 1], at[n + 2], at[n + 3] = OPTION_NOP, OPTION_NOP, OPTION_SACK_PERMITTED, 2
        n += 4
    if says.scale != UNSCALED:
        at[n], at[n + 1], at[n + 2], at[n + 3] = OPTION_NOP, OPTION_SCALE, 3, says.scale
        n += 4
    return n


cdef inline void write_ip(uint8_t *l3, const Tuple *key, uint32_t length, uint8_t hops) noexcept nogil:
    """The header of a packet with `length` bytes behind it."""
    memset(l3, 0, IPV4_HEADER if key.version == 4 else IPV6_HEADER)
    if key.version == 6:
        l3[0], l3[6], l3[7] = 0x60, PROTOCOL_TCP, hops
        store_be16(l3 + 4, <uint16_t> length)
        memcpy(l3 + 8, key.source, 16)
        memcpy(l3 + 24, key.destination, 16)
        return
    l3[0], l3[6], l3[8], l3[9] = 0x45, 0x40, hops, PROTOCOL_TCP
    store_be16(l3 + 2, <uint16_t> (IPV4_HEADER + length))
    memcpy(l3 + 12, &key.source[12], 4)
    memcpy(l3 + 16, &key.destination[12], 4)
    store_native16(l3 + 10, checksum_finish(checksum_sum(l3, IPV4_HEADER, 0)))


cdef inline uint32_t write_segment(uint8_t *data, const Tuple *key, const Saying *says) noexcept nogil:
    """A frame, but for its MAC addresses, of at most MADE_MOST bytes. Returns its length."""
    cdef uint32_t ip = IPV4_HEADER if key.version == 4 else IPV6_HEADER
    cdef uint8_t *l3 = data + ETHERNET_HEADER
    cdef uint8_t *tcp = l3 + ip
    cdef uint32_t header = TCP_HEADER + write_options(tcp + TCP_HEADER, says)
    cdef uint32_t length = header + says.size
    store_be16(data + 12, ETHERTYPE_IPV4 if key.version == 4 else ETHERTYPE_IPV6)
    write_ip(l3, key, length, says.hops)
    memcpy(tcp, &key.sport, 2)
    memcpy(tcp + 2, &key.dport, 2)
    store_be32(tcp + 4, says.seq)
    store_be32(tcp + 8, says.ack)
    tcp[12], tcp[13] = <uint8_t> (header << 2), says.flags
    store_be16(tcp + 14, says.window)
    store_be32(tcp + 16, 0)
    if says.size:
        memcpy(tcp + header, says.payload, says.size)
    store_native16(tcp + 16, checksum_finish(checksum_sum(tcp, length, (
        checksum_pseudo_v4(l3, PROTOCOL_TCP, length) if key.version == 4 else checksum_pseudo_v6(l3, PROTOCOL_TCP, length)))))
    return ETHERNET_HEADER + ip + length


cdef inline bint remake(Pool *pool, Frame *frame, const Tuple *key, const Saying *says) noexcept nogil:
    """Another segment in place of a frame, which becomes one buffer. False: it has no room, and the frame is as it was."""
    cdef uint32_t rest = pool.next[frame.first]
    if frame.data + MADE_MOST > pool_data(pool, frame.first) + pool.size:
        return False
    if rest != NO_BUFFER:
        pool.next[frame.first] = NO_BUFFER
        pool_give_chain(pool, rest)
    frame.length = frame.first_length = write_segment(frame.data, key, says)
    frame.buffers, frame.flags, frame.segment = 1, 0, 0
    pool.length[frame.first] = <uint16_t> frame.length
    parse_frame(frame.data, frame.length, frame.length, &frame.parsed)
    return True


cdef inline bint make(Pool *pool, Frame *frame, const Tuple *key, const Saying *says, uint8_t nic, uint16_t queue) noexcept nogil:
    """A frame of our own, as if it had come in by `nic`. False: no buffer."""
    cdef uint32_t buffer = pool_take(pool, OWNER_BURST)
    if buffer == NO_BUFFER:
        return False
    memset(frame, 0, sizeof(Frame))
    frame.data, frame.first, frame.nic, frame.queue = pool_data(pool, buffer), buffer, nic, queue
    return remake(pool, frame, key, says)


cdef inline void turn(Tuple *out, const Tuple *key) noexcept nogil:
    """The key of what answers a TCP segment."""
    memcpy(out.source, key.destination, 16)
    memcpy(out.destination, key.source, 16)
    out.sport, out.dport = key.dport, key.sport
    out.version, out.protocol, out.kind, out.zone = key.version, key.protocol, key.kind, key.zone
