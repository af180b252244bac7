# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Stepping the TCP tracker: the numbers of `tcp.py`, and its table as bytes. Header-only; the table is filled from `TRANSITIONS`."""

from libc.stdint cimport uint8_t

from ena_dev.packet.headers cimport TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN


cdef enum:
    TCP_NONE = 0               # no state: not TCP; as a result: invalid
    SYN_SENT = 1
    SYN_RECEIVED = 2
    ESTABLISHED = 3
    FIN_WAIT = 4
    CLOSE_WAIT = 5
    CLOSING = 6
    TIME_WAIT = 7
    CLOSED = 8
    TCP_STATES = 9
    EVENT_SYN = 0
    EVENT_SYN_ACK = 1
    EVENT_ACK = 2
    EVENT_FIN = 3
    EVENT_RST = 4
    EVENT_INVALID = 5
    TCP_EVENTS = 6


cdef struct TcpTable:
    uint8_t next[TCP_STATES][2][TCP_EVENTS]
    uint8_t event[32]          # by the flags FIN, SYN, RST, PSH, ACK


cdef inline uint8_t tcp_event_of(uint8_t flags) noexcept nogil:
    cdef uint8_t kind = flags & (TCP_SYN | TCP_FIN | TCP_RST)
    if kind == TCP_SYN:
        return EVENT_SYN_ACK if flags & TCP_ACK else EVENT_SYN
    if kind == TCP_RST:
        return EVENT_RST
    if kind == TCP_FIN:
        return EVENT_FIN if flags & TCP_ACK else EVENT_INVALID
    return EVENT_ACK if kind == 0 and flags & TCP_ACK else EVENT_INVALID


cdef inline uint8_t tcp_step(const TcpTable *table, uint8_t state, int direction, uint8_t flags) noexcept nogil:
    """The state after a segment, TCP_NONE if it is invalid. `state` is below TCP_STATES."""
    return table.next[state][direction & 1][table.event[flags & 31]]
