"""The compiled fast path: what a decided flow's frames go through, without Python.

    frame --parse--> key --find--> known:   track, rewrite, neighbour, send           (program, tcp, rewrite, adjacency)
                               |-> alike:   begun by what was decided of its like, then known               (megaflow)
                               \\-> unknown: a pending flow, frames parked, a Miss --> the pair's coroutine decides
    SYN --too many are half open: answered by a cookie, nothing kept--> its ACK begins the flow                      (synproxy)
    fragments of a packet wait for its first, then follow it                                                         (fragments, trains)
    commands (install, deny, delete, adjacency, send) <---------------------------------/
    timer wheel: pending, half-open, replied, closing flows end; expired ones leave the table                (wheel)

    records     what Python sees: Miss, Punt, Refused, Work, FlowView
    reasons     every reason a frame can be dropped for, by name
    program     Worker and FlowProgram: the surface for Python
    table       flows, their index by key, their classes
    megaflow    decisions that hold for all flows of a kind
    tcp         the tracker's transition table
    views       the records, made of structs
    engine      all state of a worker, as structs; header-only like these, which are compiled into program:
                key, classify, forward, passing, fragments, trains, window, options, clamp, begin, steering, installing, rewrite,
                adjacency, parking, work, flows, commands; of two handshakes that make one connection: cookie, synproxy, splice,
                splicing, relay, proxy, segments

One `Worker` is one writer: all its state is C structs that only the executor's thread changes. Rings carry work out and commands in.
"""
