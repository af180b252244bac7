# cython: language_level=3
from libc.stdint cimport uint8_t, uint64_t

cdef uint8_t *file_map(int fd, uint64_t offset, uint64_t size, uint64_t page, int protection, int told) except NULL
cdef void file_unmap(uint8_t *host) noexcept
