"""What passes a port, read back from the file's blocks by dpkt and scapy: bytes, order, direction, time."""

from __future__ import annotations

import io
import time

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapNgReader

from ena_dev.abi.eth_io import L3Protocol, L4Protocol, TxMetaDescriptor
from ena_dev.bus.executor import Executor
from ena_dev.errors import UsageError
from ena_dev.port.cable import cable
from ena_dev.port.meta import FrameMeta
from ena_dev.port.port import Port
from ena_dev.port.recorder import RecordingPort
from ena_dev.port.recording import interface, section, statistics
from ena_dev.port.wire import WirePort
from tests.support.frames import tcp, udp, unfinished
from tests.support.io_bench import MAC, IoBench, RxRing, TxRing

IN, OUT = 1, 2
SMALL = 1 << 17  # bytes of a tape that wraps soon


def read(blocks: bytes) -> list[tuple[int, bytes]]:
    """Direction and bytes of each frame, on which both readers agree."""
    file = section() + interface("eth-card") + blocks + statistics(0, 0)
    seen = [(meta.direction, data) for data, meta in RawPcapNgReader(io.BytesIO(file))]
    assert [bytes(data) for _, data in dpkt.pcapng.Reader(io.BytesIO(file))] == [data for _, data in seen]
    return seen


class Recorded:
    """A card with one queue pair on a wire that is recorded."""

    def __init__(self, tape: int = SMALL, **wire: bool) -> None:
        self.wire = WirePort(**wire)
        self.port = RecordingPort(self.wire, tape=tape)
        self.bench = IoBench(self.port)
        self.rx: RxRing = self.bench.rx(depth=64)
        self.tx: TxRing = self.bench.tx(depth=64)
        self.rx.post(63, 9300)

    def receive(self, frame: bytes, meta: FrameMeta | None = None) -> None:
        assert self.wire.inject(frame, meta=meta)
        self.bench.run()
        self.rx.receive()
        self.rx.post(1, 9300)

    def send(self, frame: bytes, cuts: tuple[int, ...] = ()) -> None:
        self.tx.send(frame, cuts=cuts)
        self.bench.run()
        self.tx.completions()


def test_both_directions_stand_in_the_file_as_they_passed() -> None:
    card = Recorded()
    there, back = udp(200), udp(9000)
    card.send(there, cuts=(10, 90))
    card.receive(back)
    assert read(card.port.take()) == [(OUT, there), (IN, back)]
    assert card.wire.take() == [there]
    assert card.port.take() == b""
    assert (card.port.frames, card.port.lost) == (2, 0)


def test_a_received_frame_reaches_the_driver_through_the_tape_unchanged() -> None:
    card = Recorded()
    frame = udp(5000)
    card.wire.inject(frame)
    card.bench.run()
    [packet] = card.rx.receive()
    assert packet.data == frame


def test_a_frame_that_the_card_drops_was_still_at_its_port() -> None:
    card = Recorded()
    other = udp(100, to="02:5e:00:00:00:77")
    card.receive(other)
    assert read(card.port.take()) == [(IN, other)]


def test_a_frame_that_the_port_refuses_did_not_go_out() -> None:
    card = Recorded(1 << 21)
    frame = udp(100)
    for _ in range(4100):  # a wire holds 4096
        card.send(frame)
    assert card.port.frames == 4096
    assert len(read(card.port.take())) == 4096


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("make", [tcp, udp])
def test_an_unfinished_checksum_is_finished_in_the_file_alone(make: object, version: int) -> None:
    card = Recorded(checksum=True)
    whole = make(301, version=version)  # type: ignore[operator]
    partial, start, offset = unfinished(whole)
    card.receive(partial, FrameMeta(partial=True, csum_start=start, csum_offset=offset))
    assert read(card.port.take()) == [(IN, whole)]


