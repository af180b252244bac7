"""ARP and ND of one nic: hears requests and answers, sends what its caches ask for, keeps compiled adjacencies up to date.

    decider --adjacency(address)--> index that flow entries carry
    frame heard --> cache --> worker.set_adjacency(index, mac)

Source: RFC 826; RFC 4861, sections 6 and 7.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Final, Protocol

from appliance.neighbour import Do, Neighbours
from ena_dev.packet import build
from ena_dev.packet.checksum import checksum

ARP: Final = 0x0806
ARP_BODY: Final = struct.Struct(">HHBBH6s4s6s4s")
SOLICITATION, ADVERTISEMENT = 135, 136
OPTION_SOURCE, OPTION_TARGET = 1, 2
HOST: Final = 1
"""The adjacency of the appliance's own stack."""
LIMIT: Final = 65536
ICMPV6: Final = 58

Address = IPv4Address | IPv6Address


class Adjacencies(Protocol):
    """What the compiled side offers for neighbours."""

    def set_adjacency(self, index: int, nic: int, mac: bytes | None) -> bool: ...

    def adjacency_used(self, index: int) -> float: ...

    def send(self, nic: int, frame: bytes, queue: int = 0) -> bool: ...


class Indexes:
    """Numbers of adjacencies, for all nics of a worker. HOST is the appliance's own stack.

    A number that never had a mac may serve another address once no flow can carry it any more: `quarantine` seconds later.
    """

    def __init__(self, limit: int = LIMIT, quarantine: float = 120.0) -> None:
        self._limit, self._quarantine = limit, quarantine
        self._next = HOST + 1
        self._resting: list[tuple[float, int]] = []

    def take(self, now: float) -> int | None:
        """A number nobody uses, or None."""
        if self._resting and self._resting[0][0] <= now:
            return self._resting.pop(0)[1]
        if self._next >= self._limit:
            return None
        self._next += 1
        return self._next - 1

    def give(self, index: int, now: float) -> None:
        """The number never had a mac, and its address is forgotten."""
        self._resting.append((now + self._quarantine, index))


