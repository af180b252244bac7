# cython: language_level=3
"""Loads, stores and fences between the data thread and the event loop's thread."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from * nogil:
    """
    #define softena_load_acquire(p)      __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define softena_load_relaxed(p)      __atomic_load_n((p), __ATOMIC_RELAXED)
    #define softena_store_release(p, v)  __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define softena_fetch_add(p, v)      __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
    #define softena_exchange(p, v)       __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
    #define softena_fence()              __atomic_thread_fence(__ATOMIC_SEQ_CST)
    """
    uint32_t load_acquire "softena_load_acquire"(uint32_t *p)
    void store_release "softena_store_release"(uint32_t *p, uint32_t v)
    uint64_t load_acquire64 "softena_load_acquire"(uint64_t *p)
    uint64_t load_relaxed64 "softena_load_relaxed"(uint64_t *p)         # once, neither merged nor repeated
    void store_release64 "softena_store_release"(uint64_t *p, uint64_t v)
    uint32_t fetch_add "softena_fetch_add"(uint32_t *p, int v)
    uint32_t exchange "softena_exchange"(uint32_t *p, uint32_t v)
    void fence "softena_fence"()


cdef inline void load_once16(const uint8_t *shared, void *out) noexcept nogil:
    """Copy 16 bytes that somebody else may be writing, at a multiple of 8: each half is loaded once, whatever the compiler would like."""
    cdef uint64_t halves[2]
    halves[0] = load_relaxed64(<uint64_t *> shared)
    halves[1] = load_relaxed64(<uint64_t *> shared + 1)
    memcpy(out, halves, sizeof(halves))