def test_a_large_packet_that_goes_out_is_one_frame_with_a_true_checksum() -> None:
    card = Recorded(checksum=True, segmentation=True)
    large = tcp(40_000)
    meta = TxMetaDescriptor(l3_header_length=20, l3_header_offset=14, l4_header_words=8, mss_high=1448 >> 10, mss_low=1448 & 0x3FF)
    offloads = {"tso": 1, "l3_checksum": 1, "l4_checksum": 1, "l3_protocol": L3Protocol.IPV4, "l4_protocol": L4Protocol.TCP}
    card.tx.send(large, cuts=(9000,) * 4, meta=meta, **offloads)
    card.bench.run()
    [(direction, seen)] = read(card.port.take())
    assert (direction, len(seen)) == (OUT, len(large))
    fresh = Ether(seen)
    del fresh[TCP].chksum, fresh[IP].chksum
    assert bytes(fresh) == seen
    [(sent, kept)] = card.wire.take_with_meta()
    assert (kept.partial, kept.segment) == (True, 1448)
    assert sent != seen


def test_a_cable_is_recorded_at_either_end() -> None:
    executor, (left, right) = Executor(), cable()
    near, far = RecordingPort(left, tape=SMALL), RecordingPort(right, tape=SMALL)
    sender = IoBench(near, executor=executor)
    receiver = IoBench(far, executor=executor, mac=MAC[:5] + b"\x02")
    rx = receiver.rx()
    rx.post(2)
    frame, lost = udp(500, to="02:5e:00:00:00:02"), udp(300, to="02:5e:00:00:00:03")
    tx = sender.tx()
    tx.send(frame)
    tx.send(lost)
    sender.run()
    assert [packet.data for packet in rx.receive()] == [frame]
    assert read(near.take()) == [(OUT, frame), (OUT, lost)]
    assert read(far.take()) == [(IN, frame), (IN, lost)]
    receiver.engine.close()
    tx.send(frame)
    sender.run()
    assert read(near.take()) == [(OUT, frame)]
    assert far.take() == b""


def test_a_full_tape_lets_frames_pass_and_counts_them() -> None:
    card = Recorded()
    frame = udp(8000)
    for _ in range(100):
        card.send(frame)
        card.receive(frame)
    assert card.port.lost
    assert card.port.frames + card.port.lost == 200
    assert len(card.wire.take()) == 100
    assert {data for _, data in read(card.port.take())} == {frame}
    card.send(frame)
    assert read(card.port.take()) == [(OUT, frame)]


def test_times_are_those_of_the_day_in_nanoseconds_and_never_go_back() -> None:
    card = Recorded()
    before = time.time_ns()
    for _ in range(20):
        card.send(udp(60))
    after = time.time_ns()
    file = section() + interface("x") + card.port.take()
    stamps = [meta.tshigh << 32 | meta.tslow for _, meta in RawPcapNgReader(io.BytesIO(file))]
    assert stamps == sorted(stamps)
    assert before - 10**7 <= stamps[0] < stamps[-1] <= after + 10**7  # the two clocks may be stepped apart by a little
    assert {meta.tsresol for _, meta in RawPcapNgReader(io.BytesIO(file))} == {10**9}


@settings(max_examples=25)
@given(st.integers(10, 14), st.lists(st.tuples(st.sampled_from(["in", "out", "take"]), st.integers(1, 9000)), max_size=40))
def test_any_traffic_comes_back_as_it_passed_around_the_end_of_the_tape_too(before: int, traffic: list[tuple[str, int]]) -> None:
    card, passed, seen = Recorded(), [], []
    for _ in range(before):  # the tape ends in the 15th of these
        card.send(udp(9000))
        card.port.take()
    for what, length in traffic:
        if what == "take":
            seen += read(card.port.take())
            continue
        frame, recorded = udp(length), card.port.frames
        if what == "in":
            card.receive(frame)
        else:
            card.send(frame)
            frame = frame.ljust(60, b"\0")  # a wire's shortest
        if card.port.frames > recorded:
            passed.append((IN if what == "in" else OUT, frame))
    seen += read(card.port.take())
    assert seen == passed
    assert card.port.frames + card.port.lost == before + sum(what != "take" for what, _ in traffic)


@pytest.mark.parametrize("tape", [0, 1 << 10, 3 << 20])
def test_a_tape_of_no_use_is_refused(tape: int) -> None:
    with pytest.raises(UsageError, match="power of two"):
        RecordingPort(WirePort(), tape=tape)


def test_a_recorded_port_has_the_queues_of_the_port() -> None:
    port: Port = RecordingPort(WirePort(3))
    assert port.queues == 3
