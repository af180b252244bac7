"""Scenes of the balanced service: the spread over its targets, one target's death and return, and long transfers."""

from __future__ import annotations

from typing import Any, Final

from appliance.demo.scene import Outcome, Play, Scene
from appliance.demo.single_flows import SITE4, SITE6
from appliance.demo.stage import TARGETS, Stage

VIP4, VIP6 = "10.1.0.100", "2001:db8:1::100"
ASKED: Final = 90
FAIR: Final = 12
"""The least that each of three targets gets of 90, except once in a hundred thousand runs."""
HELD: Final = 60
"""So many that each of three targets holds one, except once in ten billion runs."""
VICTIM: Final = "w2"
SECONDS: Final = 3.0


def counted(answers: dict[str, Any]) -> str:
    """Answers by who gave them, in order."""
    return ", ".join(f"{name} {answers[name]}" for name in sorted(answers)) or "nobody"


def spread(protocol: str, address: str, port: int) -> Play:
    """Many new flows: all answered, and every target has its part."""

    async def play(stage: Stage) -> Outcome:
        answers = await stage.client.call("spread", protocol=protocol, address=address, port=port, count=ASKED)
        fair = answers.keys() == TARGETS.keys() and min(answers.values()) >= FAIR
        return Outcome(fair and sum(answers.values()) == ASKED, counted(answers))

    return play


async def healthy(stage: Stage) -> Outcome:
    """The health checks find every target."""
    up = await stage.wait_for_targets(dict.fromkeys(TARGETS, "up"))
    return Outcome(up, "all up" if up else "not all of them up")


async def hold(stage: Stage) -> Outcome:
    """Connections that stay open from here on."""
    answers = await stage.client.call("hold", address=VIP4, port=80, count=HELD)
    return Outcome(answers.keys() == TARGETS.keys(), counted(answers))


async def die(stage: Stage) -> Outcome:
    """A target's process is killed: once that is seen, the others answer for it."""
    await stage.targets[VICTIM].kill()
    noticed = await stage.wait_for_targets({VICTIM: "down"})
    answers = await stage.client.call("spread", protocol="tcp", address=VIP4, port=80, count=ASKED // 2)
    others = noticed and answers.keys() == TARGETS.keys() - {VICTIM} and sum(answers.values()) == ASKED // 2
    return Outcome(others, counted(answers) if noticed else "its death was not noticed")


async def others_stay(stage: Stage) -> Outcome:
    """The held connections of the living targets still echo."""
    held = await stage.client.call("held")
    alive, lost = held["alive"], held["lost"]
    agrees = alive.keys() == TARGETS.keys() - {VICTIM} and not lost.keys() - {VICTIM}
    return Outcome(agrees, f"alive: {counted(alive)}; lost: {counted(lost)}")


async def come_back(stage: Stage) -> Outcome:
    """The target starts again: new flows find it."""
    await stage.start_target(VICTIM)
    noticed = await stage.wait_for_targets({VICTIM: "up"})
    answers = await stage.client.call("spread", protocol="tcp", address=VIP4, port=80, count=ASKED)
    fair = answers.keys() == TARGETS.keys() and answers.get(VICTIM, 0) >= FAIR
    return Outcome(noticed and fair, counted(answers) if noticed else "its return was not noticed")


def transfer(order: str, address: str) -> Play:
    """A bulk transfer with its rate; the content is compared by checksum."""

    async def play(stage: Stage) -> Outcome:
        result = await stage.client.call(order, address=address, port=5201, seconds=SECONDS)
        return Outcome(result["intact"] and result["bytes"] > 0, told(result))

    return play


def told(result: dict[str, Any]) -> str:
    """A transfer in words."""
    rate = result["bytes"] * 8 / result["seconds"] / 1e9
    return f"{result['bytes'] / 1e6:,.0f} MB {'intact' if result['intact'] else 'BROKEN'}, {rate:.2f} Gbit/s"


BALANCED: Final[tuple[Scene, ...]] = (
    Scene("TCP, balanced", f"{ASKED} answers, every target has its share", spread("tcp", VIP4, 80)),
    Scene("TCP over IPv6, balanced", f"{ASKED} answers, every target has its share", spread("tcp", VIP6, 80)),
    Scene("UDP, balanced", f"{ASKED} answers, every target has its share", spread("udp", VIP4, 53)),
)
TARGET_DIES: Final[tuple[tuple[Scene, ...], ...]] = (
    (Scene("open connections to the service", "held by every target", hold),),
    (Scene(f"target {VICTIM} is killed", "new connections go to the others", die),),
    (Scene("connections to the others", "all stay", others_stay),),
    (Scene(f"target {VICTIM} starts again", "it gets new connections again", come_back),),
    (Scene("connections to the others", "all stay", others_stay),),
)
BULK: Final[tuple[tuple[Scene, ...], ...]] = (
    (Scene(f"bulk transfer to the site, {SECONDS:g} s", "content intact", transfer("upload", SITE4)),),
    (Scene(f"bulk transfer from the site over IPv6, {SECONDS:g} s", "content intact", transfer("download", SITE6)),),
)
