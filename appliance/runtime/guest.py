"""A virtual machine behind a nic: a second card for its driver, at the far end of the nic's cable.

    nic's driver -- nic's card --cable-- guest's card --vfio-user-- QEMU, the guest's own driver

Both cards are stepped by one executor: what one sends is copied once, into the other driver's buffers. Each has a carrier only while the
other's driver receives, so the nic's link is down until the guest brings its interface up. Large packets and unfinished checksums cross as
they are; for a guest that takes neither, its card makes of them what a wire would bring.

The guest's card takes the nic's MTU at most: a longer frame could not go on anyway.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from appliance.config.models import Nic
from appliance.runtime.card_control import control_server
from appliance.runtime.card_report import stats
from appliance.runtime.cards import Card
from ena_dev.bus.executor import Executor
from ena_dev.device.personality import STRANGERS_FEATURES, Personality
from ena_dev.errors import HostError
from ena_dev.port.cable import cable
from ena_dev.port.port import Port

SOCKET_MODE: Final = 0o660  # who QEMU runs as is let in by the group, which a directory with the set-group-ID bit hands down
SHOWN: Final = ("socket", "mac", "connected", "driver", "link")


class Guest:
    """The far side of one nic. `near` is the port for the nic's card. It answers `softena card stats PATH`, as every served card."""

    def __init__(self, name: str, path: Path, personality: Personality, executor: Executor) -> None:
        self.name, self.path = name, path
        from ena_dev.vfio_user.served import ServedCard  # few appliances have virtual machines

        self.near: Port
        self.near, self._far = cable(personality.max_queues)
        self.card = ServedCard(path, personality, self._far, executor, SOCKET_MODE)
        self._control = control_server(self.card, self._far)

    def plug(self, near: Card) -> None:
        """Tell each card of the other: before they start, so that no link is up for a moment."""
        near.device.follow(self.card.device)
        self.card.device.follow(near.device)

    async def start(self) -> None:
        """Be there for QEMU. Raises HostError or PortError when the socket's place can't be used."""
        if not self.path.parent.is_dir():
            hint = f"make it for the group that QEMU runs in: install -d -m 2750 -g GROUP {self.path.parent}"
            raise HostError(f"nic {self.name}: no place for the socket {self.path}", "its directory is not there", hint)
        await self.card.start()
        await self._control.start()

    async def stop(self) -> None:
        """Drop the guest, and pull its card out. Idempotent."""
        await self._control.stop()
        await self.card.stop()

    def status(self) -> dict[str, Any]:
        """{socket, mac, connected, driver: {system, distribution, version, ...} or None, link}."""
        shown = stats(self.card, self._far)
        return {key: shown[key] for key in SHOWN}


def guest_of(nic: Nic, executor: Executor) -> Guest | None:
    """Who is behind a nic, if it is a virtual machine."""
    if nic.vfio_user is None:
        return None
    personality = Personality(
        mac=nic.guest_mac, max_queues=nic.queues, max_mtu=nic.mtu, default_mtu=nic.mtu, features=STRANGERS_FEATURES
    )
    return Guest(nic.name, Path(nic.vfio_user), personality, executor)
