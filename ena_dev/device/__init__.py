"""The card: what answers a driver's register accesses, admin commands and doorbells. It knows no driver.

    model           assembles the parts below; start here
    interfaces      what the card needs: memory, vectors, an engine
    personality     what this card can do, as data
    lifecycle       reset and readiness: table and step
    register_file   reads and writes, dispatched by register
    admin_ring      base, size and slots of an admin ring
    admin_queue     fetch, execute, complete
    commands        one handler per opcode
    features        one handler per feature
    queues          which IO queues exist, and what they may be
    control_buffer  a command's buffer in the driver's memory; refusals
    rss, stats      receive-side scaling, counters
    aenq            asynchronous events: link, keep-alive
    interrupt_gate  vector 0 and its mask
    link            up, down, or down for a while
    faults          misbehaviour on request

All of it is Python without a clock, a task or a socket: writes come in, effects go to the engine, time is an argument. The engine,
compiled, moves the packets and stands in its own modules.
"""
