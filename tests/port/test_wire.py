from __future__ import annotations

import pytest

from ena_dev.errors import UsageError
from ena_dev.port.meta import FrameMeta
from ena_dev.port.wire import WirePort
from tests.support.frames import tcp, udp, unfinished
from tests.support.io_bench import IoBench


def test_a_wire_is_bounded() -> None:
    wire = WirePort()
    taken = sum(wire.inject(b"x") for _ in range(5000))
    assert taken == wire.waiting() == 4096


def test_queues_are_apart() -> None:
    wire = WirePort(2)
    wire.inject(b"x", queue=1)
    assert (wire.waiting(queue=0), wire.waiting(queue=1)) == (0, 1)
    with pytest.raises(UsageError):
        wire.inject(b"x", queue=2)
    with pytest.raises(UsageError):
        WirePort(0)


def test_what_is_known_of_a_frame_crosses_a_wire_to_wire_card() -> None:
    """In as a large packet for a driver that takes none: the wire's word about it is used, not repeated."""
    bench = IoBench()
    rx = bench.rx()
    rx.post(15, 9238)
    frame, start, offset = unfinished(tcp(2000))
    bench.wire.inject(frame, meta=FrameMeta(partial=True, csum_start=start, csum_offset=offset, segment=1000, header_length=start + 32))
    bench.run()
    assert [len(packet.data) for packet in rx.receive()] == [1066, 1066]


def test_frames_are_taken_in_the_order_they_were_sent() -> None:
    bench = IoBench()
    tx = bench.tx()
    for n in range(10):
        tx.send(udp(30 + n))
    bench.run()
    assert bench.wire.take() == [udp(30 + n) for n in range(10)]
    assert bench.wire.take() == []


def test_a_frame_of_nothing_is_dropped_and_keeps_no_other() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(2)
    for frame in (b"", udp(40)):
        bench.wire.inject(frame)
    bench.run()
    assert [packet.data for packet in rx.receive()] == [udp(40)]
