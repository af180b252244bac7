"""The cards of the appliance: one a nic, and one in front of its own Linux stack.

    TAP, TUN or cable to a guest's card --port--> card --bus--> driver --> queue pairs

All cards of the process share one memory, one pool and one executor. The card of the host has a TUN for a port: what the kernel
sends there is received like any other frame, in the zone `self`.
"""

from __future__ import annotations

from appliance.config.models import Config, Nic
from appliance.config.values import mac_of
from ena_dev.bus.executor import Executor
from ena_dev.bus.memory import Memory
from ena_dev.device.interfaces import DataFaults
from ena_dev.device.io_engine import IoEngine
from ena_dev.device.model import Device
from ena_dev.device.personality import Personality
from ena_dev.device.plugged import PluggedCard
from ena_dev.driver.adapter import Adapter
from ena_dev.driver.negotiation import Wishes
from ena_dev.driver.pool import BufferPool
from ena_dev.port.port import Port

HOST_MAC = mac_of("self")


class Card:
    """One card and its driver. `interface`: the Linux device at its far side, the nic's name if there is none."""

    def __init__(self, index: int, name: str, interface: str, plugged: PluggedCard, adapter: Adapter) -> None:
        self.index, self.name, self.interface = index, name, interface
        self.adapter = adapter
        self._plugged = plugged

    @property
    def device(self) -> Device:
        return self._plugged.device

    @property
    def engine(self) -> IoEngine:
        return self._plugged.engine

    @property
    def mac(self) -> bytes:
        return self._plugged.device.personality.mac

    @property
    def mtu(self) -> int:
        return self.adapter.wishes.mtu

    async def start(self) -> None:
        """Bring the card up by its driver. Raises SoftenaError."""
        self._plugged.start()
        await self.adapter.bring_up()

    async def stop(self) -> None:
        """Tear the driver down, and stop the card."""
        try:
            await self.adapter.tear_down()
        finally:
            self._plugged.stop()


def nic_card(index: int, nic: Nic, port: Port, memory: Memory, executor: Executor, pool: BufferPool) -> Card:
    """The card of one nic, plugged into its port."""
    card = _card(index, nic.name, nic.tap, port, nic.mac, nic.mtu, nic.queues, nic.offloads, memory, executor, pool)
    if nic.faults is not None:
        f = nic.faults
        card.device.faults.set_data(DataFaults(f.seed, f.loss, f.duplicate, f.delay, f.jitter, f.reorder))
    return card


def host_card(index: int, config: Config, port: Port, memory: Memory, executor: Executor, pool: BufferPool) -> Card:
    """The card in front of the appliance's own stack."""
    mtu = min(nic.mtu for nic in config.nics.values())
    return _card(index, "self", config.host.tun, port, HOST_MAC, mtu, 1, True, memory, executor, pool)


def _card(
    index: int, name: str, interface: str, port: Port, mac: bytes, mtu: int, queues: int, offloads: bool,
    memory: Memory, executor: Executor, pool: BufferPool,
) -> Card:  # fmt: skip
    personality = Personality(mac=mac, max_queues=queues, default_mtu=mtu, large_receive=True)
    plugged = PluggedCard(personality, port, memory, executor)
    wishes = Wishes(queues=queues, mtu=mtu, checksum=offloads, segmentation=offloads, large_receive=offloads)
    adapter = Adapter(memory, plugged.bar, plugged.vectors, pool, executor, wishes, index, name=name)
    return Card(index, name, interface, plugged, adapter)
