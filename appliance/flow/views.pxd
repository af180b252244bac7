# cython: language_level=3
from libc.stdint cimport uint32_t

from appliance.flow.engine cimport Engine, Miss, Punt
from appliance.flow.table cimport Flow

cdef object miss_of(const Miss *item)                              # a records.Miss
cdef object refused_of(const Miss *item)                           # a records.Refused
cdef object punt_of(const Punt *item)                              # a records.Punt
cdef object flow_of(const Engine *engine, const Flow *flow, uint32_t slot)     # a records.FlowView; `flow` may be a copy of the slot's
