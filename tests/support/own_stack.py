"""The appliance's own TCP stack, as far as a health check needs one: a script at the far end of the wire `self`."""

from __future__ import annotations

import asyncio
from itertools import count

from scapy.layers.inet import TCP
from scapy.packet import Packet

from tests.support.appliance_bench import ApplianceBench
from tests.support.office import back, ip

LOOK = 0.01


class OwnStack:
    """Connects by sending frames into the appliance and waiting for those that come back."""

    def __init__(self, bench: ApplianceBench) -> None:
        self.station = bench.station("self")
        self.station.react = self._hear
        self.attempts: list[tuple[str | None, str, int]] = []
        self._answers: dict[int, Packet] = {}
        self._ports = count(40000)
        bench.world.probing = self.connect

    def _hear(self, packet: Packet) -> Packet | None:
        """The handshake's end, and at once the connection's."""
        if packet.haslayer(TCP):
            self._answers[packet[TCP].dport] = packet
            if packet[TCP].flags == "SA":
                return back(packet, flags="RA", seq=packet[TCP].ack, ack=packet[TCP].seq + 1)
        return None

    async def connect(self, address: str, port: int, source: str | None, patience: float) -> str:
        """What the world's `probe` does."""
        self.attempts.append((source, address, port))
        mine, loop = next(self._ports), asyncio.get_running_loop()
        self.station.send(ip(6 if ":" in address else 4, source or "", address) / TCP(sport=mine, dport=port, flags="S", seq=1))
        end = loop.time() + patience
        while loop.time() < end:
            await asyncio.sleep(LOOK)
            if mine in self._answers:
                return "" if self._answers[mine][TCP].flags == "SA" else "refused"
        return "no answer"
