# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""What the descriptors of a packet say, wherever they were written. Header-only, compiled into the engines that use it.

A descriptor is copied out once and judged then: the driver may write to its memory at any moment.
Source: ENA interface, Tx descriptor and Tx meta descriptor.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ena_dev.abi.eth_io cimport (META_EXT_VALID, META_L3_OFFSET_SHIFT, META_L4_WORDS_SHIFT, META_MSS_HIGH_SHIFT, META_MSS_LOW_SHIFT,
                                 META_STORE, TX_ADDRESS_HIGH, TX_LENGTH, TX_REQ_ID_HIGH_SHIFT, TX_REQ_ID_LOW_SHIFT, TxDesc)
from ena_dev.bus.atomic cimport load_once16
from ena_dev.bus.memory cimport BUS_READ, bus_at
from ena_dev.device.card cimport TxQueue, card_fatal
from ena_dev.device.tx_offload cimport TX_PIECES, Outgoing


cdef inline void tx_fetch(const uint8_t *slot, TxDesc *desc) noexcept nogil:
    """Copy a descriptor out."""
    load_once16(slot, desc)


cdef inline void tx_begin(TxQueue *q, Outgoing *packet) noexcept nogil:
    """A packet of which nothing is known yet, but for what an earlier one stored."""
    packet.count, packet.length, packet.offloads, packet.req_id, packet.named, packet.malformed = 0, 0, 0, 0, 0, 0
    packet.meta = q.meta


cdef inline void tx_read_meta(TxQueue *q, const TxDesc *desc, Outgoing *packet) noexcept nogil:
    """Fields without ext_valid mean nothing. What is stored applies to packets that bring no meta descriptor."""
    if not desc.word[0] & META_EXT_VALID:
        return
    packet.meta.mss = (desc.word[0] >> META_MSS_HIGH_SHIFT & 0xF) << 10 | desc.word[2] >> META_MSS_LOW_SHIFT
    packet.meta.l3_length = desc.word[2] & 0xFF
    packet.meta.l3_offset = desc.word[2] >> META_L3_OFFSET_SHIFT & 0xFF
    packet.meta.l4_words = desc.word[2] >> META_L4_WORDS_SHIFT & 0x3F
    if desc.word[0] & META_STORE:
        q.meta = packet.meta


cdef inline bint tx_read_data(TxQueue *q, const TxDesc *desc, Outgoing *packet) noexcept nogil:
    """One buffer; False if its address is nobody's. Only the first names the request and the offloads."""
    cdef uint32_t length = desc.word[0] & TX_LENGTH
    cdef uint64_t address = <uint64_t> (desc.word[3] & TX_ADDRESS_HIGH) << 32 | desc.word[2]
    cdef uint8_t *host
    if not packet.named:
        packet.named = 1
        packet.req_id = <uint16_t> ((desc.word[0] >> TX_REQ_ID_HIGH_SHIFT & 0x3F) << 10 | desc.word[1] >> TX_REQ_ID_LOW_SHIFT)
        packet.offloads = desc.word[1]
    if not length:
        return True
    if packet.count == TX_PIECES or <uint32_t> packet.count == q.card.max_tx_buffers + 2:
        packet.malformed = 1
        return True
    host = bus_at(q.card.bus, address, length, BUS_READ)
    if host == NULL:
        card_fatal(q.card, address)
        return False
    packet.pieces[packet.count].iov_base, packet.pieces[packet.count].iov_len = host, length
    packet.count += 1
    packet.length += length
    return True
