"""Netfilter's table of flows, asked for one flow at a time. Names are those of linux/netfilter/nfnetlink_conntrack.h without their prefix.

An answer is attributes in attributes: `_attributes` is one layer of them.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from errno import ENOENT
from typing import Final

from tests.differential.states import Ends, Tracked
from tests.differential.wire import ECHOES, ICMP, ICMPV6, TCP

GET: Final = 1 << 8 | 1
ERROR: Final = 2
NESTED: Final = 0x8000
TUPLE_ORIG, TUPLE_REPLY, STATUS, PROTOINFO = 1, 2, 3, 4
TUPLE_IP, TUPLE_PROTO = 1, 2
ADDRESSES: Final = {4: (1, 2), 16: (3, 4)}
"""IP_V4_SRC and IP_V4_DST, or those of IPv6, by an address's length."""
PROTO_NUM, PROTO_SRC_PORT, PROTO_DST_PORT = 1, 2, 3
QUERY: Final = {ICMP: (4, 5, 6), ICMPV6: (7, 8, 9)}
"""PROTO_ICMP_ID, _TYPE and _CODE."""
SEEN_REPLY: Final = 2
TCP_STATES: Final = (
    "NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2",
)  # fmt: skip
"""enum tcp_conntrack."""


def tracked(control: socket.socket, protocol: int, ends: Ends) -> Tracked | None:
    """The flow of packets with these ends, in either direction; of echoes, requests."""
    wanted = _nested(TUPLE_ORIG, _ends(ends) + _ports(protocol, ends))
    family = socket.AF_INET if len(ends[0]) == 4 else socket.AF_INET6
    control.send(struct.pack("=IHHIIBBH", 20 + len(wanted), GET, 1, 1, 0, family, 0, 0) + wanted)
    answer = control.recv(4096)
    if struct.unpack_from("=H", answer, 4)[0] == ERROR:
        error = -struct.unpack_from("=i", answer, 16)[0]
        assert error == ENOENT, f"conntrack does not tell of a flow: {os.strerror(error)}"
        return None
    found = _attributes(answer[20:])
    status = int.from_bytes(found[STATUS])
    info = _attributes(_attributes(found[PROTOINFO])[1]) if protocol == TCP else {1: b"\0"}
    return Tracked(
        _read(protocol, found[TUPLE_ORIG]), _read(protocol, found[TUPLE_REPLY]), bool(status & SEEN_REPLY),
        TCP_STATES[info[1][0]] if protocol == TCP else "",
    )  # fmt: skip


def _attribute(number: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), number) + data + bytes(-len(data) % 4)


def _nested(number: int, data: bytes) -> bytes:
    return _attribute(number | NESTED, data)


def _ends(ends: Ends) -> bytes:
    return _nested(TUPLE_IP, b"".join(map(_attribute, ADDRESSES[len(ends[0])], ends[:2])))


def _ports(protocol: int, ends: Ends) -> bytes:
    source, destination = (port.to_bytes(2) for port in ends[2:])
    if protocol in QUERY:
        rest = b"".join(map(_attribute, QUERY[protocol], (source, bytes((ECHOES[protocol][0],)), b"\0")))
    else:
        rest = _attribute(PROTO_SRC_PORT, source) + _attribute(PROTO_DST_PORT, destination)
    return _nested(TUPLE_PROTO, _attribute(PROTO_NUM, bytes((protocol,))) + rest)


def _attributes(data: bytes) -> Mapping[int, bytes]:
    """The attributes of one layer."""
    found, at = {}, 0
    while at + 4 <= len(data):
        size, number = struct.unpack_from("=HH", data, at)
        found[number & 0x3FFF] = data[at + 4 : at + size]
        at += max(size + 3 & ~3, 4)
    return found


def _read(protocol: int, data: bytes) -> Ends:
    found = _attributes(data)
    addresses, proto = _attributes(found[TUPLE_IP]), _attributes(found[TUPLE_PROTO])
    source, destination = ADDRESSES[4] if 1 in addresses else ADDRESSES[16]
    sport, dport = (QUERY[protocol][0],) * 2 if protocol in QUERY else (PROTO_SRC_PORT, PROTO_DST_PORT)
    return addresses[source], addresses[destination], int.from_bytes(proto[sport]), int.from_bytes(proto[dport])
