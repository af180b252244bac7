"""`softena run`: one process from file to orderly end.

    SIGTERM, SIGINT  drain, put the host back as it was, exit 0      (a second one: at once)
    SIGHUP           reload; a file with mistakes leaves the running policy

What comes while it starts is done once it has.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from pathlib import Path

import structlog

from appliance.collector import resumed
from appliance.config.errors import ConfigError
from appliance.config.loader import load
from appliance.control.interface import methods
from appliance.control.server import ControlServer
from appliance.runtime.appliance import Appliance
from appliance.runtime.world import LinuxWorld

log = structlog.get_logger("softena")


async def serve(path: Path, user_drop: bool = True) -> int:
    """Run the file's appliance until a signal ends it; the exit status. Raises SoftenaError when it can't start."""
    stop, again = asyncio.Event(), asyncio.Event()
    _listen_to_signals(stop, again)
    world = LinuxWorld(user_drop)
    config = load(path, time.time())
    for warning in config.warnings:
        log.warning("configuration", warning=str(warning))
    appliance = Appliance(config, path, world)
    control = ControlServer(Path(config.control.socket), methods(appliance))
    await appliance.start()
    try:
        await control.start()
        _read_everything(appliance)
        if user_drop:
            for remark in world.drop_privileges():
                log.warning("privileges", remark=remark)
        resumed()
        log.info("ready", config=str(path), nics=[card.name for card in appliance.cards], generation=appliance.generation)
        await _until(stop, again, appliance)
    finally:
        await control.stop()
        await appliance.stop()
    log.info("stopped")
    return 0


def _read_everything(appliance: Appliance) -> None:
    """Have all that reading takes imported while it can be: once nobody, the process may not reach its interpreter's files."""
    appliance.status()
    appliance.flows(1, 0)
    for kind in "igklxSc":
        appliance.ethtool(appliance.cards[0].name, kind)


async def _until(stop: asyncio.Event, again: asyncio.Event, appliance: Appliance) -> None:
    """Run, and reload whenever asked to, until asked to stop; then drain."""
    running = asyncio.create_task(appliance.run(), name="appliance")
    reloading = asyncio.create_task(_reload(again, appliance), name="reload")
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait((running, asked), return_when=asyncio.FIRST_COMPLETED)
    if not running.done():
        log.info("draining")
        await appliance.drain()
        running.cancel()
    for task in (asked, reloading):
        task.cancel()
    with suppress(asyncio.CancelledError):
        await running


def _listen_to_signals(stop: asyncio.Event, again: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        if stop.is_set():
            log.warning("ended at once, by a second signal: what was in flight is lost")
            raise SystemExit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, again.set)


async def _reload(again: asyncio.Event, appliance: Appliance) -> None:
    """Reload whenever asked to, one after the other: the last of them reads the file as it was when it was asked for, or later."""
    while True:
        await again.wait()
        again.clear()
        try:
            await appliance.reload()
        except ConfigError as error:
            for mistake in error.mistakes:
                log.error("not reloaded", mistake=str(mistake))
        except Exception:
            log.exception("not reloaded")
