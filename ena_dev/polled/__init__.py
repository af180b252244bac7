"""The bus of a driver on this machine, without a virtual machine: registers in a file that is polled, DMA memory in huge pages.

    driver --stores--> DIR/bar0 --PolledBar, a task--> doorbells             --ControlPage--> control registers
    driver <--rings, buffers, by physical address--> DIR/huge/rtemap_* <--HugePages-- card

* `bar`         BAR 0 as a file: what to take from it, when, and how often to look
* `control`     the control registers in it: in which order their changes are told to the card
* `huge_pages`  memory by physical address: pages of a driver, mapped as runs
* `pages`       which pages a driver has at the moment, and whether it lives
* `served`      the card with all that

That is how the DPDK's drivers see a card: they map a BAR by opening a file, and know the physical addresses of their pages. There are no
interrupts. The card is the one that any other driver gets. Begin with `served`.
"""
