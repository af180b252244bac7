"""`softena run`: one process from file to orderly end.

    SIGTERM, SIGINT  drain, put the host back as it was, exit 0      (a second one: at once)
    SIGHUP           reload; a file with mistakes leaves the running policy
"""

from __future__ import annotations

import asyncio
import signal
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
    world = LinuxWorld(user_drop)
    config = load(path)
    for warning in config.warnings:
        log.warning("configuration", warning=str(warning))
    stop = asyncio.Event()
    appliance = Appliance(config, path, world)
    control = ControlServer(Path(config.control.socket), methods(appliance))
    await appliance.start()
    try:
        await control.start()
        _read_everything(appliance)
        if user_drop:
            for remark in world.drop_privileges():
                log.warning("privileges", remark=remark)
        _listen_to_signals(appliance, stop)
        resumed()
        log.info("ready", config=str(path), nics=[card.name for card in appliance.cards], generation=appliance.generation)
        await _until(stop, appliance)
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


async def _until(stop: asyncio.Event, appliance: Appliance) -> None:
    """Run until asked to stop, then drain."""
    running = asyncio.create_task(appliance.run(), name="appliance")
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait((running, asked), return_when=asyncio.FIRST_COMPLETED)
    if not running.done():
        log.info("draining")
        await appliance.drain()
        running.cancel()
    asked.cancel()
    with suppress(asyncio.CancelledError):
        await running


def _listen_to_signals(appliance: Appliance, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def end() -> None:
        if stop.is_set():
            raise SystemExit(1)
        stop.set()

    def again() -> None:
        task = asyncio.create_task(_reload(appliance))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, again)


async def _reload(appliance: Appliance) -> None:
    try:
        await appliance.reload()
    except ConfigError as error:
        for mistake in error.mistakes:
            log.error("not reloaded", mistake=str(mistake))
    except Exception:
        log.exception("not reloaded")
