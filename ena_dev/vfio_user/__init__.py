"""The bus of a guest in QEMU: one card as a PCI device over the vfio-user protocol, on a unix socket.

    QEMU --messages, descriptors--> server --feed--> Connection --calls--> CardFunction --> PluggedCard, GuestMemory
    QEMU <------- replies --------- server <--bytes--'                         `--> ConfigSpace, regions

* `messages`      what is said: header, commands as records, sizes checked
* `connection`    the conversation, without a socket: order, replies, errors, and whose descriptors are whose
* `config_space`  the image of PCI configuration space: what may change, and what a change asks for
* `regions`       BAR accesses of any size, as the registers want them
* `function`      the card as a PCI function: regions, memory, interrupts, resets
* `server`        the socket: one client at a time, and all is as before when it is gone

The card is the one that any other driver gets: nothing in it knows who drives it. Begin with `function`.
"""
