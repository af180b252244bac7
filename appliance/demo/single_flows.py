"""Scenes of single flows: let through, denied, translated, and what a router answers itself."""

from __future__ import annotations

from typing import Final

from appliance.demo.remote import Peer, PeerError
from appliance.demo.scene import Scene, Tell, exactly
from appliance.demo.stage import CLIENT, SITE, Stage

PLAIN4, BEHIND_NAT, PLAIN6 = CLIENT
SITE4, SITE6 = SITE
OURS4, OURS6 = "10.1.0.1", "2001:db8:1::1"
"""The appliance's addresses, as the clients know them."""
OUTSIDE4: Final = "192.0.2.1"
"""Its address towards the servers."""
CLOSED: Final = 33434
NOTHING: Final = "no answer; nothing arrived"


def answered(protocol: str, address: str, port: int, source: str | None = None) -> Tell:
    """Who answers the client, and whom they see."""

    async def tell(stage: Stage) -> str:
        answer = await stage.client.call(protocol, address=address, port=port, source=source)
        return f"{answer['server']} answers, sees {answer['seen']}"

    return tell


def refused(protocol: str, address: str, port: int) -> Tell:
    """Whether the client gets an answer, and whether anything came through to the site."""

    async def tell(stage: Stage) -> str:
        return await _unheard(stage.client, protocol, address, port, stage.site)

    return tell


async def uninvited(stage: Stage) -> str:
    """A server begins a connection to a client."""
    return await _unheard(stage.site, "tcp", PLAIN4, 80, stage.client)


async def _unheard(asking: Peer, protocol: str, address: str, port: int, listening: Peer) -> str:
    before = (await listening.call("heard", protocol=protocol, port=port))["count"]
    try:
        answer = str(await asking.call(protocol, address=address, port=port))
    except PeerError as error:
        answer = str(error)
    arrived = (await listening.call("heard", protocol=protocol, port=port))["count"] - before
    return f"{answer}; {arrived or 'nothing'} arrived"


def pinged(address: str) -> Tell:
    """How many of three pings are answered."""

    async def tell(stage: Stage) -> str:
        result = await stage.client.call("ping", address=address)
        return f"{result['replies']} of {result['sent']} answered"

    return tell


def probed(address: str, port: int, *, hops: int = 64, size: int = 32, source: str | None = None) -> Tell:
    """Which ICMP error one datagram meets, and from whom."""

    async def tell(stage: Stage) -> str:
        result = await stage.client.call("probe", address=address, port=port, hops=hops, size=size, source=source)
        if result["answer"] == "datagram":
            return "answered"
        mtu = f", {result['mtu']} bytes" if result["mtu"] else ""
        return f"{result['what']} from {result['sender']}{mtu}"

    return tell


ALLOWED: Final[tuple[Scene, ...]] = (
    exactly("TCP, allowed", f"site answers, sees {PLAIN4}", answered("tcp", SITE4, 80)),
    exactly("TCP over IPv6, allowed", f"site answers, sees {PLAIN6}", answered("tcp", SITE6, 80)),
    exactly("UDP, allowed", f"site answers, sees {PLAIN4}", answered("udp", SITE4, 53)),
    exactly("UDP over IPv6, allowed", f"site answers, sees {PLAIN6}", answered("udp", SITE6, 53)),
    exactly("ping the site", "3 of 3 answered", pinged(SITE4)),
    exactly("ping the site over IPv6", "3 of 3 answered", pinged(SITE6)),
    exactly("ping the appliance", "3 of 3 answered", pinged(OURS4)),
    exactly("ping the appliance over IPv6", "3 of 3 answered", pinged(OURS6)),
)
DENIED: Final[tuple[Scene, ...]] = (
    exactly("TCP, denied by rule `telnet`", NOTHING, refused("tcp", SITE4, 23)),
    exactly("TCP over IPv6, denied by default", NOTHING, refused("tcp", SITE6, 22)),
    exactly("UDP, denied by default", NOTHING, refused("udp", SITE4, 69)),
    exactly("UDP over IPv6, denied by default", NOTHING, refused("udp", SITE6, 69)),
    exactly("TCP to the appliance, denied by default", NOTHING, refused("tcp", OURS4, 22)),
    exactly("TCP from servers to clients, denied by default", NOTHING, uninvited),
)
TRANSLATED: Final[tuple[Scene, ...]] = (
    exactly("TCP, masqueraded", f"site answers, sees {OUTSIDE4}", answered("tcp", SITE4, 80, BEHIND_NAT)),
    exactly("UDP, masqueraded", f"site answers, sees {OUTSIDE4}", answered("udp", SITE4, 53, BEHIND_NAT)),
    exactly("TCP to port 8080, forwarded to the site", f"site answers, sees {PLAIN4}", answered("tcp", OURS4, 8080)),
    exactly("forwarded and masqueraded", f"site answers, sees {OUTSIDE4}", answered("tcp", OURS4, 8080, BEHIND_NAT)),
)
ROUTED: Final[tuple[Scene, ...]] = (
    exactly("path, first hop", f"time exceeded from {OURS4}", probed(SITE4, CLOSED, hops=1)),
    exactly("path, second hop", f"port unreachable from {SITE4}", probed(SITE4, CLOSED, hops=2)),
    exactly("path over IPv6, first hop", f"time exceeded from {OURS6}", probed(SITE6, CLOSED, hops=1)),
    exactly("path over IPv6, second hop", f"port unreachable from {SITE6}", probed(SITE6, CLOSED, hops=2)),
    exactly("an error about a masqueraded flow", f"port unreachable from {SITE4}", probed(SITE4, CLOSED + 1, source=BEHIND_NAT)),
    exactly("1500 bytes into a link of 1400", f"fragmentation needed from {OURS4}, 1400 bytes", probed(SITE4, 53, size=1500)),
    exactly("the same over IPv6", f"packet too big from {OURS6}, 1400 bytes", probed(SITE6, 53, size=1500)),
)
