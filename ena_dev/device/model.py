"""The card, assembled: control plane around an engine, plugged into memory and vectors.

    register writes --> RegisterFile --> AdminQueue --> Commands --> Features, Queues, Rss, Stats --> Engine
                             |               ^
                             |               | poll(now)
                             +--> reset      +--> Aenq: link, keep-alive --> vector 0

It owns no clock and no task. `write` answers at once what must be answered at once (readless reads, resets) and else only notes work
and calls `on_work`; `poll(now)` does the work; `deadline()` tells when to poll next without being asked.
Source: ENA interface, Register file; Reset handshake.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from ena_dev.abi.events import AenqEntry, ConfNotification, Group, HintsUpdate, NotificationSyndrome, RawEvent
from ena_dev.abi.features import HostInfo
from ena_dev.abi.registers import DeviceControl, DeviceStatus, ResetReason
from ena_dev.device.admin_queue import AdminQueue, ContractBroken
from ena_dev.device.aenq import Aenq
from ena_dev.device.allowances import Allowances, AllowanceStats
from ena_dev.device.attributes import Attributes
from ena_dev.device.commands import Commands
from ena_dev.device.faults import Faults
from ena_dev.device.feature import FeatureGroup
from ena_dev.device.features import Features
from ena_dev.device.flow_rules import FlowRules
from ena_dev.device.hints import HintsOffer
from ena_dev.device.host import Host
from ena_dev.device.host_clock import ClockReading, host_clock
from ena_dev.device.interfaces import Engine, Memory, Vector
from ena_dev.device.interrupt_gate import InterruptGate
from ena_dev.device.large_receive import LargeReceive
from ena_dev.device.lifecycle import STATUS, Event, State, step
from ena_dev.device.link import Link
from ena_dev.device.llq import LlqSetting
from ena_dev.device.mtu import MtuSetting
from ena_dev.device.personality import Hints, Personality
from ena_dev.device.phc import Phc
from ena_dev.device.queues import Queues
from ena_dev.device.register_file import RegisterFile
from ena_dev.device.rss import Rss
from ena_dev.device.stats import Stats
from ena_dev.device.timestamps import Timestamps
from ena_dev.errors import UsageError

log = logging.getLogger(__name__)

RESETS_REMEMBERED = 256
EVERYDAY = (ResetReason.NORMAL, ResetReason.SHUTDOWN)  # how every driver begins and ends


class Device:
    """One ENA card. Offsets are bytes in page 0 of BAR 0, times are seconds of one monotonic clock."""

    def __init__(
        self,
        personality: Personality,
        memory: Memory,
        engine: Engine,
        vectors: Sequence[Vector],
        on_work: Callable[[], None] = lambda: None,
        clock: Callable[[], ClockReading] = host_clock,
    ) -> None:
        """`vectors[0]` is the admin vector, the others are those of queues, which the engine fires itself. `clock`: the card's own."""
        self.personality = personality
        self.on_work = on_work
        self._engine = engine
        self._state = State.READY
        self._resets: deque[ResetReason] = deque(maxlen=RESETS_REMEMBERED)
        self._link = Link()
        self._on_receiving: Callable[[bool], None] = lambda receiving: None
        self._told_receiving = False
        self._gate = InterruptGate(vectors[0])
        self.allowances = Allowances()
        self._stats = Stats(personality, memory, engine)
        self._aenq = Aenq(personality.supported_groups, memory, self._stats.current, self._gate.event_posted)
        self._llq = LlqSetting(personality)
        self._queues = Queues(personality, engine, len(vectors), self._llq)
        self._mtu = MtuSetting(personality, engine)
        self._host = Host(memory)
        self._hints = HintsOffer(personality.hints)
        self._phc, self._timestamps = Phc(memory, clock), Timestamps(engine, clock)
        self._groups: tuple[FeatureGroup, ...] = (
            Attributes(personality),
            self._hints,
            self._aenq,
            self._host,
            self._mtu,
            Rss(memory, engine, personality.rss_table_log),
            LargeReceive(self._queues),
            FlowRules(memory, engine, personality.flow_rules, personality.max_queues),
            self._phc,
            self._timestamps,
            self._llq,
        )
        commands = Commands(Features(personality, self._groups), self._queues, self._stats)
        self._admin = AdminQueue(memory, commands.execute, self._gate.completion_posted)
        self.faults = Faults(engine, self._admin, self._gate, self._link, self.work)
        self._registers = RegisterFile(self, personality, memory, self._admin, self._aenq, self._gate, self._phc)
        self._forget()

    def read(self, offset: int) -> int:
        return self._registers.read(offset)

    def write(self, offset: int, value: int) -> None:
        self._registers.write(offset, value)

    def poll(self, now: float) -> None:
        """Do what is waiting and due: link and keep-alive events, a batch of admin commands."""
        self._tell_link(self._link.poll(now))
        if self._state is not State.READY:
            return
        try:
            self._check_engine()
            self._admin.process()
            self._timestamps.refresh()
            self._aenq.poll(now, self.faults.beat)
        except ContractBroken as broken:
            self._fail(broken)
        self._tell_receiving()
        if self._admin.waiting:
            self.work()

    def deadline(self) -> float | None:
        """When `poll` is due at the latest, though nothing is written; None: not before the next `on_work`."""
        due = [self._link.deadline()]
        if self._state is State.READY:
            due.append(self._aenq.deadline())
        return min((moment for moment in due if moment is not None), default=None)

    def function_reset(self) -> None:
        """A reset from the bus, or the end of its mappings: stop all, and be ready for the next driver."""
        self._forget()
        self._state = State.READY

    def set_link(self, up: bool) -> None:
        """Plug or pull the cable."""
        self._link.set(up)
        self.work()

    def set_allowances(self, allowances: Allowances) -> None:
        """What the card lets through from now on; `Allowances()` is all."""
        self._engine.shaper.set(allowances)
        self.allowances = allowances

    def allowance_statistics(self) -> AllowanceStats:
        """What went beyond the allowances since the card was made."""
        return self._engine.shaper.statistics()

    def follow(self, other: Device) -> None:
        """Have a carrier only while the driver of `other`, the card at the far end of the cable, has an Rx queue."""
        other._on_receiving = self._set_carrier
        self._set_carrier(other.receiving)

    def _set_carrier(self, there: bool) -> None:
        self._link.set_carrier(there)
        self.work()

    def set_hints(self, hints: Hints) -> None:
        """Propose other timeouts from now on: to a driver that is up by an event, to the next one when it asks."""
        self._hints.hints = hints
        self._tell(HintsUpdate(group=Group.NOTIFICATION, syndrome=NotificationSyndrome.UPDATE_HINTS, hints=self._hints.record()))

    def request_reset(self) -> None:
        """Ask the driver for a reset. UsageError if no driver is up that listens to this: older ones don't."""
        if not self._aenq.enabled(Group.DEVICE_REQUEST_RESET):
            raise UsageError("no driver is up that can be asked for a reset")
        self._tell(RawEvent(group=Group.DEVICE_REQUEST_RESET))

    def notify_configuration(self, codes: Iterable[int]) -> None:
        """Call the driver's configuration sub-optimal: codes 1 to 64 by the contract, whose meaning is between card and reader of the log.

        UsageError for other codes, and if no driver is up that listens.
        """
        codes = frozenset(codes)
        if not codes <= frozenset(range(1, 65)):
            raise UsageError(f"codes of the configuration are 1..64, not {sorted(codes)}")
        if not self._aenq.enabled(Group.CONF_NOTIFICATIONS):
            raise UsageError("no driver is up that listens to notifications of its configuration")
        self._tell(ConfNotification(group=Group.CONF_NOTIFICATIONS, codes=sum(1 << code - 1 for code in codes)))

    @property
    def resets(self) -> list[ResetReason]:
        """Why drivers reset the card, oldest first; the last few hundred."""
        return list(self._resets)

    @property
    def state(self) -> State:
        return self._state

    @property
    def link_up(self) -> bool:
        return self._link.up

    @property
    def receiving(self) -> bool:
        """Whether a driver has made an Rx queue."""
        return self._queues.receiving

    @property
    def mtu(self) -> int:
        return self._mtu.mtu

    @property
    def host_info(self) -> HostInfo | None:
        """What the driver said of itself; None before it did."""
        return self._host.info

    @property
    def status(self) -> DeviceStatus:
        return STATUS[self._state]

    def work(self) -> None:
        self.on_work()

    def control(self, value: DeviceControl) -> None:
        """DEV_CTL: both phases of a reset. All DMA has ended before the reset shows."""
        if value.reset:
            reason = ResetReason(value.reason)
            log.log(logging.DEBUG if reason in EVERYDAY else logging.INFO, "reset by the driver: %s", reason.name)
            self._resets.append(reason)
            self._forget()
        self._state = step(self._state, Event.RESET_SET if value.reset else Event.RESET_CLEARED)

    def _check_engine(self) -> None:
        address = self._engine.fatal_address
        if address is not None:
            raise ContractBroken(f"a queue led to bus address {address:#x}, which nobody owns")

    def _fail(self, broken: ContractBroken) -> None:
        log.error("stopped until the next reset: %s", broken)
        self._forget()
        self._state = step(self._state, Event.FAULT)

    def _forget(self) -> None:
        """Stop all DMA, then drop everything that does not outlive a reset."""
        self._engine.stop()
        for part in (self._admin, self._gate, self._queues, self._stats, self._registers, self.faults):
            part.reset()
        self._tell_receiving()
        for group in self._groups:
            group.reset()

    def _tell_receiving(self) -> None:
        if self.receiving != self._told_receiving:
            self._told_receiving = self.receiving
            self._on_receiving(self.receiving)

    def _tell(self, event: AenqEntry) -> None:
        self._aenq.tell(event)
        self.work()

    def _tell_link(self, up: bool) -> None:
        if up != self._aenq.link_up:
            self._engine.set_link(up)
            self._aenq.set_link(up)
