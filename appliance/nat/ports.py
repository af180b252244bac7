"""Source ports: choose one for which no other flow expects the same reply."""

from itertools import chain
from typing import Final

from appliance.policy.facts import ICMP, ICMPV6, TCP, UDP, StateView, Tuple5

LOWEST: Final = 1024
HIGHEST: Final = 65535
RANDOM_TRIES: Final = 16
SPAN: Final = 512
"""Ports tried in sequence after the random ones: with this many busy in a row, nearly all are."""


def free_reply(view: StateView, version: int, protocol: int, original: Tuple5, hidden: bool) -> Tuple5 | None:
    """The reply that a flow will expect, by a source port of which it is the only one; None if none was found.

    `original` is the flow with its addresses translated. Its port is kept if that works, but for a `hidden` source only from 1024 up: our
    own address's lower ports are not for others. ICMP echo has its identifier in place of both ports; other protocols have nothing to vary.
    """
    source, destination, sport, dport = original
    echo = protocol in (ICMP, ICMPV6)
    has_ports = protocol in (TCP, UDP)
    if not hidden or sport >= LOWEST or not has_ports:
        reply = (destination, source, dport, sport)
        if view.is_free(version, protocol, reply):
            return reply
    if not has_ports and not echo:
        return None
    first = view.random.randint(LOWEST, HIGHEST)
    tries = (view.random.randint(LOWEST, HIGHEST) for _ in range(RANDOM_TRIES - 1))
    span = ((first + step - LOWEST) % (HIGHEST - LOWEST + 1) + LOWEST for step in range(1, SPAN + 1))
    for port in chain((first,), tries, span):
        reply = (destination, source, port if echo else dport, port)
        if view.is_free(version, protocol, reply):
            return reply
    return None
