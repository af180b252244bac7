# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The last step: to whom on the link. Frames for a neighbour that is being resolved wait in order. Header-only.

Resolving is Python's: it sets an adjacency valid or failed, and reads when it was last used. One never heard of is incomplete.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from appliance.flow.engine cimport (
    ADJACENCY_FAILED, ADJACENCY_INCOMPLETE, ADJACENCY_VALID, Adjacency, Engine, Nic, PUNT_NO_NEIGHBOUR, drop, touch,
)
from appliance.flow.parking cimport PARKED_EACH, SHARE_NEIGHBOUR, park, unpark
from appliance.flow.reasons cimport DROP_NO_NEIGHBOUR, DROP_NO_NIC, DROP_PARKING_FULL, DROP_TX_FULL, DROP_TX_REFUSED
from appliance.flow.work cimport drop_telling
from ena_dev.driver.pair cimport Pair, pair_flush, pair_reap, pair_send
from ena_dev.driver.rings cimport BURST, Frame, SEND_FULL, SEND_OK


cdef inline int send_frame(Engine *engine, Nic *nic, Frame *frame, uint64_t now) noexcept nogil:
    """Give a frame to the pair of the same queue, or as near as the nic has it. Returns SEND_*; unless OK the caller still owns it."""
    cdef Pair *pair = nic.lanes[frame.queue % nic.queues].pair
    cdef int result = pair_send(pair, frame, now)
    if result == SEND_FULL and pair.running:
        pair_flush(pair)
        pair_reap(pair, BURST, now)
        result = pair_send(pair, frame, now)
    if result == SEND_OK:
        touch(engine, pair, now)
    return result


cdef inline void transmit(Engine *engine, Adjacency *adjacency, Frame *frame, uint64_t now) noexcept nogil:
    cdef Nic *nic = &engine.nics[adjacency.nic]
    cdef int result
    if not nic.queues or not nic.lanes[frame.queue % nic.queues].pair.running:
        drop(engine, frame, DROP_NO_NIC)
        return
    memcpy(frame.data, adjacency.mac, 6)
    memcpy(frame.data + 6, nic.mac, 6)
    adjacency.last_used = now
    result = send_frame(engine, nic, frame, now)
    if result == SEND_OK:
        engine.counters.sent += 1
    else:
        drop(engine, frame, DROP_TX_FULL if result == SEND_FULL else DROP_TX_REFUSED)


cdef inline void egress(Engine *engine, uint32_t index, Frame *frame, uint64_t now) noexcept nogil:
    """Send a finished packet to its neighbour, or let it wait for it."""
    cdef Adjacency *adjacency = &engine.adjacencies[index & 0xFFFF]
    if adjacency.state == ADJACENCY_VALID:
        transmit(engine, adjacency, frame, now)
    elif adjacency.state == ADJACENCY_FAILED:
        drop(engine, frame, DROP_NO_NEIGHBOUR)
    else:
        adjacency.last_used = now
        if not park(&engine.parking, engine.pool, &adjacency.parked, frame, SHARE_NEIGHBOUR, PARKED_EACH):
            drop(engine, frame, DROP_PARKING_FULL)


cdef inline void adjacency_set(Engine *engine, uint32_t index, uint8_t nic, const uint8_t *mac, uint8_t state, uint64_t now) noexcept nogil:
    """What Python knows of a neighbour; what waited goes out, or ends: then the first of it is what the sender is told about."""
    cdef Adjacency *adjacency = &engine.adjacencies[index & 0xFFFF]
    cdef Frame frame
    adjacency.nic, adjacency.state = nic, state
    memcpy(adjacency.mac, mac, 6)
    if state == ADJACENCY_INCOMPLETE:
        adjacency.epoch += 1
        return
    if state == ADJACENCY_FAILED and unpark(&engine.parking, engine.pool, &adjacency.parked, &frame):
        drop_telling(engine, &frame, DROP_NO_NEIGHBOUR, PUNT_NO_NEIGHBOUR, -1, 0)
    while unpark(&engine.parking, engine.pool, &adjacency.parked, &frame):
        egress(engine, index, &frame, now)
