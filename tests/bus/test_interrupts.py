"""Vectors by the contract's words: mask on send, pending while masked, delays, the lost-interrupt write."""

import gc
import os
from collections.abc import Callable

import pytest

from ena_dev.bus.executor import Executor
from ena_dev.bus.interrupts import MsixVector
from ena_dev.errors import UsageError
from tests.support.io_bench import UNMASK, UNMASK_KEEPING_DELAYS, IoBench


def test_the_admin_vector_is_never_masked() -> None:
    vector = MsixVector(Executor(), 0)
    vector.eventfd_sink()
    vector.fire()
    assert vector.drain()
    vector.fire()
    assert (vector.drain(), vector.sent, vector.masked) == (True, 2, False)


def test_an_io_vector_starts_masked_and_remembers() -> None:
    vector = MsixVector(Executor(), 1)
    vector.eventfd_sink()
    vector.fire()
    assert (vector.drain(), vector.sent, vector.pending) == (False, 0, True)


def test_a_lost_message_counts_as_sent_by_nobody() -> None:
    vector = MsixVector(Executor(), 0)
    vector.eventfd_sink()
    vector.lose(1)
    vector.fire()
    assert (vector.drain(), vector.sent, vector.lost) == (False, 0, 1)
    vector.fire()
    assert vector.drain()


def test_a_closed_vector_leaves_its_executor() -> None:
    executor = Executor()
    vectors = [MsixVector(executor, 0) for _ in range(512)]
    with pytest.raises(UsageError):
        MsixVector(executor, 0)
    for vector in vectors:
        vector.close()
    MsixVector(executor, 0)


def test_the_data_thread_stops_at_once_and_runs_again() -> None:
    executor = Executor()
    for _ in range(50):
        executor.start()
        with executor.held():
            pass
        executor.stop()
    assert executor.round(0.0) == 0


def test_a_vector_that_nobody_holds_stays_until_it_is_closed() -> None:
    executor = Executor()
    MsixVector(executor, 1)
    assert any(isinstance(kept, MsixVector) and executor in gc.get_referents(kept) for kept in gc.get_objects())
    executor.round(0.0)


def test_delays_survive_a_second_write_before_the_vectors_turn() -> None:
    bench = IoBench()
    bench.tx()
    unmask = bench.engine.unmask_offset(1)
    bench.bar.write(unmask, UNMASK | 20 | 64 << 15)
    bench.bar.write(unmask, UNMASK_KEEPING_DELAYS)
    bench.run()
    assert bench.vectors[1].delays == (20e-6, 64e-6)
    bench.bar.write(unmask, UNMASK_KEEPING_DELAYS)
    bench.run()
    assert bench.vectors[1].delays == (20e-6, 64e-6)


@pytest.mark.parametrize("make", [lambda: Executor("many"), lambda: MsixVector(None, 0)])  # type: ignore[arg-type]
def test_wrong_arguments_close_nobodys_descriptor(make: Callable[[], object]) -> None:
    kept = os.dup(0)
    try:
        spare = os.open(os.devnull, os.O_RDONLY)
        os.dup2(spare, 0)
        os.close(spare)
        with pytest.raises(TypeError):
            make()
        os.fstat(0)
    finally:
        os.dup2(kept, 0)
        os.close(kept)
