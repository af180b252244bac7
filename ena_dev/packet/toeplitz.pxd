# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""The RSS hash by table: one look-up for each input byte. A `Toeplitz` object owns the table, compiled code uses its address."""

from libc.stdint cimport uint8_t, uint32_t


cdef enum:
    TOEPLITZ_KEY = 40     # bytes
    TOEPLITZ_INPUT = 36   # bytes at most: two IPv6 addresses and two ports


cdef struct ToeplitzTable:
    uint32_t init                 # XORed into every hash
    uint32_t rows[36][256]        # [position in the input][value of that byte]


cdef inline uint32_t toeplitz_run(const ToeplitzTable *table, int position, const uint8_t *data, int length) noexcept nogil:
    """What `length` bytes contribute that stand at `position` of the input; position + length <= TOEPLITZ_INPUT."""
    cdef uint32_t value = 0
    cdef int i
    for i in range(length):
        value ^= table.rows[position + i][data[i]]
    return value


cdef inline uint32_t toeplitz_v4(const ToeplitzTable *table, const uint8_t *addresses, const uint8_t *ports) noexcept nogil:
    """Hash of source and destination (8 bytes, as in the IPv4 header) and both ports (4 bytes; NULL: addresses only)."""
    cdef uint32_t value = table.init ^ toeplitz_run(table, 0, addresses, 8)
    return value if ports == NULL else value ^ toeplitz_run(table, 8, ports, 4)


cdef inline uint32_t toeplitz_v6(const ToeplitzTable *table, const uint8_t *addresses, const uint8_t *ports) noexcept nogil:
    """Hash of source and destination (32 bytes, as in the IPv6 header) and both ports (4 bytes; NULL: addresses only)."""
    cdef uint32_t value = table.init ^ toeplitz_run(table, 0, addresses, 32)
    return value if ports == NULL else value ^ toeplitz_run(table, 32, ports, 4)


cdef class Toeplitz:
    cdef ToeplitzTable table      # never changes after construction: &hash.table may be read by any thread while the object lives
    cdef readonly bytes key
