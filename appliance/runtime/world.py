"""The appliance's ties to its Linux host: TAPs up, uplinks taken over, the TUN configured, and all of it undone at the end.

An uplink's addresses and gateways become those of its nic, so what follows sees one configuration, wherever an address came from.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_interface
from typing import Protocol

import structlog

from appliance.config.models import Config, Health, Nic
from appliance.host.changes import Changes
from appliance.host.keeper import Keeper
from appliance.host.links import bring_up
from appliance.host.privileges import drop
from appliance.host.probes import probe
from appliance.host.tun import configure_tun
from appliance.host.uplink import Adopted, take_over
from ena_dev.errors import HostError
from ena_dev.port.port import Port
from ena_dev.port.tap import TapPort

log = structlog.get_logger("host")

MAX_MTU = 9216  # of a card


class World(Protocol):
    """Where the cards of an appliance end, and who else has to know."""

    def nic_port(self, nic: Nic) -> Port:
        """The network side of one nic's card. Raises PortError."""

    def host_port(self, config: Config, mac: bytes) -> Port:
        """The way to the appliance's own stack, for the card with that MAC address. Raises PortError."""

    async def adopt(self, config: Config) -> Config:
        """The configuration with what the uplinks had. Raises HostError."""

    def adopted(self, config: Config) -> Config:
        """The same for a configuration that is loaded later."""

    async def connect(self, config: Config, own: Sequence[str]) -> None:
        """Make the own addresses known to the appliance's own stack. Raises HostError."""

    async def probe(self, health: Health, address: str, port: int, source: str | None) -> str:
        """Ask a balancer's target once from the appliance's own stack; empty when it answered well, otherwise why not."""

    async def restore(self) -> None:
        """Undo everything. Idempotent."""


class LinuxWorld:
    """TAPs, a TUN and uplinks of this host. Everything runs in a thread of its own: netlink sessions block."""

    def __init__(self, will_drop: bool) -> None:
        """`will_drop`: `drop_privileges` is to come. It needs a process that starts meanwhile."""
        self._changes: list[Changes] = []
        self._keeper = Keeper() if will_drop and os.geteuid() == 0 else None
        self._adopted: dict[str, Adopted] = {}

    def nic_port(self, nic: Nic) -> Port:
        return TapPort(nic.tap, nic.queues, offloads=nic.offloads)

    def host_port(self, config: Config, mac: bytes) -> Port:
        return TapPort(config.host.tun, 1, tun=True, mac=mac)

    async def adopt(self, config: Config) -> Config:
        """Bring the TAPs up and take over the uplinks; the configuration with what they had. Raises HostError."""
        for nic in config.nics.values():
            if nic.vfio_user is None:
                await asyncio.to_thread(bring_up, nic.tap, nic.mtu)
            if nic.uplink is not None:
                adopted = await asyncio.to_thread(take_over, nic.uplink, nic.tap)
                self._changes.append(adopted.changes)
                self._adopted[nic.name] = adopted
                log.info("uplink taken over", nic=nic.name, uplink=nic.uplink, addresses=[str(a) for a in adopted.addresses])
        return self.adopted(config)

    def adopted(self, config: Config) -> Config:
        """The configuration with the addresses, gateways, MTU and MAC addresses of the uplinks that were taken over."""
        nics = {name: self._with_uplink(nic) for name, nic in config.nics.items()}
        return config.model_copy(update={"nics": nics})

    def _with_uplink(self, nic: Nic) -> Nic:
        adopted = self._adopted.get(nic.name)
        if adopted is None:
            return nic
        update: dict[str, object] = {"mtu": min(adopted.mtu, MAX_MTU)}
        if "mac" not in nic.model_fields_set:
            update["mac"] = adopted.mac  # some networks know this one only
        if not nic.address:
            update["address"] = tuple(adopted.addresses)
        if not nic.gateway:
            update["gateway"] = tuple(adopted.gateways)
        return nic.model_copy(update=update)

    async def connect(self, config: Config, own: Sequence[str]) -> None:
        """Give the TUN the appliance's own addresses. Without any there is no traffic of its own. Raises HostError."""
        mtu = min(nic.mtu for nic in config.nics.values())
        addresses = [ip_interface(address) for address in own]
        default = any(nic.uplink is not None for nic in config.nics.values())
        self._changes.append(await asyncio.to_thread(configure_tun, config.host.tun, addresses, mtu, default_route=default))

    def drop_privileges(self) -> list[str]:
        """Become nobody, with all open; a small process keeps what undoing takes. Remarks on what was left. Raises HostError."""
        if self._keeper is not None:
            self._keeper.keep(*self._changes)
        return drop()

    async def probe(self, health: Health, address: str, port: int, source: str | None) -> str:
        return await probe(health, address, port, source)

    async def restore(self) -> None:
        """Put everything back, newest first."""
        if self._keeper is not None:
            await asyncio.to_thread(self._keeper.finish)
            self._keeper = None
        while self._changes:
            changes = self._changes.pop()
            with suppress(HostError):
                await asyncio.to_thread(changes.restore)
