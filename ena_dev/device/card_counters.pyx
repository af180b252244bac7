# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""What a card counted, for Python: totals of both directions, and one queue's. Aligned words with one writer, read as they are."""

from ena_dev.device.card cimport CARD_QUEUES, DROP_OVERRUN, DROPS, add_counters

from ena_dev.device.interfaces import BasicStats

DROP_NAMES = ("none", "link_down", "not_mine", "malformed", "too_long", "overrun", "offload", "port_full", "port_error", "fault",
              "no_memory", "allowance")


cdef Counters card_totals(const Card *card, bint rx) noexcept nogil:
    cdef Counters total = card.rx_total if rx else card.tx_total
    cdef int i
    for i in range(CARD_QUEUES):
        if rx and card.rx[i] != NULL:
            add_counters(&total, &card.rx[i].counters)
        elif not rx and card.tx[i] != NULL:
            add_counters(&total, &card.tx[i].counters)
    return total


cdef object basic_stats(const Card *card):
    cdef Counters rx = card_totals(card, True), tx = card_totals(card, False)
    cdef int i
    return BasicStats(
        tx_bytes=tx.bytes, tx_packets=tx.packets, rx_bytes=rx.bytes, rx_packets=rx.packets, rx_overruns=rx.drops[DROP_OVERRUN],
        rx_drops=sum([rx.drops[i] for i in range(DROPS) if i != DROP_OVERRUN]), tx_drops=sum([tx.drops[i] for i in range(DROPS)]))


cdef dict named_counters(const Counters *counters):
    """By name: packets, bytes, what was done in software, drops by reason (drop_...)."""
    cdef int i
    named = {"packets": counters.packets, "bytes": counters.bytes, "copied": counters.copied, "segmented": counters.segmented,
             "summed": counters.summed, "bad_doorbells": counters.bad_doorbells, "long_bursts": counters.long_bursts}
    for i in range(1, DROPS):
        named["drop_" + DROP_NAMES[i]] = counters.drops[i]
    return named
