"""The data thread itself: it ends when told, whatever it is doing at that moment."""

import random
import time

from ena_dev.bus.executor import Executor
from ena_dev.bus.interrupts import MsixVector


def test_a_thread_stopped_at_any_moment_ends_at_once() -> None:
    spread = random.Random(7)
    slowest = 0.0
    for _ in range(1500):
        executor = Executor()
        vectors = [MsixVector(executor, index) for index in range(1, 60)]  # work for a first round that takes a while
        executor.start()
        begun = time.perf_counter()
        pause = spread.uniform(0, 200e-6)
        while time.perf_counter() - begun < pause:
            pass
        stopping = time.perf_counter()
        executor.stop()
        slowest = max(slowest, time.perf_counter() - stopping)
        assert len(vectors) == 59
    assert slowest < 2.0
