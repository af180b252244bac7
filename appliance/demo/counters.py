"""Scenes of the end: the cards counted everything the TAPs carried, there is no other way through, and the appliance leaves in order."""

from __future__ import annotations

from typing import Any, Final

from appliance.demo.scene import Outcome, Play, Scene
from appliance.demo.single_flows import DENIED
from appliance.demo.stage import Stage

SLACK: Final = 0.01
"""Share of packets that the two counts may differ by: they are read one after the other, and a TAP drops what nobody reads in time."""


def through_the_card(nic: str) -> Play:
    """The kernel's count of what a TAP carried against the card's own count."""

    async def play(stage: Stage) -> Outcome:
        peer = stage.client if nic == "clients" else stage.site
        interfaces = await peer.call("interfaces")
        tap, card = interfaces[f"demo-{nic}"], _nic(await stage.status(), nic)
        others = interfaces.keys() - {"lo", f"demo-{nic}"}
        there, back = card["rx"]["packets"], card["tx"]["packets"]
        agrees = _near(tap["tx"]["packets"], there) and _near(tap["rx"]["packets"], back) and not others
        found = f"TAP {tap['tx']['packets']:,} out, {tap['rx']['packets']:,} in; card {there:,} in, {back:,} out"
        return Outcome(agrees, found + (f"; but also {', '.join(sorted(others))}" if others else ""))

    return play


def _nic(status: dict[str, Any], name: str) -> dict[str, Any]:
    return dict(next(nic for nic in status["nics"] if nic["name"] == name))


def _near(one: int, other: int) -> bool:
    return abs(one - other) <= max(one, other) * SLACK + 5


async def drops(stage: Stage) -> Outcome:
    """Every denied scene left a trace under the reason `policy`, and nothing failed inside."""
    found = (await stage.status())["drops"]
    told = ", ".join(f"{reason} {frames:,}" for reason, frames in sorted(found.items()))
    return Outcome(found.get("policy", 0) >= len(DENIED) and not found.get("internal"), told or "none")


async def resets(stage: Stage) -> Outcome:
    """No card had to be reset."""
    found = {nic["name"]: nic["resets"] for nic in (await stage.status())["nics"]}
    return Outcome(not any(found.values()), ", ".join(f"{name} {count}" for name, count in found.items()))


async def end(stage: Stage) -> Outcome:
    """SIGTERM."""
    status = await stage.stop_appliance()
    return Outcome(status == 0, f"exit status {status}")


COUNTED: Final[tuple[tuple[Scene, ...], ...]] = (
    (
        Scene("packets of the clients' network", "all through its card", through_the_card("clients")),
        Scene("packets of the servers' network", "all through its card", through_the_card("servers")),
        Scene("drops", "the denied ones, by policy", drops),
        Scene("resets of the cards", "none", resets),
    ),
    (Scene("SIGTERM", "exit status 0", end),),
)
