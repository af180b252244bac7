"""The host side of a card: brings it up through registers, admin queue and rings alone. It knows no device.

    adapter --registers, admin--> negotiated capabilities --> queue pairs --open or lent--> somebody's coroutine
       ^--- watchdog: keep-alive, missing completions, lost interrupts, faults --> reset, and on

* `adapter`      bring-up, reset and tear-down in the contract's order: start here
* `registers`    typed access to BAR 0, readless reads
* `admin`        commands in flight, asynchronous events
* `negotiation`  wishes and offers make capabilities
* `queue`        one queue pair: bursts for a compiled program, or for a coroutine (compiled)
* `rx_ring`, `tx_ring`, `rings`, `pool`   its rings, frames and buffers (compiled)
* `watchdog`     when to reset, and why
* `ethtool`      what `ethtool` shows of it
"""
