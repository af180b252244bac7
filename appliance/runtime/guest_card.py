"""Cards whose drivers are strangers: each with its place, its driver's memory and its far side, all in one process.

    QEMU --vfio-user--> ServedCard --port--> TAP, a capture that is replayed, or a cable to another of these cards
    DPDK --files------> PolledCard   `-----> a recording, if wanted

They share one executor with its data thread, and one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from appliance.runtime.card_control import control_server
from appliance.runtime.replay import replay
from ena_dev.bus.executor import Executor
from ena_dev.device.allowances import Allowances
from ena_dev.device.interfaces import DataFaults
from ena_dev.device.personality import Personality
from ena_dev.errors import UsageError
from ena_dev.polled.served import PolledCard
from ena_dev.port.cable import cable
from ena_dev.port.pcap import PcapReplay
from ena_dev.port.port import Port
from ena_dev.port.recording import Recording
from ena_dev.port.tap import TapPort
from ena_dev.port.wire import WirePort
from ena_dev.vfio_user.served import ServedCard


@dataclass(frozen=True, slots=True)
class GuestCard:
    """What one card is to be: its place, itself, its faults and limits, and its far side: `tap`, `pcap` or `cable`.

    `path` is a socket for QEMU, or, `polled`, a directory for a driver on this machine. `cable` is the path of the card at its other end;
    one of both names the other. `record`: the file of what passes the port.
    """

    path: Path
    personality: Personality
    faults: DataFaults = field(default_factory=DataFaults)
    allowances: Allowances = field(default_factory=Allowances)
    tap: str = ""
    pcap: Path | None = None
    cable: Path | None = None
    record: Path | None = None
    polled: bool = False


def cables(cards: Sequence[GuestCard]) -> list[tuple[int, int]]:
    """Which cards a cable joins, by their places. Raises UsageError unless the cards make sense together: a far side each, and only one."""
    places: dict[Path, int] = {}
    for place, card in enumerate(cards):
        if places.setdefault(card.path.absolute(), place) != place:
            raise UsageError(f"two cards at {card.path}: give each a PATH of its own")
    pairs: list[tuple[int, int]] = []
    for place, card in enumerate(cards):
        if card.cable is None:
            continue
        other = places.get(card.cable.absolute())
        if other is None or other == place:
            what = "is the card itself" if other == place else "is no card of this process"
            raise UsageError(f"--cable {card.cable} {what}; name the PATH of another one")
        if (other, place) not in pairs:
            pairs.append((place, other))
    for place, card in enumerate(cards):
        _check_far_sides(card, sum(place in pair for pair in pairs))
    return pairs


def _check_far_sides(card: GuestCard, joined: int) -> None:
    sides = ["--tap"] * bool(card.tap) + ["--pcap"] * (card.pcap is not None) + ["a cable", "another cable"][:joined]
    if len(sides) != 1:
        found = " and ".join(sides) or "none"
        raise UsageError(f"{card.path}: a card has one far side, not {found}; give it --tap NAME, --pcap FILE or --cable PATH")


async def run(cards: Sequence[GuestCard], ready: Callable[[Path], None]) -> None:
    """Serve `cards` until SIGTERM or SIGINT; `ready` is called for each that can be connected to. Raises SoftenaError."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        await serve(cards, stack)
        for card in cards:
            ready(card.path)
        await stop.wait()


async def serve(cards: Sequence[GuestCard], stack: AsyncExitStack) -> list[ServedCard | PolledCard]:
    """Make the cards and have them listen, until `stack` ends."""
    pairs = cables(cards)
    executor = Executor()
    executor.start()
    stack.callback(executor.stop)
    ports = _ports(cards, pairs, stack)
    served = [await _serve(card, port, executor, stack) for card, port in zip(cards, ports, strict=True)]
    for one, other in pairs:
        served[one].device.follow(served[other].device)
        served[other].device.follow(served[one].device)
    return served


def _ports(cards: Sequence[GuestCard], pairs: Sequence[tuple[int, int]], stack: AsyncExitStack) -> list[Port]:
    ends: dict[int, Port] = {}
    for one, other in pairs:
        ends[one], ends[other] = cable()
    ports: list[Port] = []
    for place, card in enumerate(cards):
        port = ends[place] if place in ends else _own_port(card)
        stack.callback(port.close)
        ports.append(port)
    return ports


def _own_port(card: GuestCard) -> Port:
    """Raises PortError, also for a capture that can't be read: better now than when a guest comes."""
    if card.tap:
        return TapPort(card.tap, card.personality.max_queues)
    wire = WirePort()
    if card.pcap is not None:
        PcapReplay(card.pcap, wire).close()
    return wire


async def _serve(wanted: GuestCard, port: Port, executor: Executor, stack: AsyncExitStack) -> ServedCard | PolledCard:
    """Make one card and have it listen. The recording outlives it, to the last frame."""
    recording = None
    if wanted.record is not None:
        recording = await stack.enter_async_context(Recording(wanted.record, port, wanted.path.name))
    kind = PolledCard if wanted.polled else ServedCard
    card = kind(wanted.path, wanted.personality, recording.port if recording else port, executor)
    card.device.faults.set_data(wanted.faults)
    card.device.set_allowances(wanted.allowances)
    await stack.enter_async_context(card)
    await stack.enter_async_context(control_server(card, port, recording))
    if wanted.pcap is not None and isinstance(port, WirePort):
        stack.push_async_callback(_cancelled, asyncio.create_task(replay(wanted.pcap, port, card), name="replay"))
    return card


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
