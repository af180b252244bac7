"""The card: what answers a driver's register accesses, admin commands and doorbells. It knows no driver.

    model           assembles the parts below; start here
    interfaces      what the card needs: memory, vectors, an engine
    personality     what this card can do, as data
    lifecycle       reset and readiness: table and step
    register_file   reads and writes, dispatched by register
    admin_ring      base, size and slots of an admin ring
    admin_queue     fetch, execute, complete
    commands        one handler per opcode
    features        which feature a command names; `feature` says what one is
      attributes      fixed answers: identity, limits, offloads
      mtu, host, hints, large_receive, flow_rules
      llq             Tx queues in device memory: what is chosen, where each lies
      phc, timestamps the PTP clock, and stamps by it; `host_clock` is what it tells
    queues          which IO queues exist, and what they may be
    control_buffer  a command's buffer in the driver's memory; refusals
    rss, stats      receive-side scaling, counters
    allowances      what the card lets through, as data and as people write it
    aenq            asynchronous events: link, keep-alive; a group of features, as rss is
    interrupt_gate  vector 0 and its mask
    link            up, down, or down for a while
    faults          misbehaviour on request
    io_engine       the engine, as the control plane sees it: the Python face of what follows
      card_queues     makes, ranks and destroys queues
      hash_steering   receive-side scaling: hash, table, and what the port is told of them
      data_faults     misbehaviour of packets, completions and interrupts on request
      card_counters   what was counted
      card_state      what the engine lives in, as long as its tasks; `card.pxd` has the structs
      rx_engine       fetch posted buffers, read or copy frames into them, complete
      rx_verdict      what a received frame is, and which queue it goes to
      flow_steering   rules that name a queue before the hash does
      tx_engine       fetch descriptors, gather packets, complete
      tx_lines        the same from lines in device memory (LLQ)
      tx_offload      checksums and segmentation of what is sent
      shaper          allowances: who passes, waits or is dropped, by `bucket`s and the connections of `conntrack`
      impairment      loss, delay and disorder
      release         where a frame goes on that one of these two held back

The control plane is Python without a clock, a task or a socket: writes come in, effects go to the engine, time is an argument. The
engine is compiled, and its tasks are stepped by the executor. `plugged` wires both.
"""
