"""Scenes of change: reloads while traffic flows. They run one after the other; the last puts the first file back."""

from __future__ import annotations

import asyncio
from typing import Final

from appliance.control.messages import ControlError
from appliance.demo.scene import Outcome, Scene
from appliance.demo.service import told
from appliance.demo.single_flows import SITE4, answered
from appliance.demo.stage import Stage

TELNET: Final = "deny: tcp/23"
NOT_5001: Final = "- not this:    {from: [clients], to: [servers], deny: tcp/5001}\n  - telnet:"


async def open_telnet(stage: Stage) -> Outcome:
    """A denied port is opened, while a transfer and a conversation are under way."""
    await stage.client.call("start", name="reloaded over", address=SITE4, port=5000)
    under_way = asyncio.create_task(stage.client.call("upload", address=SITE4, port=5201, seconds=1.5))
    await asyncio.sleep(0.5)
    done = await stage.reload(stage.text.replace(TELNET, "allow: tcp/23"))
    answer = await answered("tcp", SITE4, 23)(stage)
    transfer = await under_way
    talk = await stage.client.call("finish", name="reloaded over")
    agrees = answer.startswith("site answers") and transfer["intact"] and not talk["end"] and talk["answered"] > 0
    beside = f"{told(transfer)}; {talk['answered']} lines {talk['end'] or 'echoed'}"
    return Outcome(agrees, f"{answer.split(',')[0]}, {done['judged']} flows judged; meanwhile {beside}")


async def refuse_mistakes(stage: Stage) -> Outcome:
    """A file with mistakes changes nothing."""
    before = (await stage.status())["generation"]
    try:
        await stage.reload(stage.text.replace("to: [servers]", "to: [sevrers]"))
    except ControlError as error:
        after = (await stage.status())["generation"]
        mistakes = len(error.message.splitlines())
        return Outcome(error.code == "config" and before == after, f"refused for {mistakes} mistakes, generation {after} stays")
    return Outcome(False, "it was taken")


async def cut_what_is_denied(stage: Stage) -> Outcome:
    """One of two conversations is denied by the new policy."""
    for name, port in (("kept", 5000), ("denied", 5001)):
        await stage.client.call("start", name=name, address=SITE4, port=port)
    await asyncio.sleep(0.1)
    done = await stage.reload(stage.text.replace("- telnet:", NOT_5001))
    denied = await stage.client.call("finish", name="denied", within=3.0)
    kept = await stage.client.call("finish", name="kept")
    await stage.reload(stage.text)
    happened = f"{done['ended']} of {done['judged']} ended; denied: {denied['end'] or 'goes on'}; other: {kept['end'] or 'goes on'}"
    return Outcome(bool(denied["end"]) and not kept["end"] and done["ended"] >= 1, happened)


RELOADED: Final[tuple[tuple[Scene, ...], ...]] = (
    (Scene("reload under traffic: telnet is allowed", "it answers, nothing else is disturbed", open_telnet),),
    (Scene("reload of a file with mistakes", "refused, nothing changes", refuse_mistakes),),
    (Scene("reload that denies a live connection", "it ends, the other goes on", cut_what_is_denied),),
)
