# cython: language_level=3
from libc.stdint cimport uint32_t

from appliance.flow.engine cimport Copied, Engine, Miss, Punt

cdef object miss_of(const Miss *item)                              # a records.Miss
cdef object refused_of(const Miss *item)                           # a records.Refused
cdef object punt_of(const Punt *item)                              # a records.Punt
cdef object flow_of(const Engine *engine, const Copied *copied)    # a records.FlowView
