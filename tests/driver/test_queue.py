"""Queue pairs against a device played by hand: descriptors are read by the contract's tables, completions written by them.

The pair must survive any device: what breaks the contract becomes a fault with its reset reason, and every buffer comes back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ena_dev.abi.eth_io import RxCompletion, RxDescriptor, TxCompletion, TxDescriptor, TxMetaDescriptor
from ena_dev.abi.registers import ResetReason
from ena_dev.bus.executor import Executor
from ena_dev.bus.interrupts import MsixVector
from ena_dev.bus.memory import Memory
from ena_dev.bus.mmio import RegisterBar
from ena_dev.driver.pool import BufferPool
from ena_dev.driver.queue import QueuePair
from ena_dev.errors import UsageError
from ena_dev.packet import build

DEPTH = 8
BUFFERS = 64
MACS = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02"


class Hand:
    """Plays the device: reads descriptors, writes completions, keeps its own indices and phases."""

    def __init__(self) -> None:
        self.memory = Memory(1 << 22)
        self.pool = BufferPool(self.memory, BUFFERS)
        executor, bar = Executor(), RegisterBar()
        self.vector = MsixVector(executor, 1)
        self.pair = QueuePair(executor, self.memory, self.pool, bar, self.vector, 0, rx_depth=DEPTH, tx_depth=DEPTH)
        self.pair.start(0x1004, 0x1000, 0x2004)
        self.rx = self.tx = self.rx_done = self.tx_done = 0

    def posted(self) -> RxDescriptor:
        """The next buffer that the driver posted."""
        record = RxDescriptor.parse(self.memory.read(self.pair.rings.rx_sq + self.rx % DEPTH * 16, 16))
        assert record.phase == 1 - self.rx // DEPTH % 2
        self.rx += 1
        return record

    def receive(self, data: bytes, **fields: int) -> None:
        """Complete a packet in as many posted buffers as it takes."""
        pieces = [data[at : at + 4096] for at in range(0, len(data), 4096)]
        for number, piece in enumerate(pieces):
            buffer = self.posted()
            self.memory.write(buffer.buffer.low | buffer.buffer.high << 32, piece)
            self.complete_rx(length=len(piece), req_id=buffer.req_id, first=number == 0, last=number == len(pieces) - 1, **fields)

    def complete_rx(self, **fields: int) -> None:
        record = RxCompletion(phase=1 - self.rx_done // DEPTH % 2, **fields)
        self.memory.write(self.pair.rings.rx_cq + self.rx_done % DEPTH * 16, bytes(record))
        self.rx_done += 1

    def sent(self) -> tuple[TxMetaDescriptor | None, list[TxDescriptor], bytes]:
        """Meta descriptor, data descriptors and bytes of the next packet."""
        meta, data, frame = None, [], b""
        while not data or not data[-1].last:
            raw = self.memory.read(self.pair.rings.tx_sq + self.tx % DEPTH * 16, 16)
            record = TxDescriptor.parse(raw)
            assert record.phase == 1 - self.tx // DEPTH % 2
            assert record.first == (meta is None and not data)
            self.tx += 1
            if record.meta:
                meta = TxMetaDescriptor.parse(raw)
                continue
            data.append(record)
            frame += self.memory.read(record.address, record.length)
        return meta, data, frame

    def complete_tx(self, req_id: int) -> None:
        record = TxCompletion(req_id=req_id, phase=1 - self.tx_done // DEPTH % 2)
        self.memory.write(self.pair.rings.tx_cq + self.tx_done % DEPTH * 8, bytes(record))
        self.tx_done += 1

    def whole(self) -> bool:
        """After a stop: every buffer is back where it belongs."""
        self.pair.stop()
        return self.pool.census() == {"pool": BUFFERS, "posted": 0, "burst": 0, "parked": 0, "sent": 0} and not self.pool.mistakes


@pytest.fixture
def hand() -> Iterator[Hand]:
    yield Hand()


async def test_all_but_one_slot_is_posted_and_refilled_over_many_laps(hand: Hand) -> None:
    for number in range(5 * DEPTH):
        hand.receive(number.to_bytes(2) * 40)
        assert [frame.data for frame in hand.pair.receive_nowait()] == [number.to_bytes(2) * 40]
        assert hand.pair.replenish() == 1
    assert hand.pool.census()["posted"] == DEPTH - 1
    assert hand.whole()


async def test_a_packet_over_three_buffers_is_one_frame(hand: Hand) -> None:
    data = random.Random(1).randbytes(10000)
    hand.receive(data, hash=0x1234)
    [frame] = hand.pair.receive_nowait()
    assert (frame.data, frame.hash) == (data, 0x1234)


async def test_a_packet_whose_end_is_not_there_yet_waits(hand: Hand) -> None:
    buffer = hand.posted()
    hand.complete_rx(length=100, req_id=buffer.req_id, first=1, last=0)
    assert hand.pair.receive_nowait() == []
    buffer = hand.posted()
    hand.complete_rx(length=50, req_id=buffer.req_id, first=0, last=1)
    [frame] = hand.pair.receive_nowait()
    assert len(frame.data) == 150


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"l3_protocol": 8, "l4_protocol": 12, "l4_checksum_checked": 1}, "good"),
        ({"l3_protocol": 8, "l4_protocol": 13, "l4_checksum_checked": 1, "l4_checksum_error": 1}, "bad"),
        ({"l3_protocol": 8, "l4_protocol": 12}, "unchecked"),
        ({"l3_protocol": 11, "l4_protocol": 0, "l4_checksum_checked": 1}, "unchecked"),
        ({"l3_protocol": 8, "l4_protocol": 13, "l4_checksum_checked": 1, "ipv4_fragment": 1}, "unchecked"),
    ],
)
async def test_checksum_verdicts_by_the_contracts_truth_table(hand: Hand, fields: dict[str, int], verdict: str) -> None:
    hand.receive(bytes(60), **fields)
    assert hand.pair.receive_nowait()[0].checksum == verdict


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"length": 60, "req_id": 500, "first": 1, "last": 1}, ResetReason.INV_RX_REQ_ID),
        ({"length": 60, "req_id": DEPTH, "first": 1, "last": 1}, ResetReason.INV_RX_REQ_ID),
        ({"length": 60, "req_id": 1, "first": 0, "last": 1}, ResetReason.RX_DESCRIPTOR_MALFORMED),
        ({"length": 0, "req_id": 1, "first": 1, "last": 1}, ResetReason.RX_DESCRIPTOR_MALFORMED),
        ({"length": 4097, "req_id": 1, "first": 1, "last": 1}, ResetReason.RX_DESCRIPTOR_MALFORMED),
        ({"length": 4096, "offset": 1, "req_id": 1, "first": 1, "last": 1}, ResetReason.RX_DESCRIPTOR_MALFORMED),
    ],
)
async def test_a_broken_rx_completion_is_a_fault_and_loses_nothing(hand: Hand, fields: dict[str, int], reason: ResetReason) -> None:
    hand.complete_rx(**fields)
    assert hand.pair.receive_nowait() == []
    assert hand.pair.fault == reason
    assert not hand.pair.send_nowait(bytes(60))
    assert hand.whole()


@pytest.mark.parametrize("second", [{"length": 60, "req_id": 500}, {"length": 0}, {"length": 5000}])
async def test_a_packet_that_breaks_off_gives_its_buffers_back(hand: Hand, second: dict[str, int]) -> None:
    hand.complete_rx(length=60, req_id=hand.posted().req_id, first=1, last=0)
    hand.complete_rx(**{"req_id": hand.posted().req_id, "last": 1} | second)
    assert hand.pair.receive_nowait() == []
    assert hand.pair.fault
    assert hand.whole()


async def test_the_same_buffer_twice_is_a_fault(hand: Hand) -> None:
    buffer = hand.posted()
    for _ in range(2):
        hand.complete_rx(length=60, req_id=buffer.req_id, first=1, last=1)
    assert len(hand.pair.receive_nowait()) == 1
    assert hand.pair.fault == ResetReason.INV_RX_REQ_ID
    assert hand.whole()


async def test_a_plain_frame_goes_out_as_it_is(hand: Hand) -> None:
    assert hand.pair.send_nowait(data := random.Random(2).randbytes(9000))
    meta, descriptors, frame = hand.sent()
    assert (meta, frame) == (None, data)
    assert [bool(d.completion_requested) for d in descriptors] == [True, False, False]
    assert all(d.l4_checksum == d.tso == 0 for d in descriptors)


async def test_offloads_are_asked_for_by_the_contracts_words(hand: Hand) -> None:
    frame = build.ethernet(*MACS, build.tcp("10.0.0.1", "10.0.0.2", 1, 2, bytes(3000)))
    assert hand.pair.send_nowait(frame, segment=1448)
    meta, [descriptor], sent = hand.sent()
    assert meta is not None
    assert (meta.l3_header_offset, meta.l3_header_length, meta.l4_header_words) == (14, 20, 5)
    assert meta.mss_high << 10 | meta.mss_low == 1448
    assert (descriptor.tso, descriptor.l3_checksum, descriptor.l4_checksum, descriptor.l4_checksum_partial) == (1, 1, 1, 0)
    assert (descriptor.l3_protocol, descriptor.l4_protocol, sent) == (8, 12, frame)


async def test_a_meta_descriptor_is_sent_only_when_it_changes(hand: Hand) -> None:
    frame = build.ethernet(*MACS, build.udp("fd00::1", "fd00::2", 1, 2, bytes(10)))
    metas = []
    for _ in range(2):
        assert hand.pair.send_nowait(frame, partial=True)
        metas.append(hand.sent()[0])
    assert [meta is None for meta in metas] == [False, True]


async def test_what_finds_no_room_waits_in_order(hand: Hand) -> None:
    frames = [number.to_bytes(1) * 60 for number in range(20)]
    assert all(hand.pair.send_nowait(frame) for frame in frames)
    seen = []
    while len(seen) < len(frames):
        _, [descriptor], frame = hand.sent()
        seen.append(frame)
        hand.complete_tx(descriptor.req_id)
        assert hand.pair.reap_nowait() == 1
    assert seen == frames
    assert hand.whole()


async def test_a_completion_nobody_waits_for_is_a_fault(hand: Hand) -> None:
    assert hand.pair.send_nowait(bytes(60))
    _, [descriptor], _ = hand.sent()
    hand.complete_tx((descriptor.req_id + 1) % DEPTH)
    assert hand.pair.reap_nowait() == 0
    assert hand.pair.fault == ResetReason.INV_TX_REQ_ID
    assert hand.whole()


async def test_the_oldest_send_is_known_until_it_completes(hand: Hand) -> None:
    assert hand.pair.oldest_send() is None
    assert hand.pair.send_nowait(bytes(60))
    _, [descriptor], _ = hand.sent()
    oldest = hand.pair.oldest_send()
    assert oldest is not None
    assert oldest[0] == descriptor.req_id
    assert abs(oldest[1] - asyncio.get_running_loop().time()) < 1
    hand.complete_tx(descriptor.req_id)
    assert hand.pair.pending_unseen()
    hand.pair.reap_nowait()
    assert hand.pair.oldest_send() is None


async def test_frames_that_can_not_be_sent_are_a_callers_bug(hand: Hand) -> None:
    for data, options in ((bytes(13), {}), (bytes(17 * 4096 + 1), {}), (bytes(60), {"partial": True}), (bytes(60), {"segment": 1000})):
        with pytest.raises(UsageError):
            hand.pair.send_nowait(data, **options)
    assert hand.whole()


def sized(length: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=length, max_size=length)


@given(rings=sized(DEPTH * 16), sends=st.integers(0, 12), completions=sized(DEPTH * 8))
@settings(max_examples=150)
def test_no_device_can_make_the_pair_lose_a_buffer(rings: bytes, sends: int, completions: bytes) -> None:
    async def story() -> None:
        hand = Hand()
        for _ in range(sends):
            hand.pair.send_nowait(bytes(60))
        hand.memory.write(hand.pair.rings.rx_cq, rings)
        hand.memory.write(hand.pair.rings.tx_cq, completions)
        for _ in range(3):
            hand.pair.receive_nowait()
            hand.pair.reap_nowait()
            hand.pair.replenish()
        assert hand.whole()

    asyncio.run(story())


async def test_a_frame_that_never_fits_the_ring_is_refused_and_blocks_nothing(hand: Hand) -> None:
    with pytest.raises(UsageError):
        hand.pair.send_nowait(bytes(DEPTH * 4096))
    assert hand.pair.send_nowait(bytes(60))
    hand.pair.flush()
    assert hand.sent()[2] == bytes(60)
    assert hand.whole()
