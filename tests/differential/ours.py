"""Our side: a whole appliance on wires, in virtual time. Its stations answer ARP and neighbour solicitations, and nothing else.

A frame has been handled when the loop has nothing left to do: in virtual time, that is when the clock jumps.
"""

from __future__ import annotations

import asyncio
from typing import Final, Self

from ena_dev.port.wire import WirePort
from tests.differential.network import LINKS, Link
from tests.differential.states import Ends, Tracked, of_ours
from tests.differential.wire import ECHOES, neighbour_answer, unpadded
from tests.support.appliance_bench import ApplianceBench

MOMENT: Final = 6e-3
"""Seconds of virtual time for each frame: enough that no rate of ICMP errors is exceeded."""
LOOKS: Final = 4
"""How often the wires are looked at while a neighbour is asked for."""


class Ours:
    """The appliance with a file, for the time of an `async with` block."""

    def __init__(self, text: str) -> None:
        self.bench = ApplianceBench(text)

    async def __aenter__(self) -> Self:
        await self.bench.__aenter__()
        self._wires: list[tuple[Link, WirePort]] = [(LINKS[name], self.bench.world.wires[name]) for name in LINKS]
        self._self = self.bench.world.wires["self"]
        for segment in self.bench.segments.values():
            segment.judging = False
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.bench.__aexit__(*error)  # type: ignore[arg-type]

    async def pass_through(self, nic: str, frame: bytes) -> list[tuple[str, bytes]]:
        """A frame arrives by a nic: the frames that left for it, and by which nics."""
        assert self.bench.world.wires[nic].inject(frame), "the wire is full"
        left: list[tuple[str, bytes]] = []
        for _ in range(LOOKS):
            await asyncio.sleep(MOMENT)
            if not self._look(left):
                break
        return left

    def tracked(self, protocol: int, ends: Ends) -> Tracked | None:
        """What we know of the flow of packets with these ends; of echoes, requests."""
        source, destination, sport, dport = ends
        version = 4 if len(source) == 4 else 6
        numbers = int.from_bytes(source), int.from_bytes(destination)
        found = self.bench.appliance.worker.lookup(version, protocol, *numbers, sport, dport)
        return of_ours(found[0]) if found and not (protocol in ECHOES and found[1]) else None

    def drops(self) -> dict[str, int]:
        """How many frames were dropped, by reason."""
        return self.bench.drops | {f"punt: {reason}": count for reason, count in self.bench.appliance.decider.punts.drops.items()}

    def reason_since(self, before: dict[str, int]) -> str:
        """Why frames were dropped since then."""
        return ", ".join(reason for reason, count in self.drops().items() if count != before.get(reason, 0))

    def _look(self, left: list[tuple[str, bytes]]) -> bool:
        """Take what left; whether a neighbour was answered, for whom packets may wait."""
        asked = False
        for link, wire in self._wires:
            for frame in map(unpadded, wire.take()):
                answer = neighbour_answer(link, frame)
                if answer:
                    asked = True
                    wire.inject(answer)
                elif answer is not None:
                    continue
                elif not frame[0] & 1:
                    left.append((link.name, frame))
        left.extend(("self", frame) for frame in self._self.take())
        return asked

