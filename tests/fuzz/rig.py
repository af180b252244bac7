"""A card in front of a guest's memory, on a clock by hand, and what must be true of it whatever a driver did.

The memory lies between pages that nobody may touch, so an access beyond it ends the process; built with AddressSanitizer (`build`), so
does one beyond anything the card allocated.
"""

from __future__ import annotations

import logging
from typing import Self

from ena_dev.abi.features import FeatureId
from ena_dev.bus.executor import Executor
from ena_dev.bus.guest_memory import GuestMemory
from ena_dev.device.personality import STRANGERS_FEATURES, LlqLimits, Personality
from ena_dev.device.plugged import PluggedCard
from ena_dev.errors import BusError
from ena_dev.port.port import Port
from ena_dev.port.wire import WirePort
from tests.fuzz.good_driver import HERE, passes_frames
from tests.support.scripted_driver import ScriptedDriver
from tests.support.vfio_client import RAM_BASE, GuestRam

RAM_SIZE = 0x40000
ROUNDS = 5000
PERSONALITY = Personality(
    mac=HERE, max_queues=4, features=STRANGERS_FEATURES | {FeatureId.LLQ}, llq=LlqLimits(depth=512), large_receive=True
)


class Mistakes(logging.Handler):
    """Exceptions that the product caught, logged and survived: not what it is meant to live on."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.seen.append(f"{record.getMessage()}: {record.exc_info[1]!r}")

    def __enter__(self) -> Self:
        logger = logging.getLogger("ena_dev")
        logger.addHandler(self)
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("ena_dev")
        logger.removeHandler(self)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
        assert not self.seen, self.seen[0]


class Rig:
    """The card, its far side, and its driver's memory: mapped at `ram.base`, readable and writable."""

    def __init__(self, *, map_ram: bool = True, port: Port | None = None, executor: Executor | None = None) -> None:
        """`port`, `executor`: instead of those it makes; `wire` has no card then."""
        self.executor, self.wire, self.now = executor or Executor(), WirePort(2), 0.0
        self.memory, self.ram = GuestMemory(self.executor), GuestRam(RAM_BASE, RAM_SIZE)
        self.card = PluggedCard(PERSONALITY, port or self.wire, self.memory, self.executor)
        self.device, self.bar = self.card.device, self.card.bar
        self._mistakes = Mistakes()
        if map_ram:
            self.map(self.ram)

    def __enter__(self) -> Self:
        self._mistakes.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.card.stop()
        self.memory.unmap_all()
        self.ram.close()
        if kind is None:
            self._mistakes.__exit__()

    def map(self, ram: GuestRam) -> None:
        self.memory.map(ram.base, ram.size, ram.fd, 0)

    def driver(self) -> ScriptedDriver:
        """A driver of the card's registers; nothing is done yet."""
        return ScriptedDriver(self.device, self.ram)  # type: ignore[arg-type]

    def write(self, offset: int, value: int) -> None:
        """A BAR write as a bus brings it: what is off a boundary doesn't arrive."""
        try:
            self.bar.write(offset, value)
        except BusError:
            assert offset & 3 or offset >= 0x4000

    def settle(self, seconds: float = 0.0) -> None:
        """Let time pass. The card comes to rest, and says so if it has stopped."""
        self.now += seconds
        self.executor.run_until_idle(self.now, ROUNDS)
        self.device.poll(self.now)
        self.executor.run_until_idle(self.now, ROUNDS)
        assert self.device.status.ready
        if self.card.engine.fatal:
            self.device.poll(self.now)
            assert self.device.status.fatal_error

    def comes_back(self) -> None:
        """A reset, by a driver that knows how, is always enough."""
        self.memory.unmap_all()
        self.memory.enable(True)
        self.map(self.ram)
        self.settle(60.0)
        self.card.engine.set_link(False)  # so that the frames that still wait are read
        self.settle()
        self.card.engine.set_link(True)
        for queue in range(self.wire.queues):
            self.wire.take(queue=queue)
        self.ram.start_over()
        driver = self.driver()
        driver.now = self.now
        passes_frames(driver, self.ram, self.wire, self.bar.write, self.settle)
