"""From the first check to the last cleaning. Whatever ends the demo, nothing of it remains: namespaces, processes, files."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Final

from appliance.demo.changing import RELOADED
from appliance.demo.counters import COUNTED
from appliance.demo.scene import Scene, outcome
from appliance.demo.screen import Screen
from appliance.demo.service import BALANCED, BULK, TARGET_DIES, healthy
from appliance.demo.single_flows import ALLOWED, DENIED, ROUTED, TRANSLATED
from appliance.demo.stage import Stage, preflight

Act = tuple[Scene, ...]

ACTS: Final[tuple[Act, ...]] = (
    (*ALLOWED, *DENIED, *TRANSLATED, *ROUTED, Scene("health checks of the targets", "all up", healthy)),
    BALANCED,
    *TARGET_DIES,
    *BULK,
    *RELOADED,
    *COUNTED,
)


def play(log: Path | None = None) -> int:
    """Play the whole demo. Returns its exit status: 0 if all rows agree, 1 if not, 128 + signal if it was interrupted."""
    preflight()
    return asyncio.run(_until_signal(log))


async def _until_signal(log: Path | None) -> int:
    """A signal cancels the demo, which then cleans up; further ones don't disturb that."""
    loop = asyncio.get_running_loop()
    demo = asyncio.create_task(_demo(log))
    received: list[int] = []

    def interrupt(number: int) -> None:
        if not received:
            received.append(number)
            demo.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt, number)
    try:
        return await demo
    except asyncio.CancelledError:
        print("interrupted; everything is cleaned up")
        return 128 + received[0] if received else 1


async def _demo(log: Path | None) -> int:
    begun = time.monotonic()
    scenes = [scene for act in ACTS for scene in act]
    with Screen(scenes) as screen:
        async with Stage(log) as stage:
            screen.say(f"two namespaces, and softena between them, in {time.monotonic() - begun:.1f} s")
            failed = 0
            for act in ACTS:
                failed += sum(await asyncio.gather(*(_played(scene, stage, screen) for scene in act)))
            tail = stage.log_tail() if failed else ""
    if tail:
        screen.say(tail)
    result = f"{failed} of {len(scenes)} rows do not agree" if failed else f"all {len(scenes)} rows agree"
    screen.say(f"{result}, in {time.monotonic() - begun:.0f} s; everything is cleaned up")
    return 1 if failed else 0


async def _played(scene: Scene, stage: Stage, screen: Screen) -> bool:
    """Play and show one scene; True if it does not agree."""
    screen.begins(scene)
    result = await outcome(scene, stage)
    screen.ended(scene, result)
    return not result.agrees
