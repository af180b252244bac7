"""A row of the demo: what is tried, what should happen, and what did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from appliance.demo.remote import PeerError
from appliance.demo.stage import Stage
from ena_dev.errors import SoftenaError


class Outcome(NamedTuple):
    """What a scene came to."""

    agrees: bool
    happened: str


Play = Callable[[Stage], Awaitable[Outcome]]
Tell = Callable[[Stage], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Scene:
    """One row. Scenes of one act run side by side."""

    title: str
    expected: str
    play: Play


def exactly(title: str, expected: str, tell: Tell) -> Scene:
    """A scene that agrees if what `tell` says is what was expected. A peer's failure is told in its own words."""

    async def play(stage: Stage) -> Outcome:
        try:
            happened = await tell(stage)
        except PeerError as error:
            happened = str(error)
        return Outcome(happened == expected, happened)

    return Scene(title, expected, play)


async def outcome(scene: Scene, stage: Stage) -> Outcome:
    """Play a scene. What goes wrong on the way is what happened: the next scenes still tell something."""
    try:
        return await scene.play(stage)
    except SoftenaError as error:
        return Outcome(False, str(error))
    except (KeyError, TypeError, ValueError) as error:  # an answer that was not as it should be
        return Outcome(False, f"{type(error).__name__}: {error}")
