# cython: language_level=3
from ena_dev.device.card cimport Card, Counters

cdef Counters card_totals(const Card *card, bint rx) noexcept nogil      # of one direction, with queues that are gone
cdef object basic_stats(const Card *card)
cdef dict named_counters(const Counters *counters)
