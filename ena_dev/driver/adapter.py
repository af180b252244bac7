"""One card, driven: bring-up and tear-down in the contract's order, resets that heal, and what others may ask of it.

                 bring_up()                 watchdog, or reset()
    DOWN --------------------> UP ------------------------------> RESETTING --+--> UP
                               |  <--- the supervisor tries again ---- FAILED <--+
                               +---- tear_down(), from any state ----> CLOSED

Whoever owns `pairs` keeps them through resets: they stand still, lose what was in flight, and go on.
Source: ENA interface, Driver sequences.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, auto

from ena_dev.abi.events import Group
from ena_dev.abi.features import AenqConfig, FeatureId, HwHints, Mtu
from ena_dev.abi.registers import ResetReason
from ena_dev.bus.executor import Executor
from ena_dev.bus.interrupts import MsixVector
from ena_dev.bus.memory import Memory
from ena_dev.bus.mmio import RegisterBar
from ena_dev.driver.control import ControlPlane
from ena_dev.driver.counters import Counters, Drops
from ena_dev.driver.handshake import check_versions
from ena_dev.driver.io_queues import PairQueues, interface_down, interface_up
from ena_dev.driver.link import Link
from ena_dev.driver.negotiation import SMALLEST_MTU, Capabilities, Wishes, ask, negotiate
from ena_dev.driver.notices import Notices
from ena_dev.driver.pool import BufferPool
from ena_dev.driver.queue import QueuePair
from ena_dev.driver.rss import RssSettings, configure
from ena_dev.driver.supervisor import supervise
from ena_dev.driver.watchdog import Limits, Watchdog
from ena_dev.errors import AdminError, DeviceError, SoftenaError, UsageError

log = logging.getLogger(__name__)


class State(Enum):
    DOWN = auto()
    UP = auto()
    RESETTING = auto()
    FAILED = auto()  # a reset did not succeed; it is tried again
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class ResetReport:
    """What a reset cost. `undone`: sends that came back; `census`: buffers by owner; `whole`: none of them was lost."""

    reason: ResetReason
    undone: int
    census: dict[str, int]
    whole: bool


class Adapter:
    """The driver of one card. `vectors`: MSI-X, the management one first; all times are those of the running loop's clock.

    `nic` marks the frames of this card, `name` its messages. Everything is allocated from `memory`; `pool` may be shared.
    """

    def __init__(
        self,
        memory: Memory,
        bar: RegisterBar,
        vectors: Sequence[MsixVector],
        pool: BufferPool,
        executor: Executor,
        wishes: Wishes,
        nic: int = 0,
        *,
        name: str = "ena0",
        readless: bool = False,
    ) -> None:
        self._memory, self._bar, self._vectors, self._pool, self._executor = memory, bar, vectors, pool, executor
        self.wishes, self.nic, self.name = wishes, nic, name
        self.state = State.DOWN
        self.counters, self.drops, self.link = Counters(), Drops(), Link()
        notices = Notices(self.link, self.drops, alive=self._alive, hints=self._take_hints, wish=self._want)
        self.control = ControlPlane(memory, bar, vectors[0], notices.handlers(), readless=readless)
        self.watchdog = Watchdog(self.control.admin, self.control.events)
        self.pairs: list[QueuePair] = []
        self.on_reset: list[Callable[[ResetReport], None]] = []
        self._capabilities: Capabilities | None = None
        self._queues: list[PairQueues] = []
        self._rss: RssSettings | None = None
        self._limits = Limits()
        self._one_at_a_time = asyncio.Lock()
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What was negotiated. Raises UsageError before the first bring-up."""
        if self._capabilities is None:
            raise UsageError(f"{self.name} was not brought up")
        return self._capabilities

    @property
    def mac(self) -> bytes:
        return self.capabilities.mac

    @property
    def rss(self) -> RssSettings:
        """Key and table in use. Raises UsageError before the first bring-up."""
        return self._rss or RssSettings.even(self.wishes.rss_key, self.capabilities.table_size, self.capabilities.queues)

    @property
    def link_up(self) -> bool:
        return self.link.up

    async def wait_for_link(self) -> None:
        await self.link.wait_up()

    # -- life ----------------------------------------------------------------------------------------------------------

    async def bring_up(self) -> None:
        """From a card nobody drives to running pairs. Raises SoftenaError, and has let go of everything then."""
        async with self._one_at_a_time:
            if self.state is not State.DOWN:
                raise UsageError(f"{self.name} can't be brought up: {self.state.name}")
            try:
                await self._start()
            except BaseException:
                await self._close(ResetReason.INIT_ERR)
                raise
            self.state = State.UP
            self.counters.interface_up += 1
            self._supervisor = asyncio.create_task(supervise(self.watchdog, self.reset), name=f"{self.name} supervisor")

    async def tear_down(self) -> None:
        """Destroy the queues, shut the card down, free everything. Sends in flight are lost; never raises for the card's sake."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        async with self._one_at_a_time:
            if self.state is State.CLOSED:
                return
            if self.state is State.UP:
                self.counters.interface_down += 1
                with suppress(AdminError):
                    await interface_down(self.control.commands, self._queues)
            await self._close(ResetReason.SHUTDOWN)

    async def reset(self, reason: ResetReason = ResetReason.USER_TRIGGER) -> None:
        """Reset the card and bring it up again as it was. Raises SoftenaError if that fails; the supervisor goes on trying."""
        async with self._one_at_a_time:
            if self.state not in (State.UP, State.FAILED):
                raise UsageError(f"{self.name} can't be reset: {self.state.name}")
            self.state = State.RESETTING
            try:
                report = await self._reset(reason)
            except BaseException:
                self.counters.reset_fail += 1
                self.watchdog.want(reason)
                self.state = State.FAILED
                raise
            self.state = State.UP
        log.warning("%s: reset for %s, %d sends came back undone", self.name, reason.name, report.undone)
        for observer in self.on_reset:
            observer(report)

    async def _reset(self, reason: ResetReason) -> ResetReport:
        """Two resets of the card, as every driver does: one with the reason, one to begin anew."""
        self.control.registers.announce_response()  # the card may have forgotten: a reset that failed half-way, or one from the bus
        await check_versions(self.control.registers)  # a card that does not answer is left alone for now
        undone = 0

        def stopped() -> None:
            nonlocal undone
            undone = sum(pair.stop() for pair in self.pairs)

        self.counters.count_reset(reason)
        await self.control.reset(reason, extended=self.capabilities.extended_reasons, stopped=stopped)
        self.drops.rebase()
        report = self._take_census(reason, undone)
        await self._start()
        return report

    def _take_census(self, reason: ResetReason, undone: int) -> ResetReport:
        with self._executor.held():
            census, free = self._pool.census(), self._pool.free
        whole = census["pool"] == free and sum(census.values()) == self._pool.count
        if not whole:
            log.error("%s: buffers were lost: %s, %d free", self.name, census, free)
        return ResetReport(reason, undone, census, whole)

    async def _start(self) -> None:
        """The contract's probe and interface up. Raises SoftenaError."""
        control = self.control
        await control.start()
        await self._negotiate()
        await control.commands.set(FeatureId.AENQ_CONFIG, AenqConfig(enabled_groups=self.capabilities.groups))
        control.open()
        self._make_pairs()
        self._queues = await interface_up(control.commands, self.capabilities, self.pairs, self.rss)
        self.watchdog.start(asyncio.get_running_loop().time(), self.pairs)

    async def _negotiate(self) -> None:
        """Ask, agree; after a reset the card must still be the one it was. Raises DeviceError otherwise."""
        offers = await ask(self.control.commands)
        before, now = self._capabilities, negotiate(self.wishes, offers, vectors=len(self._vectors))
        if before is not None and before.shape != now.shape:
            raise DeviceError(f"{self.name} came back from reset as another card: {now.shape}, not {before.shape}")
        self._capabilities = now
        self._limits = self.watchdog.limits = Limits() if now.watches(Group.KEEP_ALIVE) else Limits(keep_alive=None)
        if offers.hints is not None:
            self._take_hints(offers.hints)

    def _make_pairs(self) -> None:
        agreed = self.capabilities
        sizes = agreed.rx_depth, agreed.tx_depth, agreed.large_receive
        for index in range(len(self.pairs), agreed.queues):
            vector = self._vectors[1 + index]
            self.pairs.append(QueuePair(self._executor, self._memory, self._pool, self._bar, vector, index, self.nic, *sizes))

    async def _close(self, reason: ResetReason) -> None:
        """Reset the card for good. Memory that a card out of control may still reach is not freed."""
        self.state = State.CLOSED
        self.link.set(False)
        extended = self._capabilities is not None and self._capabilities.extended_reasons
        try:
            await self.control.reset(reason, extended=extended)
        except SoftenaError as error:
            log.error("%s: the card did not stop, its memory stays reserved: %s", self.name, error)
            return
        for pair in self.pairs:
            pair.close()
        self.control.close()

    # -- what events ask for -------------------------------------------------------------------------------------------

    def _alive(self, now: float) -> None:
        self.watchdog.keep_alive(now)

    def _want(self, reason: ResetReason) -> None:
        self.watchdog.want(reason)

    def _take_hints(self, hints: HwHints) -> None:
        self.watchdog.limits = self._limits.hinted(hints)
        self.control.take_hints(hints)

    # -- changes while it runs -----------------------------------------------------------------------------------------

    async def set_mtu(self, mtu: int) -> None:
        """Largest packet without its Ethernet header. Raises UsageError outside the card's range, AdminError."""
        if not SMALLEST_MTU <= mtu <= self.capabilities.max_mtu:
            raise UsageError(f"MTU {mtu} is outside {SMALLEST_MTU} to {self.capabilities.max_mtu}")
        await self.control.commands.set(FeatureId.MTU, Mtu(mtu=mtu))
        self.wishes, self._capabilities = replace(self.wishes, mtu=mtu), replace(self.capabilities, mtu=mtu)

    async def set_rss(self, *, key: bytes | None = None, table: Sequence[int] | None = None) -> None:
        """New hash key, or new queue numbers for the table; kept through resets. Raises UsageError, AdminError."""
        wanted = replace(self.rss, key=self.rss.key if key is None else key, table=self.rss.table if table is None else tuple(table))
        wanted.check(self.capabilities)
        await configure(self.control.commands, wanted, self.capabilities, [pair.rx.sq_index for pair in self._queues])
        self._rss = wanted
