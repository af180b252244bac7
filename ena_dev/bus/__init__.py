"""Where the two sides of a card meet: memory by bus address, BAR writes, interrupt vectors, and the executor that steps both.

    driver --BAR write--> mmio --stored tail, ready bit--> device task
    driver <--ready bit or eventfd-- interrupts <--vector-- device task
    both   <--------- memory: rings and buffers by bus address -------->

* `memory`      host memory by bus address: map, allocate, resolve, refuse
* `guest_memory` the same of a guest in another process, mapped from what it passes
* `mapped_file` a file's memory between two fences, and what happens when it is taken away
* `device_memory` memory of the card, a file of sealed size that the driver maps
* `mmio`        a BAR: control registers in Python, doorbells as compiled slots
* `interrupts`  MSI-X vectors: auto-mask, unmask, moderation delay, sinks, among them an `eventfd`
* `cache`       hints to the processor: what is needed soon
* `executor`    tasks, ready bits, deadlines; a round by hand, from an event loop, or in a thread of its own

Nothing here knows a card or a driver. Start with `executor`.
"""
