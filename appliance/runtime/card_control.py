"""The control socket of a served card: beside the place where its driver finds it, `PATH.control`.

    softena card stats, fault, ... --> ControlServer --> methods: the card's own calls, on its event loop
"""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Final

from appliance.control.interface import Methods, Program, Result
from appliance.control.messages import Params
from appliance.control.server import ControlServer
from appliance.runtime import card_faults, card_report
from appliance.runtime.card_report import StrangersCard
from ena_dev.device.allowances import Allowances
from ena_dev.device.personality import Hints
from ena_dev.errors import UsageError
from ena_dev.port.port import Port
from ena_dev.port.recording import Recording

START: Final = "start one with `softena card serve --vfio-user PATH`"
CARD: Final = Program("card", START, START, "name another place: --vfio-user PATH")
SUFFIX: Final = ".control"
LONGEST_HINT: Final = 0xFFFF


def control_path(card: Path) -> Path:
    """Where the control socket of the card at a path is."""
    return card.with_name(card.name + SUFFIX)


def control_server(card: StrangersCard, port: Port, recording: Recording | None = None) -> ControlServer:
    """The control socket of a card that is served."""
    return ControlServer(control_path(card.path), methods(card, port, recording), CARD)


def methods(card: StrangersCard, port: Port, recording: Recording | None = None) -> Methods:
    """What a served card can be asked and told. What changes something answers what holds now."""

    def stats(params: Params) -> Result:
        params.finish()
        return card_report.stats(card, port, recording)

    def fault(params: Params) -> Result:
        order = card_faults.read(params.text("spec"))
        params.finish()
        order.give(card.device.faults)
        return {"faults": card_report.faults(card)}

    def allow(params: Params) -> Result:
        allowances = Allowances.parse(params.text("spec"))
        params.finish()
        card.device.set_allowances(allowances)
        return {"allowances": card_report.allowances(card)}

    def hint(params: Params) -> Result:
        hints = read_hints(params.text("spec"))
        params.finish()
        card.device.set_hints(hints)
        return {"hints": asdict(hints)}

    def reset(params: Params) -> Result:
        params.finish()
        card.device.request_reset()
        return {}

    def link(params: Params) -> Result:
        up = params.switch("up")
        params.finish()
        card.device.set_link(up)
        return {"link": card.device.link_up}

    return {"stats": stats, "fault": fault, "allow": allow, "hint": hint, "link": link, "reset": reset}


def read_hints(text: str) -> Hints:
    """Hints from `KEY=MILLISECONDS,...`; what is not named is left to the driver. Raises UsageError naming what would do."""
    keys = {each.name.replace("_", "-"): each.name for each in fields(Hints)}
    values: dict[str, int] = {}
    for part in text.split(","):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in keys or not re.fullmatch("[0-9]{1,5}", value) or int(value) > LONGEST_HINT:
            raise UsageError(f"{part.strip()!r} is no hint; write KEY=NUMBER, 0 to {LONGEST_HINT}, with one of {', '.join(keys)}")
        values[keys[key]] = int(value)
    return Hints(**values)
