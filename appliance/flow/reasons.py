"""Why a frame was dropped: the one list of all reasons, by the name that counters and logs show.

A reason's number in compiled code (`reasons.pxd`) is its place in NUMBERS. Frames that the fast path has handed over, and cards, have
reasons from this list, too.
"""

from typing import Final

_PASSING: Final = {
    "internal": "what must not happen, happened; please report it",
    # the frame itself
    "bad-checksum": "the card found the IP or transport checksum wrong",
    "truncated": "a header doesn't fit into the frame or the packet",
    "malformed": "a header contradicts itself",
    "headers-split": "headers reach beyond the first buffer",
    "vlan": "tagged, and no VLAN is configured",
    "ethertype": "neither IPv4, IPv6 nor ARP",
    "other-host": "addressed to another station of the link",
    "multicast": "to a group or broadcast address",
    "fragment": "an IP fragment of neighbour discovery, of an ICMP error, or of a SYN while those get cookies",
    "fragment-tiny": "a first fragment that ends within the transport header",
    "fragment-range": "an empty fragment, one beyond the largest packet, or odd bytes before the last",
    "fragment-overlap": "overlaps or contradicts another fragment of its packet, or comes after one that did",
    "fragment-duplicate": "a fragment seen before",
    "fragment-first": "the first fragment of its packet didn't pass",
    "fragment-timeout": "the first fragment of its packet didn't come",
    "fragment-full": "too many fragments wait, or too many packets come in fragments",
    "ip-options": "IPv4 options, or an IPv6 routing header that has segments left",
    # its flow
    "wrong-nic": "came in elsewhere than its flow does",
    "tcp-invalid": "flags that its TCP state doesn't allow",
    "tcp-window": "sequence or acknowledgement numbers outside its connection's windows (`liberal`, `exceptions: invalid`)",
    "not-open": "came behind a SYN cookie before its target has answered; it comes again",
    "pending-full": "too many flows wait for a decision",
    "table-full": "no room for another flow (`exceptions: state-full`)",
    "miss-full": "decisions lag behind: the ring to Python is full",
    "parking-full": "too many frames wait, or eight of its flow or neighbour do",
    "undecided": "no decision came within a second",
    "deleted": "its flow was ended while it waited",
    # the decision
    "policy": "a rule, or the default, denies it",
    "rejected": "a rule denies it, and its sender is told",
    "no-route": "nothing leads to its destination",
    "no-target": "its service has no target that takes new flows",
    "nat-exhausted": "its replies would be another flow's: no source port is left to tell them apart, or nothing translates it to one",
    "not-a-start": "belongs to no flow, and may not begin one (`pickup`, `exceptions: mid-stream`)",
    "bad-address": "a source or destination that no router may forward",
    "decision-failed": "deciding it failed",
    # the way out
    "no-neighbour": "its next hop doesn't answer",
    "no-nic": "its egress doesn't exist, or is being reset",
    "tx-full": "the egress queue is full",
    "tx-refused": "the egress card can't send such a frame",
    "punt-full": "too many frames wait for the control plane",
    "no-buffer": "no buffer for a frame of the control plane",
    "ttl": "no hop is left to it; its sender is told, within a rate",
    "too-big": "more than its way out carries, and may not be cut; its sender is told, within a rate",
    # handed over
    "unrelated": "an ICMP error that is malformed, about no flow that its reporter could know, or about a later fragment of an old packet",
    "not-in-flight": "an ICMP error that quotes TCP which isn't on its way",
    "neighbour-message": "ARP or neighbour discovery that is malformed, comes from beyond its link, or isn't for a router",
    "punt-rate": "more ICMP errors, or packets to be cut, than are handled in a second",
    "not-sent": "the control plane can't send it on: its next hop is silent, or too much waits",
    # who sends, and how much
    "spoofed": "its source isn't behind the nic it came in by: see the zone's `antispoof`",
    "bogon": "a special-purpose address where only the Internet is: see the zone's `bogons`",
    "over-limit": "a limit of its rule or service is reached: `rate`, `connections`, `protect`",
}

_CARD: Final = {
    "card-link-down": "the card's link is down",
    "card-not-mine": "addressed to another card",
    "card-malformed": "no Ethernet frame, or a large packet that isn't one",
    "card-too-long": "beyond the MTU",
    "card-overrun": "its driver has no buffers for it: it comes faster than frames are handled",
    "card-offload": "an offload was asked for that doesn't fit it",
    "card-port-full": "the TAP, or whatever is behind the card, takes no more",
    "card-port-error": "the TAP, or whatever is behind the card, has refused it",
    "card-fault": "lost on purpose: see the nic's `faults`",
    "card-no-memory": "too many frames are delayed: see the nic's `faults`",
    "card-allowance": "beyond the card's allowances",
}

MEANINGS: Final[dict[str, str]] = {**_PASSING, **_CARD}
NUMBERS: Final[dict[str, int]] = {name: number for number, name in enumerate(_PASSING)}
