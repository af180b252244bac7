"""Scripted hosts at the far end of an appliance's wire. They answer ARP and ND; what they say beyond that, the test says.

    Segment (one wire): takes what left the card, judges each frame, gives it to whom it is addressed
      Station: addresses and a MAC; `send` a packet of scapy's, `received` what came since

The one on the wire called `self` plays the appliance's own Linux stack.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from socket import AF_INET6, inet_pton
from typing import TYPE_CHECKING, Any

from scapy.layers.inet import IP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet
from scapy.utils6 import in6_getnsma, in6_getnsmac

from ena_dev.port.meta import FrameMeta
from ena_dev.port.wire import WirePort
from tests.support.judge import judged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Segment:
    """One wire. `mac` is that of the appliance's card."""

    def __init__(self, wire: WirePort, mac: bytes, mtu: int) -> None:
        self.wire, self.mac, self.mtu = wire, mac.hex(":"), mtu
        self.stations: list[Station] = []
        self.frames: list[Packet] = []
        """Everything that left the card, since the last look."""
        self.metas: list[FrameMeta] = []
        self.judging = True
        """Off: what leaves is only counted, in `frames_left`. For networks whose own frames nobody would take either."""
        self.frames_left = 0
        self.shortcut: Callable[[bytes], bool] = lambda frame: False
        """Takes a frame by itself, unjudged, or not: thousands of a kind take their time."""

    def poll(self) -> bool:
        """Take what left the card; whether there was anything."""
        taken = self.wire.take_with_meta()
        self.frames_left += len(taken)
        for frame, meta in taken if self.judging else ():
            if self.shortcut(frame):
                continue
            packet = judged(frame, self.mtu, meta)
            assert packet.src == self.mac, "sent from another's MAC"
            self.frames.append(packet)
            self.metas.append(meta)
            for station in self.stations:
                station.hear(packet)
        return bool(taken)

    def seen(self) -> list[Packet]:
        """All frames since the last call."""
        frames, self.frames, self.metas = self.frames, [], []
        return frames

    def inject(self, *frames: Packet | bytes, meta: FrameMeta | None = None) -> None:
        for frame in frames:
            assert self.wire.inject(bytes(frame), meta=meta), "the wire is full"


class Station:
    """One host. With `silent` it answers nobody."""

    def __init__(self, segment: Segment, *addresses: str, mac: str | None = None, silent: bool = False) -> None:
        self.segment, self.addresses, self.silent = segment, set(addresses), silent
        self.mac = mac or f"02:00:00:00:{len(segment.stations):02x}:{len(segment.mac):02x}"
        self.inbox: list[Packet] = []
        self.questions: list[Packet] = []
        """ARP requests and neighbour solicitations for its addresses."""
        self.react: Callable[[Packet], Packet | None] | None = None
        """What it answers to an IP packet at once, instead of keeping that for the test."""
        segment.stations.append(self)

    def hear(self, frame: Packet) -> None:
        to_me = frame.dst == self.mac
        to_all = int(frame.dst[:2], 16) & 1
        if frame.haslayer(ARP) and frame[ARP].op == 1 and frame[ARP].pdst in self.addresses and (to_me or to_all):
            self._asked(frame, self.arp_reply(frame[ARP].psrc, frame[ARP].pdst, frame.src))
        elif frame.haslayer(ICMPv6ND_NS) and self._has(frame[ICMPv6ND_NS].tgt) and (to_me or to_all):
            assert frame[IPv6].hlim == 255
            self._asked(frame, self.advertisement(frame[IPv6].src, frame[ICMPv6ND_NS].tgt, frame.src))
        elif to_me and frame.payload.__class__ in (IP, IPv6) and not frame.haslayer(ICMPv6ND_NA):
            answer = self.react(frame.payload) if self.react is not None else None
            if answer is None:
                self.inbox.append(frame.payload)
            else:
                self.send(answer)

    def arp_reply(self, to: str, about: str, mac: str) -> Packet:
        return Ether(src=self.mac, dst=mac) / ARP(op=2, hwsrc=self.mac, psrc=about, hwdst=mac, pdst=to)

    def advertisement(self, to: str, about: str, mac: str) -> Packet:
        packet = IPv6(src=about, dst=to, hlim=255) / ICMPv6ND_NA(tgt=about, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=self.mac)
        return Ether(src=self.mac, dst=mac) / packet

    def _has(self, address: str) -> bool:
        return any(ip_address(own) == ip_address(address) for own in self.addresses)

    def _asked(self, frame: Packet, answer: Packet) -> None:
        self.questions.append(frame)
        if not self.silent:
            self.segment.inject(answer)

    def send(self, *packets: Packet | bytes, meta: FrameMeta | None = None) -> None:
        """Packets go to the appliance, or anywhere if they are whole frames."""
        for packet in packets:
            frame = packet if isinstance(packet, Ether | bytes) else Ether(src=self.mac, dst=self.segment.mac) / packet
            self.segment.inject(frame, meta=meta)

    def received(self, layer: Any = None) -> list[Packet]:
        """The IP packets since the last call, without padding; with `layer` all must have it."""
        packets, self.inbox = [unpadded(packet) for packet in self.inbox], []
        assert layer is None or all(packet.haslayer(layer) for packet in packets), packets
        return packets

    def only(self, layer: Any = None) -> Packet:
        """The one packet that came since the last call."""
        packets: Iterable[Packet] = self.received(layer)
        [packet] = packets
        return packet


def who_has(about: str, mac: str, asker: str) -> Packet:
    """The question of a host at `mac` for the owner of an address."""
    if ip_address(about).version == 4:
        return Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=mac, psrc=asker, pdst=about)
    group = in6_getnsma(inet_pton(AF_INET6, about))
    packet = IPv6(src=asker, dst=str(IPv6Address(group)), hlim=255) / ICMPv6ND_NS(tgt=about)
    if asker != "::":
        packet = packet / ICMPv6NDOptSrcLLAddr(lladdr=mac)
    return Ether(src=mac, dst=in6_getnsmac(group)) / packet


def unpadded(packet: Packet) -> Packet:
    """An IP packet at the length that its header tells."""
    return packet.__class__(bytes(packet)[: packet.len if isinstance(packet, IP) else 40 + packet.plen])
