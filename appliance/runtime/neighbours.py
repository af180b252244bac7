"""ARP and ND of one nic: hears requests and answers, sends what its caches ask for, keeps compiled adjacencies up to date.

    decider --adjacency(address)--> number that flow entries carry
    frame heard --> cache --> Adjacencies.reached(number, mac)
    traffic seen by the compiled path --> cache: still needed, or to be asked for again

Source: RFC 826; RFC 5227; RFC 4861, sections 6 and 7.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from random import Random
from typing import Final

from appliance.neighbour import OURSELVES, Do, Neighbours
from appliance.ranges import Ranges, holds
from appliance.route import LINK_LOCAL, LINK_LOCAL_MASK
from appliance.runtime.adjacencies import QUARANTINE, Adjacencies, Known
from appliance.runtime.link_messages import Solicitation, read_arp, read_nd
from ena_dev.packet import build

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
ANYBODY: Final = IPv6Address(0)
SWEEP: Final = 0.5
"""Seconds between looks at what the compiled path used."""
MOST_AWAITED: Final = 64
"""Next hops that packets of our own may wait for."""
MOST_WAITING: Final = 3
"""Such packets for one next hop: the latest."""


@dataclass(slots=True)
class Hop:
    """A next hop that flows use: the number of its adjacency, when a flow was last given it, and when a frame last went there."""

    number: int
    given: float
    used: float = 0.0


class Neighbourhood:
    """The neighbours of one nic, IPv4 and IPv6. Times are seconds of the loop's clock; `send` puts a frame on the link."""

    def __init__(self, nic: int, mac: bytes, adjacencies: Adjacencies, send: Callable[[bytes], object], random: Random) -> None:
        self.nic, self.mac = nic, mac
        self._adjacencies, self._send = adjacencies, send
        self._caches = {4: Neighbours(random), 6: Neighbours(random)}
        self._hops: dict[tuple[int, int], Hop] = {}
        self._waiting: dict[tuple[int, int], deque[bytes]] = {}
        self.lost = 0
        """Packets of our own that have waited in vain for their next hop."""
        self._own: Sequence[Interface] = ()
        self._answered: frozenset[Address] = frozenset()
        self._ranges: Mapping[int, Ranges] = {4: (), 6: ()}
        self._announced: frozenset[Address] = frozenset()
        self._swept = 0.0

    def configure(self, own: Iterable[Interface], answered: Iterable[Address], ranges: Mapping[int, Ranges] | None = None) -> None:
        """`own`: the nic's addresses, in order; `answered`: those and others that this nic answers for, and announces. `ranges`, by IP
        version: what it answers for if asked; they lie within its networks."""
        self._own = tuple(own)
        self._answered = frozenset(answered)
        self._ranges = ranges or {4: (), 6: ()}

    # -- what flows need -----------------------------------------------------------------------------------------------

    def adjacency(self, version: int, address: int, now: float, asker: int = OURSELVES) -> int | None:
        """The number for a next hop, asked for if it is not known. None: it is known to be silent, or there is no room for more. `asker`:
        the nic that the flow comes from."""
        key = version, address
        mac = self.mac_of(version, address, now, asker)
        if mac is None and not self._caches[version].asking(address):
            return None
        hop = self._hops.get(key)
        if hop is None:
            number = self._adjacencies.take(self.nic, stranger=mac is None)
            if number is None:
                return None
            hop = self._hops[key] = Hop(number, now)
            if mac is not None:
                self._know(version, address, mac)
        hop.given = now
        return hop.number

    def mac_of(self, version: int, address: int, now: float, asker: int = OURSELVES) -> bytes | None:
        """The mac of a next hop if it is known; otherwise it is being asked for."""
        mac = self._caches[version].resolve(address, now, asker)
        if mac is None:
            self._act(version, now)
        else:
            self._know(version, address, mac)
        return mac

    def deliver(self, version: int, address: int, packet: bytes, now: float) -> bool:
        """Send a packet of our own to a next hop. Until that is known the latest few wait. False: nobody will get it.

        Source: RFC 1122, section 2.3.2.2.
        """
        mac, key = self.mac_of(version, address, now), (version, address)
        if mac is not None:
            return bool(self._send(build.ethernet(mac, self.mac, packet)))
        if not self._caches[version].asking(address) or (key not in self._waiting and len(self._waiting) == MOST_AWAITED):
            return False
        waiting = self._waiting.setdefault(key, deque(maxlen=MOST_WAITING))
        self.lost += len(waiting) == MOST_WAITING
        waiting.append(packet)
        return True

    # -- time ----------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Send what is due, forget neighbours that stay silent, and see now and then which ones the compiled path uses."""
        if now - self._swept >= SWEEP:
            self._swept = now
            self._sweep(now)
        for version in self._caches:
            self._act(version, now)

    def _sweep(self, now: float) -> None:
        """Next hops in use are verified or asked for, those of no flow give their number back."""
        for (version, address), hop in list(self._hops.items()):
            used = self._adjacencies.used(hop.number)
            if used > hop.used:
                hop.used = used
                self.mac_of(version, address, now)
            elif now - hop.given > QUARANTINE and self._adjacencies.give(hop.number, self.nic):
                del self._hops[version, address]

    def deadline(self) -> float | None:
        """When to tick; None while nothing is owed."""
        return min((due for cache in self._caches.values() if (due := cache.deadline()) is not None), default=None)

    def announce(self, again: bool = False) -> None:
        """Tell the link which addresses are here, all of them or those it was not told: gratuitous ARP, unsolicited advertisements."""
        for address in sorted(self._answered - (frozenset() if again else self._announced), key=int):
            if isinstance(address, IPv4Address):
                self._send(build.arp_request(self.mac, address, address))
            else:
                self._send(build.neighbor_advertisement(self.mac, address, self.mac, ANYBODY))
        self._announced = self._answered

    def entries(self) -> list[dict[str, str]]:
        """The neighbours, for showing."""
        return [
            {"address": str(_address(version, entry.address)), "mac": entry.mac.hex(":") if entry.mac else "", "state": entry.state.value}
            for version, cache in self._caches.items()
            for entry in cache
        ]

    # -- what the link says --------------------------------------------------------------------------------------------

    def heard_arp(self, frame: bytes, now: float) -> bool:
        """Take an ARP frame: answer requests for our addresses, learn from answers. Who claims an address of ours is not believed. Whether
        it was one that a host may act on."""
        said = read_arp(frame)
        if said is None or self._ours(IPv4Address(said.sender)):
            return False
        cache, sender, target = self._caches[4], IPv4Address(said.sender), IPv4Address(said.target)
        ours = self._ours(target)
        if not (said.request and ours):
            self._learned(4, said.sender, said.mac, cache.learned(said.sender, said.mac, now, solicited=ours))
            return True
        if self._on_link(sender):  # else a probe for a duplicate, or somebody who is lost
            self._learned(4, said.sender, said.mac, cache.asked(said.sender, said.mac, now))
        self._send(build.arp_reply(self.mac, target, said.mac, sender))
        return True

    def heard_nd(self, frame: bytes, now: float) -> bool:
        """Take a neighbour solicitation or advertisement. The rest of ND does not concern us. Whether it was one."""
        said = read_nd(frame)
        if isinstance(said, Solicitation):
            self._solicited(said, now)
        elif said is not None:
            new = self._caches[6].learned(said.target, said.mac, now, solicited=said.solicited, override=said.override)
            self._learned(6, said.target, said.mac, new)
        return said is not None

    def _solicited(self, said: Solicitation, now: float) -> None:
        asked, asker = IPv6Address(said.target), IPv6Address(said.source)
        if not self._ours(asked) or self._ours(asker):
            return
        if said.source == 0:
            self._send(build.neighbor_advertisement(self.mac, asked, self.mac, ANYBODY))
            return
        if not self._on_link(asker):
            return
        if said.mac is not None:
            self._learned(6, said.source, said.mac, self._caches[6].asked(said.source, said.mac, now))
        mac = said.mac or self.mac_of(6, said.source, now)
        if mac is not None:
            self._send(build.neighbor_advertisement(self.mac, asked, mac, asker))

    # -- small things --------------------------------------------------------------------------------------------------

    def _ours(self, address: Address) -> bool:
        return address in self._answered or holds(self._ranges[address.version], int(address))

    def _on_link(self, address: Address) -> bool:
        local = address.version == 6 and int(address) & LINK_LOCAL_MASK == LINK_LOCAL
        return local or any(address in interface.network for interface in self._own)

    def _learned(self, version: int, address: int, mac: bytes | None, new: bool) -> None:
        if new and mac is not None:
            self._know(version, address, mac)

    def _know(self, version: int, address: int, mac: bytes) -> None:
        hop = self._hops.get((version, address))
        if hop is not None:
            self._adjacencies.reached(hop.number, self.nic, mac)
        for packet in self._waiting.pop((version, address), ()):
            self._send(build.ethernet(mac, self.mac, packet))

    def _act(self, version: int, now: float) -> None:
        """Do what a cache asks for."""
        cache = self._caches[version]
        for action in cache.tick(now):
            if action.do is not Do.FAIL:
                self._ask(_address(version, action.address), action.mac)
                continue
            self.lost += len(self._waiting.pop((version, action.address), ()))
            if (hop := self._hops.get((version, action.address))) is not None:
                self._adjacencies.lost(hop.number, self.nic, Known.FAILED if action.address in cache else Known.NOTHING)

    def _ask(self, address: Address, mac: bytes | None) -> None:
        sender = self._sender(address)
        if isinstance(sender, IPv4Address):
            self._send(build.arp_request(self.mac, sender, address, target_mac=mac or build.BROADCAST_MAC))
        elif sender is not None:
            self._send(build.neighbor_solicitation(self.mac, sender, address, target_mac=mac))

    def _sender(self, address: Address) -> Address | None:
        """The own address to ask from: of the same network if there is one."""
        own = [interface for interface in self._own if interface.version == address.version]
        return next((interface.ip for interface in own if address in interface.network), own[0].ip if own else None)


def _address(version: int, value: int) -> Address:
    return IPv4Address(value) if version == 4 else IPv6Address(value)
