"""The control socket of a served card: beside the socket that QEMU connects to, `PATH.control`.

    softena card stats, fault, link --> ControlServer --> methods: the card's own calls, on its event loop
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from appliance.control.interface import Methods, Program, Result
from appliance.control.messages import Params
from appliance.control.server import ControlServer
from appliance.runtime import card_faults, card_report
from ena_dev.port.port import Port
from ena_dev.vfio_user.served import ServedCard

START: Final = "start one with `softena card serve --vfio-user PATH`"
CARD: Final = Program("card", START, START, "name another place: --vfio-user PATH")
SUFFIX: Final = ".control"


def control_path(vfio_user: Path) -> Path:
    """Where the control socket of the card at `vfio_user` is."""
    return vfio_user.with_name(vfio_user.name + SUFFIX)


def control_server(card: ServedCard, port: Port) -> ControlServer:
    """The control socket of a card that is served."""
    return ControlServer(control_path(card.server.path), methods(card, port), CARD)


def methods(card: ServedCard, port: Port) -> Methods:
    """What a served card can be asked and told. Answers of what changes something: what holds now."""

    def stats(params: Params) -> Result:
        params.finish()
        return card_report.stats(card, port)

    def fault(params: Params) -> Result:
        order = card_faults.read(params.text("spec"))
        params.finish()
        order.give(card.device.faults)
        return {"faults": card_report.stats(card, port)["faults"]}

    def link(params: Params) -> Result:
        up = params.switch("up")
        params.finish()
        card.device.set_link(up)
        return {"link": card.device.link_up}

    return {"stats": stats, "fault": fault, "link": link}