class Neighbourhood:
    """The neighbours of one nic, IPv4 and IPv6. Times are seconds of the loop's clock."""

    def __init__(self, nic: int, mac: bytes, worker: Adjacencies, indexes: Indexes, random: Random) -> None:
        self.nic, self.mac = nic, mac
        self._worker, self._indexes = worker, indexes
        self._caches = {4: Neighbours(random), 6: Neighbours(random)}
        self._index_of: dict[tuple[int, int], int] = {}
        self._had_mac: set[int] = set()
        self._seen_used: dict[int, float] = {}
        self._own: tuple[Address, ...] = ()
        self._answered: frozenset[tuple[int, int]] = frozenset()

    def configure(self, own: Iterable[Address], answered: Iterable[Address]) -> None:
        """`own`: the nic's addresses, in order; `answered`: those and others that this nic answers for."""
        self._own = tuple(own)
        self._answered = frozenset((address.version, int(address)) for address in answered)

    # -- what flows need -----------------------------------------------------------------------------------------------

    def adjacency(self, version: int, address: int, now: float) -> int | None:
        """The index for a next hop, asked for if it is not known. None: no more neighbours can be held."""
        index = self._index_of.get((version, address))
        if index is None:
            index = self._indexes.take(now)
            if index is None:
                return None
            self._index_of[version, address] = index
        mac = self._caches[version].resolve(address, now)
        if mac is not None:
            self._set(version, address, mac)
        self.tick(now)
        return index

    def mac_of(self, version: int, address: int, now: float) -> bytes | None:
        """The mac of a next hop if it is known; otherwise it is being asked for."""
        mac = self._caches[version].resolve(address, now)
        self.tick(now)
        return mac

    # -- time ----------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Send what is due, and forget neighbours that stay silent."""
        for version, cache in self._caches.items():
            for action in cache.tick(now):
                if action.do is Do.FAIL:
                    self._fail(version, action.address, now)
                else:
                    self._ask(version, action.address, action.mac)

    def refresh(self, now: float) -> None:
        """Tell the caches which neighbours the compiled path used since the last call."""
        for (version, address), index in self._index_of.items():
            used = self._worker.adjacency_used(index)
            if used > self._seen_used.get(index, 0.0):
                self._seen_used[index] = used
                self._caches[version].used(address, now)
        self.tick(now)

    def deadline(self) -> float | None:
        """When to tick; None while nothing is owed."""
        return min((due for cache in self._caches.values() if (due := cache.deadline()) is not None), default=None)

    def announce(self) -> None:
        """Tell the link that our addresses are here: gratuitous ARP, unsolicited advertisements."""
        for address in self._own:
            if isinstance(address, IPv4Address):
                self._send(build.arp_request(self.mac, address, address))
            else:
                self._send(build.neighbor_advertisement(self.mac, address, self.mac, IPv6Address(0)))

    def entries(self) -> list[dict[str, str]]:
        """The neighbours, for showing."""
        return [
            {"address": _text(version, entry.address), "mac": entry.mac.hex(":") if entry.mac else "", "state": entry.state.value}
            for version, cache in self._caches.items()
            for entry in cache
        ]

    # -- what the link says --------------------------------------------------------------------------------------------

    def heard_arp(self, frame: bytes, now: float) -> None:
        """Take an ARP frame: answer requests for our addresses, learn from answers. Malformed ones are ignored."""
        offset = _after_vlan(frame)
        if len(frame) < offset + ARP_BODY.size:
            return
        hardware, protocol, hlen, plen, operation, mac, sender, _, target = ARP_BODY.unpack_from(frame, offset)
        if (hardware, protocol, hlen, plen) != (1, 0x0800, 6, 4):
            return
        asker, asked = int.from_bytes(sender), int.from_bytes(target)
        if (4, asker) in self._answered:
            return  # somebody claims an address of ours, or it is our own echo
        ours = (4, asked) in self._answered
        cache = self._caches[4]
        if operation == 1 and ours and asker:
            self._learned(4, asker, mac, cache.asked(asker, mac, now))
            self._send(build.arp_reply(self.mac, IPv4Address(asked), mac, IPv4Address(asker)))
        elif operation == 1 and ours:  # a probe for a duplicate: RFC 5227
            self._send(build.arp_reply(self.mac, IPv4Address(asked), mac, IPv4Address(0)))
        else:
            self._learned(4, asker, mac, cache.learned(asker, mac, now, solicited=operation == 2 and ours))

    def heard_nd(self, frame: bytes, now: float) -> None:
        """Take a neighbour solicitation or advertisement, if it comes from this link. The rest of ND does not concern us."""
        offset = _after_vlan(frame)
        packet = frame[offset:]
        if len(packet) < 40 + 24 or packet[6] != ICMPV6 or packet[7] != 255:
            return
        length = int.from_bytes(packet[4:6])
        message = packet[40 : 40 + length]
        if length < 24 or len(message) != length or message[1] or _icmpv6_sum(packet[:40], message):
            return
        source, target = packet[8:24], message[8:24]
        options = _options(message[24:])
        if options is None or target[0] == 0xFF:
            return
        if message[0] == SOLICITATION:
            self._solicited(source, target, options, now)
        elif message[0] == ADVERTISEMENT and OPTION_TARGET in options:
            flags, address = message[4], int.from_bytes(target)
            mac = options[OPTION_TARGET]
            known = self._caches[6].learned(address, mac, now, solicited=bool(flags & 0x40), override=bool(flags & 0x20))
            self._learned(6, address, mac, known)

    def _solicited(self, source: bytes, target: bytes, options: dict[int, bytes], now: float) -> None:
        asked, asker = int.from_bytes(target), int.from_bytes(source)
        if (6, asked) not in self._answered or (6, asker) in self._answered:
            return
        mac = options.get(OPTION_SOURCE)
        if asker == 0:
            self._send(build.neighbor_advertisement(self.mac, IPv6Address(asked), self.mac, IPv6Address(0)))
            return
        if mac is None:
            mac = self._caches[6].resolve(asker, now)
        else:
            self._learned(6, asker, mac, self._caches[6].asked(asker, mac, now))
        if mac is not None:
            self._send(build.neighbor_advertisement(self.mac, IPv6Address(asked), mac, IPv6Address(asker)))
        self.tick(now)

    # -- small things --------------------------------------------------------------------------------------------------

    def _learned(self, version: int, address: int, mac: bytes, new: bool) -> None:
        if new:
            self._set(version, address, mac)

    def _set(self, version: int, address: int, mac: bytes) -> None:
        index = self._index_of.get((version, address))
        if index is not None:
            self._had_mac.add(index)
            self._worker.set_adjacency(index, self.nic, mac)

    def _fail(self, version: int, address: int, now: float) -> None:
        index = self._index_of.get((version, address))
        if index is None:
            return
        self._worker.set_adjacency(index, self.nic, None)
        if index not in self._had_mac:
            del self._index_of[version, address]
            self._seen_used.pop(index, None)
            self._indexes.give(index, now)

    def _ask(self, version: int, address: int, mac: bytes | None) -> None:
        sender = self._sender(version, address)
        if sender is None:
            return
        if version == 4:
            self._send(build.arp_request(self.mac, sender, IPv4Address(address), target_mac=mac or build.BROADCAST_MAC))
        else:
            self._send(build.neighbor_solicitation(self.mac, sender, IPv6Address(address), target_mac=mac))

    def _sender(self, version: int, address: int) -> Address | None:
        own = [a for a in self._own if a.version == version]
        return own[0] if own else None

    def _send(self, frame: bytes) -> None:
        self._worker.send(self.nic, frame)


def _after_vlan(frame: bytes) -> int:
    return 18 if frame[12:14] in (b"\x81\x00", b"\x88\xa8") else 14


def _icmpv6_sum(header: bytes, message: bytes) -> int:
    """0 for a good checksum."""
    return checksum(header[8:40] + len(message).to_bytes(4) + ICMPV6.to_bytes(4) + message)


def _options(data: bytes) -> dict[int, bytes] | None:
    """The link-layer options by type; None if they are malformed: RFC 4861, section 6.1: a length of 0 spoils the message."""
    found = {}
    while data:
        if len(data) < 8 or data[1] == 0 or len(data) < data[1] * 8:
            return None
        if data[0] in (OPTION_SOURCE, OPTION_TARGET) and data[1] == 1:
            found[data[0]] = data[2:8]
        data = data[data[1] * 8 :]
    return found


def _text(version: int, address: int) -> str:
    return str(IPv4Address(address) if version == 4 else IPv6Address(address))
