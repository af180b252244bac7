"""The host side of a card: brings it up through registers, admin queue and rings alone. It knows no device.

    adapter --registers, admin--> negotiated capabilities --> queue pairs --open or lent--> somebody's coroutine
       ^--- watchdog: keep-alive, missing completions, lost interrupts, faults --> reset, and on

* `adapter`      bring-up, reset and tear-down in the contract's order: start here
* `control`      registers, admin queue, events and vector 0 as one thing that can be reset
* `registers`    typed access to BAR 0, readless reads; `handshake` resets through them, `polling` paces the waits
* `admin`        commands in flight; `commands` types them, `aenq` takes events, `notices` acts on them, `link` is one of the results
* `negotiation`  wishes and offers make capabilities
* `io_queues`    queues made and destroyed; `rss` spreads flows over them, `host_info` tells the card who asks
* `queue`        one queue pair, for a coroutine or lent to a compiled program; `pair` moves its bursts (compiled)
* `rx_ring`, `tx_ring`, `rings`, `pool`, `copies`   its rings, frames and buffers (compiled)
* `watchdog`     when to reset, and why; `supervisor` is its shell
* `counters`, `ethtool`, `ethtool_text`   what was counted, and what `ethtool` shows of it
"""
