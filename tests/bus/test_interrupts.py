"""Vectors by the contract's words: mask on send, pending while masked, delays, the lost-interrupt write."""

import pytest

from ena_dev.bus.executor import Executor
from ena_dev.bus.interrupts import MsixVector
from ena_dev.errors import UsageError


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
