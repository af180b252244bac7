"""A worker by hand: cards whose network side is two lists, a clock that only moves when told, and one call for each decision.

The card here is a script over the rings in bus memory: it walks the Tx descriptors by their phase, gathers what they point at, and
completes them. Frames come in through `FlowProgram.inject`. Addresses are texts; scapy makes and reads the packets.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from appliance.flow.program import FlowProgram, Worker
from appliance.flow.records import FlowView, Miss, Profile, Punt, Refused, Tuple5
from ena_dev.bus.executor import Executor
from ena_dev.bus.interrupts import MsixVector
from ena_dev.bus.memory import Memory
from ena_dev.bus.mmio import RegisterBar
from ena_dev.driver.pool import BufferPool
from ena_dev.driver.queue import QueuePair

TIMEOUTS = {
    "tcp-established": 7440.0, "tcp-opening": 30.0, "tcp-closing": 60.0, "udp": 30.0, "udp-replied": 120.0, "dns": 20.0, "icmp": 30.0,
}  # fmt: skip
PARTIAL, L4_GOOD, L4_BAD, L3_BAD = 1, 2, 4, 8  # flags of a received frame
DEPTH = 64


@dataclass
class Sent:
    """One frame as the card found it in its Tx ring."""

    data: bytes
    tso: bool
    partial: bool
    mss: int

    @property
    def packet(self) -> Packet:
        return Ether(self.data)


class Card:
    """One queue pair of nic `index`, and the device behind it."""

    def __init__(self, bench: Bench, nic: int, queue: int = 0) -> None:
        self.memory, self.depth, self.slot, self.completed, self.mss = bench.memory, DEPTH, 0, 0, 0
        self.pair = QueuePair(bench.executor, bench.memory, bench.pool, RegisterBar(), MsixVector(bench.executor, 1), queue, nic, 16, DEPTH)
        self.pair.start(0x1000, 0x1004, 0x1008)
        self.program: FlowProgram

    def descriptor(self) -> tuple[int, int, int, int] | None:
        words = struct.unpack("<4I", self.memory.read(self.pair.rings.tx_sq + self.slot % self.depth * 16, 16))
        if words[0] >> 24 & 1 != (1 if self.slot // self.depth % 2 == 0 else 0):
            return None
        self.slot += 1
        return words

    def sent(self, complete: bool = True) -> list[Sent]:
        """All that has been queued since the last call."""
        frames = []
        while (words := self.descriptor()) is not None:
            if words[0] & 1 << 23:  # meta descriptor
                self.mss = (words[0] >> 16 & 15) << 10 | words[2] >> 22 & 0x3FF
                words = self.descriptor()
                assert words is not None
            first, data = words, b""
            while True:
                data += self.memory.read(words[2] | (words[3] & 0xFFFF) << 32, words[0] & 0xFFFF)
                if words[0] & 1 << 27:
                    break
                words = self.descriptor()
                assert words is not None
            tso = bool(first[1] & 1 << 7)
            frames.append(Sent(data, tso, bool(first[1] & 1 << 17), self.mss if tso else 0))
            if complete:
                self.complete((first[0] >> 16 & 0x3F) << 10 | first[1] >> 22)
        return frames

    def complete(self, req_id: int) -> None:
        phase = 1 if self.completed // self.depth % 2 == 0 else 0
        self.memory.write(self.pair.rings.tx_cq + self.completed % self.depth * 8, struct.pack("<HBBHH", req_id, 0, phase, 0, 0))
        self.completed += 1


class Bench:
    """Nics 0 (lan), 1 (wan) and 2 (the appliance itself), one queue each, neighbours 1 (lan), 2 (wan) and 3 (self) known.

    With more `mtus` there are more nics, the last of which is the appliance itself.
    """

    MACS = tuple(bytes([2, 0, 0, 0, 0, 0xA0 + nic]) for nic in range(4))
    HOSTS = tuple(bytes([2, 0, 0, 0, 0, 0x10 + nic]) for nic in range(4))

    def __init__(self, flows: int = 1024, buffers: int = 1024, mtus: tuple[int, ...] = (1500, 1500, 1500), queues: int = 1) -> None:
        self.memory = Memory((4 << 20) + buffers * 4096)
        self.executor = Executor()
        self.pool = BufferPool(self.memory, buffers)
        self.worker = Worker(self.executor, self.pool, flows, bytes(range(16)), TIMEOUTS)
        self.cards: list[list[Card]] = []
        self.now = 1000.0
        for nic in range(len(mtus)):
            cards = [Card(self, nic, queue) for queue in range(queues)]
            self.worker.add_nic(nic, self.MACS[nic], mtus[nic], [card.pair for card in cards], nic == len(mtus) - 1)
            for card in cards:
                card.program = self.worker.program(card.pair)
            self.cards.append(cards)
            self.worker.set_adjacency(nic + 1, nic, self.HOSTS[nic])
        self.refused: list[Refused] = []
        self.round()

    def close(self) -> None:
        """No flow outlives all its timeouts, and no buffer was lost."""
        self.round(8000)
        self.round(8000)
        self.check_conservation()
        assert self.states() == {}
        self.worker.close()
        for cards in self.cards:
            for card in cards:
                card.pair.stop()
        assert self.pool.census()["pool"] == self.pool.count == self.pool.free
        assert self.pool.mistakes == 0

    def round(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.executor.run_until_idle(self.now)

    def receive(self, nic: int, *packets: Packet | bytes, flags: int = 0, segment: int = 0, queue: int = 0) -> None:
        """Frames come in, addressed to the appliance's card unless they have an Ethernet header."""
        frames = [(self.frame(nic, packet), flags, segment) for packet in packets]
        assert self.cards[nic][queue].program.inject(frames, self.now) == len(frames)

    def frame(self, nic: int, packet: Packet | bytes) -> bytes:
        if isinstance(packet, bytes):
            return packet
        if isinstance(packet, IP | IPv6):
            packet = Ether(src=self.HOSTS[nic], dst=self.MACS[nic]) / packet
        return bytes(packet)

    def misses(self, nic: int = 0, queue: int = 0) -> list[Miss]:
        work = self.cards[nic][queue].program.take()
        self.refused += work.refused
        return work.misses

    def punts(self, nic: int = 0, queue: int = 0) -> list[Punt]:
        return self.cards[nic][queue].program.take().punts

    def ended(self, nic: int = 0, queue: int = 0) -> list[FlowView]:
        return list(self.cards[nic][queue].program.take().ended)

    def sent(self, nic: int, queue: int = 0) -> list[Sent]:
        return self.cards[nic][queue].sent()

    def allow(self, miss: Miss, reply: Tuple5 | None = None, egress: int | None = None, rule: int = 1, **more: Any) -> None:
        """Install, untranslated unless `reply` says otherwise, from lan to wan or back."""
        egress = (1 - miss.nic) if egress is None else egress
        reply = reply or (miss.destination, miss.source, miss.dport, miss.sport)
        assert self.worker.install(miss.flow, miss.version, miss.protocol, reply, egress, egress + 1, miss.nic + 1, rule, 1, **more)
        self.round()

    def open(self, nic: int, packet: Packet, reply: Tuple5 | None = None, egress: int | None = None, **more: Any) -> Miss:
        """Receive the first packet of a flow and install it."""
        self.receive(nic, packet)
        [miss] = self.misses(nic)
        self.allow(miss, reply, egress, **more)
        return miss

    def drops(self) -> dict[str, int]:
        return {name[5:]: n for name, n in self.worker.counters().items() if name.startswith("drop:") and n}

    def check_conservation(self) -> None:
        """Every frame that came was sent, punted, dropped for one reason, or waits; every flow that began has ended once, or is there."""
        count, usage = self.worker.counters(), self.worker.usage()
        assert count["misses"] == count["ended"] + usage["used"] + usage["pending"] + usage["denied"]
        assert count["received"] + count["made"] == count["sent"] + count["punted"] + count["parked"] + sum(self.drops().values())

    def states(self) -> Counter[str]:
        flows, cursor = self.worker.read(0, 100000)
        assert cursor == 0
        return Counter(flow.state for flow in flows)


def profile(reset: bool = False, inbound: bool = False, **timeouts: float) -> Profile:
    """How flows are kept, like `TIMEOUTS` but for some."""
    return Profile(tuple((TIMEOUTS | {name.replace("_", "-"): seconds for name, seconds in timeouts.items()}).items()), reset, inbound)


def tuple5(source: str, destination: str, sport: int, dport: int) -> Tuple5:
    return int(ip_address(source)), int(ip_address(destination)), sport, dport


def pseudo_sum(source: str, destination: str, length: int) -> int:
    """What a sender leaves in a TCP checksum field that the card is to finish."""
    words = ip_address(source).packed + ip_address(destination).packed
    total = sum(int.from_bytes(words[i : i + 2], "big") for i in range(0, len(words), 2)) + 6 + length
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
