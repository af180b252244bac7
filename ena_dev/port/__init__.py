"""The network side of a card: where frames come from and go to.

    TAP, TUN --tap-----.
    Python   --wire----+--> PortQueue: receive | deliver, send --> the card's engines
    a card   --cable---'

* `port`      what every port is, as a struct of functions for each queue
* `tap`       a Linux interface; `tap_queue` moves its frames, small ones in bursts, offloads by the virtio-net header
* `uring`     several reads or writes by one system call
* `steering`  the card's hash in the kernel, so that a TAP picks the right queue itself
* `cable`     two cards back to back, one copy
* `wire`      a far end in Python, frame by frame; `meta` tells what is known beside the bytes
* `pcap`      capture files at the end of a wire
* `recorder`  any port, with what passes copied onto a tape; `recording` writes the tape into a pcapng file

A port knows no card: it is handed buffers to fill, or a function to deliver to. Start with `port`.
"""
