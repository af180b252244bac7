"""RST to both ends of a TCP connection whose flow ends by our will or was idle for too long, so that neither waits for the other.

A RST counts if it has exactly the number that its receiver waits for (RFC 9293, section 3.10.7.4; RFC 5961, section 3.2). Between the
two ends that is either behind the last that was sent, or, when some of it was lost on the way, what was acknowledged last: both are sent
if they differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from appliance.flow.program import Worker
from appliance.flow.records import FlowView, Tuple5
from appliance.policy.facts import TCP
from appliance.runtime.commands import until_told
from appliance.runtime.translate import address_of
from ena_dev.packet import build

if TYPE_CHECKING:
    from appliance.runtime.decider import Decider

RST, ACK = 0x04, 0x10
FINISHED: Final = ("time-wait", "closed")


def resets(flow: FlowView) -> Iterator[tuple[int, Tuple5, bytes]]:
    """(nic, tuple, packet) of each RST: to the originator as from the service, then to the target as from the client."""
    if flow.protocol != TCP or flow.nic_out < 0 or flow.state in FINISHED or flow.said == (0, 0):  # nobody has followed its numbers
        return
    for nic, arriving, receiver in ((flow.nic_in, flow.original, 0), (flow.nic_out, flow.reply, 1)):
        destination, source, dport, sport = arriving
        ends = address_of(flow.version, source), address_of(flow.version, destination)
        numbers = {flow.said[1 - receiver], flow.heard[receiver] or flow.said[1 - receiver]}
        if receiver == 0:
            numbers = {(number + flow.shift) % 2**32 for number in numbers}
        for number in sorted(numbers):
            packet = build.tcp(*ends, sport, dport, sequence=number, acknowledgment=flow.said[receiver], flags=RST | ACK, window=0)
            yield nic, (source, destination, sport, dport), packet


class Resetter:
    """Sends them by way of a decider's neighbours. `host`: the nic of the appliance's own stack, `mac` its address."""

    def __init__(self, worker: Worker, decider: Decider, host: int, mac: bytes) -> None:
        self._worker, self._decider, self._host, self._mac = worker, decider, host, mac

    async def tell(self, flow: FlowView, now: float) -> None:
        """Reset both ends. One whose neighbour isn't known any more is told when that answers."""
        for nic, (_, destination, *_ports), packet in resets(flow):
            if nic == self._host:
                await self._send(nic, self._mac, self._mac, packet)
                continue
            there, hop = self._decider.neighbourhoods[nic], self._decider.ruleset.routes.hop_on(nic, flow.version, destination)
            mac = there.mac_of(flow.version, hop, now)
            if mac is None:
                there.deliver(flow.version, hop, packet, now)
            else:
                await self._send(nic, mac, there.mac, packet)

    async def _send(self, nic: int, mac: bytes, source: bytes, packet: bytes) -> None:
        await until_told(partial(self._worker.send, nic, build.ethernet(mac, source, packet)))
