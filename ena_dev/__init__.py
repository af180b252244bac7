"""A software AWS ENA network card and its driver: the real contract, without EC2.

    driver --registers, rings, vectors (bus)--> device --frames--> port --> TAP, cable, pcap

* `abi`      the contract as tables
* `packet`   bytes and their meaning: headers, checksums, hashes, segmentation
* `ring`     slot and phase arithmetic
* `bus`      where the two sides meet: memory, BAR, vectors, executor
* `device`   the card; knows no driver
* `driver`   the host side; knows no device
* `port`     the card's network side
* `testbed`  all of it wired together
"""
