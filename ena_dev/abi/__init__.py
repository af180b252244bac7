"""Facts of the ENA contract as data: no behaviour, no state.

    record      base of all wire records, bus addresses
    registers   BAR 0: offsets and register values, reset reasons
    admin       admin commands and completions
    features    what GET_FEATURE and SET_FEATURE carry, the vendor feature for large receive
    flow_steering, clocks   those of flow rules; of the PTP clock and time stamps
    events      asynchronous events
    eth_io      Tx and Rx descriptors and completions

Card and driver both read these tables, and nothing else in common knows the contract. Compiled code has the same layouts in
declarations beside the modules.
"""
