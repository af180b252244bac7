"""Source ports: choose one for which no other flow expects the same reply."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Final

from appliance.policy.facts import ICMP, ICMPV6, TCP, UDP, StateView, Tuple5

LOWEST: Final = 1024
HIGHEST: Final = 65535
RANDOM_TRIES: Final = 16
DRAWS: Final = 128
"""For a random try, until a port suits: with the most queues that there are, two in a hundred find none."""
SPAN: Final = 512
"""Ports tried in sequence after the random ones: with this many busy in a row, nearly all are."""


Suits = Callable[[int], bool]
"""Whether a port is one of those that are preferred."""


def random_ports(random: Random, port: int, tries: int, span: int, suits: Suits | None = None) -> Iterator[int]:
    """Ports to try in place of one: some at random, then those that follow the first, with wrap-around. Even stays even, and odd odd, as
    long as that may work; the first of those at random suit, if chance allows.

    Source: RFC 6056, section 3.3.2; RFC 4787, section 4.2.2, REQ-4 (parity).
    """
    first = _suitable(random, port, suits)
    yield first
    for number in range(1, tries):
        yield _suitable(random, port, suits if number < tries // 2 else None)
    half = span // 2
    for start in (first, first ^ 1):
        for step in range(1, half + 1):
            yield (start + 2 * step - LOWEST) % (HIGHEST - LOWEST + 1) + LOWEST


def _suitable(random: Random, port: int, suits: Suits | None) -> int:
    """A port at random, of the parity of another, that suits if one such is found soon enough."""
    found = _alike(random.randint(LOWEST, HIGHEST), port)
    for _ in range(DRAWS if suits is not None else 0):
        if suits is None or suits(found):
            break
        found = _alike(random.randint(LOWEST, HIGHEST), port)
    return found


def _alike(drawn: int, port: int) -> int:
    """The port of a pair, of an even and the next odd one, that has the parity of another."""
    return drawn & ~1 | port & 1


def free_reply(
    view: StateView, version: int, protocol: int, original: Tuple5, hidden: bool, draws: bool = False,
    comes_home: Callable[[Tuple5], bool] | None = None,
) -> Tuple5 | None:  # fmt: skip
    """The reply that a flow will expect, by a source port of which it is the only one; None if none was found.

    `original` is the flow with its addresses translated. Its port is kept if that works, but for a `hidden` source only from 1024 up: our
    own address's lower ports are not for others. `draws`: it isn't kept at all. ICMP echo has its identifier in place of both ports; other
    protocols have nothing to vary. `comes_home`: which replies are preferred, where another port is needed.
    """
    source, destination, sport, dport = original
    echo = protocol in (ICMP, ICMPV6)
    has_ports = protocol in (TCP, UDP)
    may_stay = not hidden or sport >= LOWEST or not has_ports
    if may_stay and not (draws and (has_ports or echo)):
        reply = (destination, source, dport, sport)
        if view.is_free(version, protocol, reply):
            return reply
    if not has_ports and not echo:
        return None
    suits = None if comes_home is None or echo else lambda port: comes_home((destination, source, dport, port))
    for port in random_ports(view.random, sport, RANDOM_TRIES, SPAN, suits):
        reply = (destination, source, port if echo else dport, port)
        if view.is_free(version, protocol, reply):
            return reply
    return None
