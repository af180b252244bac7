"""What a driver is tried on: the rows of README's table. A check of this name, in whatever guest or program, fills a cell.

`ok NAME`, `FAIL NAME: why` or `n/a NAME: why` is one line of a script or a test's own; where several checks make one cell, the first that
is not ok decides it.
"""

from __future__ import annotations

CAPABILITIES = {
    "probe": "probe",
    "ping": "ping, IPv4 and IPv6",
    "tcp": "TCP both ways",
    "udp": "UDP both ways",
    "jumbo": "jumbo frames, MTU 9001",
    "checksum-on": "checksums by the card, both ways",
    "checksum-off": "checksums by the driver's stack",
    "tso-on": "TSO on",
    "tso-off": "TSO off",
    "rss": "RSS: each flow on the queue that its hash says",
    "rss-set": "RSS: key, function and table set (`ethtool -X`)",
    "views": "`ethtool -S -l -g -x -c -k -i`",
    "channels": "number of queues (`ethtool -L`)",
    "rings": "ring sizes (`ethtool -G`)",
    "moderation": "interrupt moderation (`ethtool -C`): real delays",
    "llq": "LLQ (TX push)",
    "statistics": "statistics of allowances",
    "mtu": "MTU changed under traffic",
    "down-up": "down and up",
    "reload": "unload and load 20 times",
    "flr-bound": "FLR under the driver",
    "flr-unbound": "FLR without a driver",
    "two-cards": "two cards",
    "fault-keep-alive": "recovery: missed keep-alives",
    "fault-interrupt": "recovery: lost interrupt",
    "fault-completion": "recovery: withheld completions",
    "fault-request": "recovery: reset requested by the card",
    "fault-link": "recovery: link flap",
    "fault-tx-id": "recovery: bad request id, Tx",
    "fault-rx-id": "recovery: bad request id, Rx",
}
"""Name of the check: what the table calls it. `ethtool -K` is in the rows of checksums and TSO."""
