# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, nonecheck=False, initializedcheck=False
"""Flow rules: which Rx queue a packet is meant for by its addresses and ports, before its hash is asked.

A packet becomes a key of five words once; a rule is a value and a mask of the same shape, so matching is an AND and a comparison a word.

    word 0, 1   destination address, an IPv4 one in the first four bytes
    word 2, 3   source address
    word 4      destination port, source port, traffic class, protocol, IP version

A packet without readable ports - another protocol, a fragment - has protocol and ports 0 in its key: only rules for any packet of an IP
version match it. Source: ENA interface, FLOW_STEERING_CONFIG.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ena_dev.bus.executor cimport Executor
from ena_dev.packet.headers cimport Parsed

from ena_dev.errors import UsageError


cdef inline uint64_t last_word(uint16_t destination_port, uint16_t source_port, uint8_t tos, uint8_t protocol,
                               uint8_t version) noexcept nogil:
    return (<uint64_t> destination_port << 48 | <uint64_t> source_port << 32 | <uint64_t> tos << 16 | <uint64_t> protocol << 8 | version)


cdef int flow_match(const FlowTable *table, const uint8_t *head, const Parsed *parsed, bint ports) noexcept nogil:
    """The queue that the first matching rule names, or FLOW_NO_RULE.

    `head` is the frame's start, with its whole IP header; `ports`: it is TCP or UDP, not a fragment.
    """
    cdef uint64_t key[FLOW_WORDS]
    cdef const uint8_t *ip = head + parsed.l3_offset
    cdef const FlowEntry *entry
    cdef uint32_t i
    if not table.count or not parsed.version:
        return FLOW_NO_RULE
    memset(key, 0, sizeof(key))
    if parsed.version == 4:
        memcpy(key, ip + 16, 4)
        memcpy(&key[2], ip + 12, 4)
    else:
        memcpy(key, ip + 24, 16)
        memcpy(&key[2], ip + 8, 16)
    key[4] = last_word(parsed.destination_port if ports else 0, parsed.source_port if ports else 0,
                       ip[1] if parsed.version == 4 else <uint8_t> (ip[0] << 4 | ip[1] >> 4),
                       parsed.protocol if ports else 0, parsed.version)
    for i in range(table.count):
        entry = &table.entries[i]
        if (key[0] & entry.mask[0] == entry.value[0] and key[1] & entry.mask[1] == entry.value[1]
                and key[2] & entry.mask[2] == entry.value[2] and key[3] & entry.mask[3] == entry.value[3]
                and key[4] & entry.mask[4] == entry.value[4]):
            return entry.queue
    return FLOW_NO_RULE


cdef void encode(uint64_t *words, const uint8_t *destination, const uint8_t *source, uint64_t last) noexcept nogil:
    memcpy(words, destination, 16)
    memcpy(&words[2], source, 16)
    words[4] = last


cdef class FlowSteering:
    """The rules of one card. The engine reads them; changes are made under the executor's barrier."""

    def __init__(self, Executor executor not None):
        self.executor = executor

    def set(self, rules):
        """These rules, lowest location first, in place of all that were there. UsageError if there are too many."""
        cdef FlowTable table
        cdef FlowEntry *entry
        cdef int w
        ordered = sorted(rules, key=lambda rule: rule.location)
        if len(ordered) > FLOW_RULES:
            raise UsageError(f"{len(ordered)} flow rules; {FLOW_RULES} at most")
        table.count = 0
        for rule in ordered:
            entry = &table.entries[table.count]
            encode(entry.value, rule.destination, rule.source,
                   last_word(rule.destination_port, rule.source_port, rule.tos, rule.protocol, rule.version))
            encode(entry.mask, rule.destination_mask, rule.source_mask,
                   last_word(rule.destination_port_mask, rule.source_port_mask, rule.tos_mask, 0xFF if rule.protocol else 0, 0xFF))
            for w in range(FLOW_WORDS):
                entry.value[w] &= entry.mask[w]
            entry.queue = rule.queue
            table.count += 1
        with self.executor.held():
            memcpy(&self.table, &table, sizeof(FlowTable))
