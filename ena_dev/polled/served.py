"""One card for a driver on this machine that maps files: DPDK's, with no virtual machine.

    port <-- PluggedCard --> HugePages <-- Pages <-- DIR/huge/rtemap_*
                  ^
    DIR/bar0 --> PolledBar, ControlPage
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from pathlib import Path
from typing import Final, Self

from ena_dev.bus.executor import Executor
from ena_dev.device.io_engine import IoEngine
from ena_dev.device.model import Device
from ena_dev.device.personality import Personality
from ena_dev.device.plugged import PluggedCard
from ena_dev.errors import PortError
from ena_dev.polled.control import ControlPage, control_bar
from ena_dev.polled.huge_pages import HugePages
from ena_dev.polled.pages import Pages
from ena_dev.port.port import Port

log = logging.getLogger(__name__)

BAR0_BYTES: Final = 0x4000
LOOK: Final = 0.1  # seconds between looks for pages that come and go with nothing written to a register


class PolledCard:
    """A card in the directory `path`, from `start` to `stop`, or inside `async with`. The port stays its opener's.

    The directory gets `bar0` and `bar2`, for one driver at a time; DPDK's huge pages are expected in its folder `huge`. When the
    driver's process ends, in whatever way, the card is reset and ready for the next. It knows a page only after a look: pages that are
    added while frames flow must be there 0.1 s, or an admin command, before a descriptor names them.
    """

    def __init__(self, path: Path, personality: Personality, port: Port, executor: Executor) -> None:
        self.path = path
        self._bar, self._memory = control_bar(executor), HugePages(executor)
        self._plugged = PluggedCard(personality, port, self._memory, executor, self._bar)
        self._control = ControlPage(self._bar)
        self._pages = Pages(path / "huge", self._memory)
        self._lock: int | None = None
        self._later: asyncio.TimerHandle | None = None
        self.clients = 0

    @property
    def device(self) -> Device:
        return self._plugged.device

    @property
    def engine(self) -> IoEngine:
        return self._plugged.engine

    @property
    def connected(self) -> bool:
        """Whether a driver's process has pages here."""
        return bool(self._pages)

    async def start(self) -> None:
        """Be there for a driver, in the running loop. Raises PortError when the directory can't be used."""
        self._plugged.start()
        try:
            self._lock = _lock(self.path)
            self._attach()
        except OSError as error:
            await self.stop()
            raise PortError(f"{self.path}: no place for a card: {error.strerror or error}") from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Pull the card out; its files go with it. Idempotent."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        for descriptor in (self._bar.fileno(), self._bar.lost, self._memory.fileno()):
            asyncio.get_running_loop().remove_reader(descriptor)
        self._plugged.stop()
        self._bar.detach()
        self._pages.drop()
        lock, self._lock = self._lock, None
        if lock is not None:
            for name in ("bar0", "bar2"):
                (self.path / name).unlink(missing_ok=True)
            os.close(lock)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _attach(self) -> None:
        loop = asyncio.get_running_loop()
        (self.path / "huge").mkdir(exist_ok=True)
        self._make_files()
        loop.add_reader(self._bar.fileno(), self._written)
        loop.add_reader(self._bar.lost, self._make_files)
        loop.add_reader(self._memory.fileno(), self._abandon)
        self._look_again()

    def _make_files(self) -> None:
        """New files for the BARs, also where a driver has cut one short. The next driver finds them when nothing of the last is left."""
        self._bar.detach()
        made = self.path / "bar0.new"
        fd = _file(made, BAR0_BYTES)
        try:
            self._bar.attach(fd)
            self._abandon()
            made.replace(self.path / "bar0")
        finally:
            made.unlink(missing_ok=True)
            os.close(fd)

    def _abandon(self) -> None:
        """No driver: no DMA, no memory, registers as after power-on."""
        self.device.function_reset()
        self._pages.drop()
        self._control.reset()
        self._offer_memory()

    def _offer_memory(self) -> None:
        """`bar2`: fresh memory of the card, by a link to its descriptor, for it has no name; an empty file if the card has none."""
        path, memory = self.path / "bar2", self._plugged.device_memory
        if memory is None:
            os.close(_file(path, 0))
            return
        memory.renew()
        path.unlink(missing_ok=True)
        path.symlink_to(f"/proc/{os.getpid()}/fd/{memory.fd}")

    def _written(self) -> None:
        self._look()
        self._control.serve()

    def _look_again(self) -> None:
        self._look()
        self._control.show()
        self._later = asyncio.get_running_loop().call_later(LOOK, self._look_again)

    def _look(self) -> None:
        """Follow the driver's pages. Without any there is no driver: all that the last one left ends here."""
        before = self.connected
        self._pages.look()
        if self.connected and not before:
            self.clients += 1
            log.info("%s: a driver is there", self.path)
        elif before and not self.connected:
            log.info("%s: the driver is gone", self.path)
            self._abandon()


def _lock(directory: Path) -> int:
    """The directory, made if need be, and locked: one card at a time."""
    directory.mkdir(parents=True, exist_ok=True)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise PortError(f"{directory}: another process has a card there") from None
    return fd


def _file(path: Path, size: int) -> int:
    """A new file for its owner alone. A process that still maps an older one keeps that to itself."""
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.ftruncate(fd, size)
    return fd
