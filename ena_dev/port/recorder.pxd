# cython: language_level=3
"""A port that writes down what passes: the functions of another port's queues, each behind one that copies.

Blocks of a pcapng file lie in a ring, each whole and in one piece: a block that begins before the ring's end may reach beyond it, and the
next then begins at the ring's start. One thread writes (the port's), one reads.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ena_dev.port.port cimport Port, PortQueue, port_deliver_t

cdef enum:
    RECORDER_QUEUES = 64
    RECORDER_FRAME = 0x11000     # bytes of the largest frame that is recorded
    BLOCK_HEAD = 28              # bytes of an Enhanced Packet Block before the frame, and behind it with its padding
    BLOCK_TAIL = 16
    BLOCK_MOST = BLOCK_HEAD + RECORDER_FRAME + BLOCK_TAIL

cdef struct Tape:
    uint8_t *ring
    uint64_t size                # bytes, a power of two; BLOCK_MOST more are allocated
    uint64_t head, tail          # atomic, free-running
    uint64_t frames              # recorded
    uint64_t lost                # passed, but found no room in the ring
    int64_t epoch                # nanoseconds from the steady clock to that of the day

cdef struct RecordedQueue:
    PortQueue queue              # what the card sees
    PortQueue *inner
    Tape *tape

cdef struct Delivery:            # push ports: where frames go after they were written down
    port_deliver_t deliver
    void *ctx
    Tape *tape

cdef class RecordingPort(Port):
    cdef readonly Port inner
    cdef Tape tape
    cdef RecordedQueue recorded[RECORDER_QUEUES]
    cdef Delivery delivery
