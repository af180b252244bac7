"""What a card that is served shows of itself: plain dictionaries for its control socket. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from ena_dev.abi.admin import Direction
from ena_dev.abi.features import HostInfo, OsType
from ena_dev.device.io_engine import IoEngine
from ena_dev.device.model import Device
from ena_dev.errors import UsageError
from ena_dev.port.cable import CablePort
from ena_dev.port.port import Port
from ena_dev.port.recording import Recording
from ena_dev.port.tap import TapPort


class StrangersCard(Protocol):
    """A card whose driver isn't ours, wherever that runs."""

    @property
    def path(self) -> Path: ...

    @property
    def connected(self) -> bool: ...

    @property
    def clients(self) -> int: ...

    @property
    def device(self) -> Device: ...

    @property
    def engine(self) -> IoEngine: ...


def stats(card: StrangersCard, port: Port, recording: Recording | None = None) -> dict[str, Any]:
    """Everything at a glance.

    socket, mac, connected, clients (so far), state (ready, resetting, failed), link, mtu,
    driver:  {system, distribution, kernel, version, module}, or None before one said who it is
    resets:  {reason: how often}, the last few hundred; last_reset: a reason, or ""
    rx, tx:  {packets, bytes, ..., drops: {reason: frames}}, since the start
    queues:  {rx: [{index, packets, bytes, ..., drops}], tx: [...]}, those that exist
    faults:  {set: {...}, met: {lost, duplicated, delayed, reordered, refused}}
    allowances: {set: {...}, met: {packets that waited or were dropped by allowance, and conntrack_allowance_available}}
    port:    {kind, gone (an interface that was removed), ...}
    recording: {file, frames, lost, failed}, or None
    """
    device, engine = card.device, card.engine
    resets = [reason.name for reason in device.resets]
    return {
        "socket": str(card.path),
        "mac": device.personality.mac.hex(":"),
        "connected": card.connected,
        "clients": card.clients,
        "driver": None if device.host_info is None else _driver(device.host_info),
        "state": device.state.name.lower(),
        "link": device.link_up,
        "mtu": device.mtu,
        "resets": dict(Counter(resets)),
        "last_reset": resets[-1] if resets else "",
        "rx": _counters(engine.counters(Direction.RX)),
        "tx": _counters(engine.counters(Direction.TX)),
        "queues": {way.name.lower(): list(_queues(engine, way, 2 * device.personality.max_queues)) for way in (Direction.RX, Direction.TX)},
        "faults": faults(card),
        "allowances": allowances(card),
        "port": {**_port(port), "gone": engine.port_gone},
        "recording": None if recording is None else _recording(recording),
    }


def faults(card: StrangersCard) -> dict[str, Any]:
    """The faults of packets that are set, and packets that met one."""
    return {"set": asdict(card.device.faults.data), "met": card.engine.fault_counters()}


def allowances(card: StrangersCard) -> dict[str, Any]:
    """The limits that are set, and packets that went beyond one."""
    return {"set": asdict(card.device.allowances), "met": asdict(card.device.allowance_statistics())}


def _driver(info: HostInfo) -> dict[str, Any]:
    with suppress(ValueError):
        system = OsType(info.os_type).name.lower()
        return {"system": system, **_version(info)}
    return {"system": str(info.os_type), **_version(info)}


def _version(info: HostInfo) -> dict[str, Any]:
    """What the guest wrote: any bytes."""
    return {
        "distribution": _text(bytes(info.os_distribution_name)),
        "kernel": _text(bytes(info.kernel_version_name)),
        "version": f"{info.driver_major}.{info.driver_minor}.{info.driver_subminor}",
        "module": _text(bytes([info.driver_module_type])),
    }


def _text(field: bytes) -> str:
    """A C string of somebody's, without what would harm a terminal."""
    text = field.partition(b"\0")[0].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _queues(engine: IoEngine, direction: Direction, limit: int) -> Iterator[dict[str, Any]]:
    for index in range(limit):
        with suppress(UsageError):  # there is none of that index
            yield {"index": index, **_counters(engine.queue_counters(direction, index))}


def _counters(counted: dict[str, int]) -> dict[str, Any]:
    drops = {name.removeprefix("drop_"): value for name, value in counted.items() if name.startswith("drop_")}
    return {**{name: value for name, value in counted.items() if not name.startswith("drop_")}, "drops": drops}


def _port(port: Port) -> dict[str, Any]:
    if isinstance(port, TapPort):
        return {"kind": "tap", "name": port.name, "steered": port.steered, **port.counters()}
    if isinstance(port, CablePort):
        return {"kind": "cable", "carried": port.carried, "lost": port.lost}
    return {"kind": type(port).__name__.removesuffix("Port").lower()}


def _recording(recording: Recording) -> dict[str, Any]:
    tape = recording.port
    return {"file": str(recording.path), "frames": tape.frames, "lost": tape.lost, "failed": recording.failed}
