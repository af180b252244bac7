"""A card plugged in: BAR, vectors, engine and control plane on one port, memory and executor, with an event loop for a clock.

    driver --bar, vectors, memory--> PluggedCard --port--> network

The shell around `Device`: work noted by a register write, and what falls due, is polled from the loop. It makes no decision.
"""

from __future__ import annotations

import asyncio

from ena_dev.bus.device_memory import DeviceMemory
from ena_dev.bus.executor import Executor
from ena_dev.bus.interrupts import MsixVector
from ena_dev.bus.memory import AddressSpace
from ena_dev.bus.mmio import RegisterBar
from ena_dev.device.io_engine import IoEngine
from ena_dev.device.model import Device
from ena_dev.device.personality import Personality
from ena_dev.port.port import Port


class PluggedCard:
    """One card of a host. Everything a driver may touch is `bar`, `device_memory`, `vectors` and the memory it was plugged into.

    `bar`: the driver's way to the registers, where that isn't by calls. `device_memory`: None unless the personality offers LLQ.
    """

    def __init__(
        self, personality: Personality, port: Port, memory: AddressSpace, executor: Executor, bar: RegisterBar | None = None
    ) -> None:
        self.bar = RegisterBar() if bar is None else bar
        self.vectors = [MsixVector(executor, index) for index in range(personality.max_queues + 1)]
        self.device_memory = DeviceMemory(personality.device_memory) if personality.device_memory else None
        self.engine = IoEngine(
            executor, memory, self.bar, port, self.vectors, personality.mac,
            max_rx_buffers=personality.max_rx_buffers, max_tx_buffers=personality.max_tx_buffers, device_memory=self.device_memory,
        )  # fmt: skip
        self.device = Device(personality, memory, self.engine, self.vectors, self._work)
        self.bar.control = self.device
        self._loop: asyncio.AbstractEventLoop | None = None
        self._soon: asyncio.Handle | None = None
        self._later: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Answer from here on, in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._work()

    def stop(self) -> None:
        """Pull the card out: it does nothing any more. Idempotent."""
        for handle in (self._soon, self._later):
            if handle is not None:
                handle.cancel()
        self._loop = self._soon = self._later = None
        self.device.function_reset()
        self.engine.close()
        for vector in self.vectors:
            vector.close()

    def _work(self) -> None:
        if self._loop is not None and self._soon is None:
            self._soon = self._loop.call_soon(self._poll)

    def _poll(self) -> None:
        self._soon = None
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._loop is None:
            return
        self.device.poll(self._loop.time())
        due = self.device.deadline()
        if due is not None:
            self._later = self._loop.call_at(due, self._work)
