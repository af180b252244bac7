"""What an appliance is plugged together from: ports, cards, guests behind them, and the memory, buffers and executor that all cards share.

    open: a port a nic, and one of the host -> plug: a card at each port -> start: the executor steps cards
    drain: no more receiving, sends in flight leave -> stop: guests gone, cards down, executor ended -> close: ports
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, Final

import structlog

from appliance.config.models import Config, Nic
from appliance.runtime.cards import HOST_MAC, Card, host_card, nic_card
from appliance.runtime.guest import Guest, guest_of
from appliance.runtime.world import World
from ena_dev.bus.executor import Executor
from ena_dev.bus.memory import Memory
from ena_dev.driver.pool import BufferPool
from ena_dev.driver.queue import QueuePair
from ena_dev.port.port import Port

log = structlog.get_logger("appliance")

BUFFERS_A_PAIR: Final = 1024 + 512
BUFFERS_SHARED: Final = 4096
DRAIN: Final = 2.0
"""Seconds that sends in flight get at the end."""
DRAIN_LOOK: Final = 0.005


class Hardware:
    """The cards of one configuration, and what is around them. `host`: the index of the card in front of the appliance's own stack."""

    def __init__(self, config: Config) -> None:
        pairs = sum(nic.queues for nic in config.nics.values()) + 1
        self.memory = Memory((pairs * BUFFERS_A_PAIR + BUFFERS_SHARED) * 4096 + (pairs + 8) * (1 << 20))
        self.executor = Executor()
        self.pool = BufferPool(self.memory, pairs * BUFFERS_A_PAIR + BUFFERS_SHARED)
        self.host = len(config.nics)
        self._ports: list[Port] = []
        self.cards: list[Card] = []
        self.guests: dict[str, Guest] = {}
        """Virtual machines by the nics that they are behind."""

    def open(self, config: Config, world: World) -> None:
        """Open the far side of each nic, and that of the host. Raises SoftenaError."""
        for nic in config.nics.values():
            self._ports.append(self._far_side(nic, world))
        self._ports.append(world.host_port(config, HOST_MAC))

    def _far_side(self, nic: Nic, world: World) -> Port:
        guest = guest_of(nic, self.executor)
        if guest is None:
            return world.nic_port(nic)
        self.guests[nic.name] = guest
        return guest.near

    def plug(self, config: Config) -> None:
        """Make the cards, each at its port, with the addresses and sizes of `config`."""
        shared = self.memory, self.executor, self.pool
        for index, nic in enumerate(config.nics.values()):
            self.cards.append(nic_card(index, nic, self._ports[index], *shared))
            if nic.name in self.guests:
                self.guests[nic.name].plug(self.cards[index])
        self.cards.append(host_card(self.host, config, self._ports[self.host], *shared))

    def start(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Have the executor step cards: in a data thread of its own, or in `loop`, on its clock."""
        if loop is None:
            self.executor.start()
        else:
            self.executor.attach(loop)

    def pairs(self) -> Iterator[QueuePair]:
        """The queue pairs of all cards that are up."""
        for card in self.cards:
            yield from card.adapter.pairs

    async def drain(self) -> None:
        """Receive no more, and let what is in flight leave."""
        pairs = list(self.pairs())
        for pair in pairs:
            pair.quiesce()
        for _ in range(round(DRAIN / DRAIN_LOOK)):
            if not any(pair.sends_in_flight for pair in pairs):
                return
            await asyncio.sleep(DRAIN_LOOK)

    async def stop(self) -> None:
        """Guests dropped, cards down, nothing steps any more; what fails on the way is logged, and the rest still done. Idempotent."""
        for guest in self.guests.values():
            await undo(guest.stop(), f"stop the guest of {guest.name}")
        for card in self.cards:
            await undo(card.stop(), f"stop {card.name}")
        self.executor.stop()
        self.executor.detach()

    def close(self) -> None:
        """Close the ports, once nothing uses them. Idempotent."""
        for port in self._ports:
            port.close()
        self._ports.clear()
        self.cards.clear()
        self.guests.clear()


async def undo(step: Coroutine[Any, Any, None], what: str) -> None:
    """One step of an end, whose failure keeps no other step from being done."""
    try:
        await step
    except Exception:
        log.exception("could not " + what)
