"""A capture at the far side of a served card: replayed to each guest, from its beginning, once its driver has posted buffers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from appliance.runtime.card_report import StrangersCard
from ena_dev.errors import PortError
from ena_dev.port.pcap import PcapReplay
from ena_dev.port.wire import WirePort

PATIENCE = 0.1  # seconds between looks whether a driver has come, and between those at what it sends
log = structlog.get_logger("card")


async def replay(path: Path, wire: WirePort, card: StrangersCard) -> None:
    """Until cancelled. What the guest sends goes nowhere."""
    served = 0
    while True:
        if card.clients > served and card.device.receiving:
            served = card.clients
            try:
                await _once(path, wire, card)
            except PortError as error:
                log.error("not replayed", error=str(error))
        wire.take()
        await asyncio.sleep(PATIENCE)


async def _once(path: Path, wire: WirePort, card: StrangersCard) -> None:
    """To the end of the capture, or of the guest."""
    now, guest = asyncio.get_running_loop().time, card.clients
    capture = PcapReplay(path, wire)
    try:
        capture.step(now())
        while (due := capture.deadline()) is not None and card.connected and card.clients == guest:
            await asyncio.sleep(min(PATIENCE, max(0.0, due - now())))
            wire.take()
            capture.step(now())
        log.info("replayed", file=str(path), frames=capture.frames, dropped=capture.dropped)
    finally:
        capture.close()
