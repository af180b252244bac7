"""The asynchronous event queue: link changes, keep-alives and what else the card has to say, when the driver can take it.

Nothing is posted before the driver first told its head, nor for a group it did not enable. A full ring drops keep-alives, but the latest
event of each other group waits until there is room.
Source: ENA interface, AENQ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ena_dev.abi.admin import FeatureCommand
from ena_dev.abi.events import AenqEntry, Group, KeepAlive, LinkChange
from ena_dev.abi.features import AenqConfig, FeatureId
from ena_dev.device.admin_queue import ContractBroken
from ena_dev.device.admin_ring import AdminRing
from ena_dev.device.control_buffer import illegal
from ena_dev.device.feature import Feature, payload
from ena_dev.device.interfaces import BasicStats, Memory
from ena_dev.errors import BusError

KEEP_ALIVE_PERIOD = 1.0


class Aenq:
    """Sends events. Time comes in with `poll`."""

    def __init__(self, groups: int, memory: Memory, statistics: Callable[[], BasicStats], posted: Callable[[], None]) -> None:
        """`groups` is the bit map of those a driver may enable."""
        self._groups, self._memory, self._statistics, self._posted = groups, memory, statistics, posted
        self.ring = AdminRing()
        self._head: int | None = None
        self.enabled_groups = 0
        self.link_up = True
        self._owed: dict[int, AenqEntry] = {}  # by group, in the order of posting
        self._next_keep_alive: float | None = None
        self._started: float | None = None

    def reset(self) -> None:
        self.ring.reset()
        self._head = None
        self.enabled_groups = 0
        self._owed.clear()
        self._next_keep_alive = None

    def features(self) -> Mapping[FeatureId, Feature]:
        return {FeatureId.AENQ_CONFIG: Feature(get=self._get_config, set=self._set_config)}

    def _get_config(self, command: FeatureCommand) -> AenqConfig:
        return AenqConfig(supported_groups=self._groups, enabled_groups=self.enabled_groups)

    def _set_config(self, command: FeatureCommand) -> None:
        groups = int(payload(command, AenqConfig).enabled_groups)
        if groups & ~self._groups:
            raise illegal(f"event groups {groups:#x}")
        self.enable(groups)

    def set_caps(self, value: int) -> None:
        self.ring.set_caps(value)
        self._head = None

    def ring_doorbell(self, value: int) -> None:
        """AENQ_HEAD_DB: entries below the head are the card's again; it starts at the ring's depth."""
        if self.ring.configured:
            self._head = value & 0xFFFF

    def enable(self, groups: int) -> None:
        """Each time the link group becomes enabled, its state is told anew."""
        newly, self.enabled_groups = groups & ~self.enabled_groups, groups
        if newly & Group.LINK_CHANGE.mask:
            self.tell(self._link_event())
        self._owed = {group: event for group, event in self._owed.items() if self.enabled(group)}
        if not groups & Group.KEEP_ALIVE.mask:
            self._next_keep_alive = None

    def set_link(self, up: bool) -> None:
        if up != self.link_up:
            self.link_up = up
            self.tell(self._link_event())

    def tell(self, event: AenqEntry) -> None:
        """Post at the next `poll`, in place of one of the same group that still waits; nothing if the driver did not enable the group."""
        if self.enabled(event.group):
            self._owed[event.group] = event

    def enabled(self, group: int) -> bool:
        return bool(self.enabled_groups >> group & 1)

    def poll(self, now: float, beat: Callable[[], bool]) -> None:
        """Post what is due; `beat` is asked whether a due keep-alive is really sent. Raises ContractBroken."""
        self._started = now if self._started is None else self._started
        if self._head is None:
            return
        while self._owed and self._free():
            self._post(self._owed.pop(next(iter(self._owed))), now)
        if self.enabled(Group.KEEP_ALIVE):
            self._poll_keep_alive(now, beat)

    def deadline(self) -> float | None:
        return self._next_keep_alive if self._head is not None else None

    def _poll_keep_alive(self, now: float, beat: Callable[[], bool]) -> None:
        if self._next_keep_alive is None:
            self._next_keep_alive = now + KEEP_ALIVE_PERIOD
        elif now >= self._next_keep_alive:
            on_time = self._next_keep_alive + KEEP_ALIVE_PERIOD
            self._next_keep_alive = on_time if on_time > now else now + KEEP_ALIVE_PERIOD
            if beat() and self._free():
                counts = self._statistics()
                drops = {"rx_drops": counts.rx_drops, "tx_drops": counts.tx_drops, "rx_overruns": counts.rx_overruns}
                self._post(KeepAlive(group=Group.KEEP_ALIVE, **drops), now)

    def _link_event(self) -> LinkChange:
        return LinkChange(group=Group.LINK_CHANGE, link_up=self.link_up)

    def _free(self) -> bool:
        """Whether a slot is free; a head that makes no sense leaves none."""
        return self._head is not None and self.ring.configured and 0 < (self._head - self.ring.index & 0xFFFF) <= self.ring.depth

    def _post(self, event: AenqEntry, now: float) -> None:
        since = int((now - (self._started or 0.0)) * 1e6)
        event.timestamp_low, event.timestamp_high = since & 0xFFFFFFFF, since >> 32
        event.phase = self.ring.phase
        data, address = bytes(event), self.ring.address
        try:
            self._memory.write(address + 8, data[8:])
            self._memory.write(address, data[:8])  # the phase bit last
        except BusError as error:
            raise ContractBroken(f"event ring: {error}") from error
        self.ring.advance()
        self._posted()
