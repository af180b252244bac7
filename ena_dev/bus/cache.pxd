# cython: language_level=3
"""Hints to the processor's cache: memory that will be needed a little later. Any address is harmless. Header-only."""

cdef extern from * nogil:
    """
    #define softena_prefetch(p)        __builtin_prefetch((p))
    #define softena_prefetch_write(p)  __builtin_prefetch((p), 1)
    """
    void prefetch "softena_prefetch"(const void *p)
    void prefetch_write "softena_prefetch_write"(const void *p)
