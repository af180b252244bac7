"""Cards whose drivers run in virtual machines: each with its socket, its guest's memory and its far side, all in one process.

    QEMU --vfio-user--> ServedCard --port--> TAP, or a capture that is replayed

They share one executor with its data thread, and one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from appliance.runtime.card_control import control_server
from ena_dev.bus.executor import Executor
from ena_dev.device.interfaces import DataFaults
from ena_dev.device.personality import Personality
from ena_dev.port.pcap import PcapReplay
from ena_dev.port.port import Port
from ena_dev.port.tap import TapPort
from ena_dev.port.wire import WirePort
from ena_dev.vfio_user.served import ServedCard

PATIENCE = 0.1  # seconds between looks whether a driver has come, before a replay
log = structlog.get_logger("card")


@dataclass(frozen=True, slots=True)
class GuestCard:
    """What one card is to be: its socket, itself, its faults, and its far side: `tap` or `pcap`."""

    socket: Path
    personality: Personality
    faults: DataFaults
    tap: str = ""
    pcap: Path | None = None


async def run(cards: Sequence[GuestCard], ready: Callable[[Path], None]) -> None:
    """Serve `cards` until SIGTERM or SIGINT; `ready` is called for each that can be connected to. Raises SoftenaError."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    executor = Executor()
    executor.start()
    async with AsyncExitStack() as stack:
        stack.callback(executor.stop)
        for card in cards:
            await _serve(card, executor, stack)
        for card in cards:
            ready(card.socket)
        await stop.wait()


async def _serve(wanted: GuestCard, executor: Executor, stack: AsyncExitStack) -> None:
    """Make one card and have it listen, until `stack` ends."""
    port: Port = TapPort(wanted.tap, wanted.personality.max_queues) if wanted.tap else WirePort()
    stack.callback(port.close)
    card = ServedCard(wanted.socket, wanted.personality, port, executor)
    card.device.faults.set_data(wanted.faults)
    await stack.enter_async_context(card)
    await stack.enter_async_context(control_server(card, port))
    if wanted.pcap is not None and isinstance(port, WirePort):
        replay = asyncio.create_task(_replay(wanted.pcap, port, card), name="replay")
        stack.push_async_callback(_cancelled, replay)


async def _replay(path: Path, wire: WirePort, card: ServedCard) -> None:
    """Replay a capture to each client, once its driver has posted buffers."""
    served = 0
    while True:
        wire.take()
        if card.server.clients > served and card.device.receiving:
            served = card.server.clients
            replay = PcapReplay(path, wire)
            await replay.run()
            log.info("replayed", file=str(path), frames=replay.frames, dropped=replay.dropped)
            replay.close()
        await asyncio.sleep(PATIENCE)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
