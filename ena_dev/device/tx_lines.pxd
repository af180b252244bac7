# cython: language_level=3
from libc.stdint cimport uint16_t, uint32_t

from ena_dev.bus.device_memory cimport DeviceMemory
from ena_dev.device.card cimport Lines, TxQueue
from ena_dev.device.tx_offload cimport Outgoing

cdef void tx_lines_doorbell(void *ctx, uint32_t value) noexcept nogil      # ctx: TxQueue
cdef bint tx_gather_lines(TxQueue *q, uint16_t tail, Outgoing *packet) noexcept nogil
cdef int lines_init(Lines *lines, DeviceMemory memory, uint32_t depth, layout) except -1
