"""Cards for guests in the test's own process: faults, links and counters are a call away while a guest runs.

    with Cards() as cards:
        card = cards.serve(tmp_path / "card.sock", far.call(TapPort, "far", 4), PERSONALITY)
        boot(kernel, "script.sh", [card.socket], host={"flap": lambda words: cards.call(card.device.faults.link_flap, 0.5)})

They live in a thread with an event loop of its own, since the test listens to the guest.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from ena_dev.bus.executor import Executor
from ena_dev.device.model import Device
from ena_dev.device.personality import STRANGERS_FEATURES, Personality
from ena_dev.port.port import Port
from ena_dev.vfio_user.served import ServedCard

P = ParamSpec("P")
R = TypeVar("R")

PATIENCE = 30.0  # seconds for what a call may take


def personality(last: int = 1, **values: Any) -> Personality:
    """A card for strangers' drivers; `last` is the last byte of its address."""
    usual: dict[str, Any] = {"mac": bytes([2, 0x5E, 0, 0, 0, last]), "max_queues": 4, "features": STRANGERS_FEATURES}
    return Personality(**usual | values)


class CardInLab:
    """One card that is served. Ask its device for anything by `Cards.call` only."""

    def __init__(self, socket: Path, port: Port, served: ServedCard) -> None:
        self.socket, self.port, self.served = socket, port, served
        self.function_resets = 0  # by the bus: FLR, bus mastering taken away, the machine's own reset
        self._reset = served.device.function_reset
        served.device.function_reset = self._count_reset  # type: ignore[method-assign]

    @property
    def device(self) -> Device:
        return self.served.device

    def _count_reset(self) -> None:
        self.function_resets += 1
        self._reset()


class Cards:
    """Cards, served from `serve` to the end of the `with` block, with one data thread for all."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cards", daemon=True)
        self._thread.start()
        self._cards: list[CardInLab] = []
        self._executor = Executor()
        self.call(self._executor.start)
        return self

    def serve(self, socket: Path, port: Port, wanted: Personality) -> CardInLab:
        """Serve a card at `socket`. The port is closed at the end."""

        async def start() -> ServedCard:
            served = ServedCard(socket, wanted, port, self._executor)
            await served.start()
            return served

        card = CardInLab(socket, port, asyncio.run_coroutine_threadsafe(start(), self._loop).result(PATIENCE))
        self._cards.append(card)
        return card

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function where the cards live, and wait for its result."""

        async def there() -> R:
            return function(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(PATIENCE)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for card in self._cards:
            asyncio.run_coroutine_threadsafe(card.served.stop(), self._loop).result(PATIENCE)
            card.port.close()
        self.call(self._executor.stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
