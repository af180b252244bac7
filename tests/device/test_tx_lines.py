"""Packets from lines in device memory, against a writer made from the contract: every frame byte for byte, every nonsense survived."""

from __future__ import annotations

import struct
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ena_dev.abi.admin import Direction
from ena_dev.bus.device_memory import DeviceMemory
from ena_dev.device.interfaces import LineLayout
from ena_dev.errors import BusError, UsageError
from tests.support.frames import tcp, udp
from tests.support.io_bench import IoBench
from tests.support.llq_writer import FIRST, LAST, META, NO_META, PHASE, REQUEST, LlqRing, lines_of, llq, llq_bench

LAYOUTS = [(line, before, single) for line in (128, 256) for before in (1, 2, 4, 8) for single in (False, True)]
ARP = bytes.fromhex("ffffffffffff025e000000010806") + bytes(range(46))
EXAMPLE = struct.pack("<8I", 0x05B04000, 0, 0, 0, 0x19000000, 0x01400000, 0, 0x3C000000) + ARP + bytes(36)


def sent(bench: IoBench) -> list[bytes]:
    bench.run()
    return bench.wire.take()


def ids(ring: LlqRing) -> list[int]:
    return [done.req_id for done in ring.completions()]


def test_the_worked_example_is_understood_and_the_writer_writes_it() -> None:
    bench = llq_bench()
    ring = llq(bench, cached_meta=False)
    ring.store(EXAMPLE)
    ring.ring()
    assert sent(bench) == [ARP]
    assert ids(ring) == [5]
    descriptors = [(0x00B04000 | META | FIRST, 0, 0, 0), (LAST | REQUEST, 5 << 22, 0, 60 << 24)]
    assert lines_of(descriptors, ARP, entry=128, before=2, following=8, depth=16, tail=0) == [EXAMPLE]


@st.composite
def packets(draw: st.DrawFn, room: int) -> tuple[bytes, int, list[int], bool]:
    """A frame, how much of it is pushed, how the rest is cut, and whether a meta descriptor comes with it."""
    size = draw(st.integers(60, 3000))
    header = draw(st.integers(0, min(room, size)))
    cuts = draw(st.lists(st.integers(0, size - header), max_size=17))
    while sum(cuts) > size - header:
        cuts.pop()
    return bytes(n * 7 + size & 0xFF for n in range(size)), header, cuts, draw(st.booleans())


@settings(max_examples=100)
@given(data=st.data(), layout=st.sampled_from(LAYOUTS), depth=st.sampled_from([32, 64]))
def test_any_frame_split_anyhow_arrives_byte_for_byte(data: st.DataObject, layout: tuple[int, int, bool], depth: int) -> None:
    line, before, single = layout
    bench = llq_bench()
    ring = llq(bench, depth=depth, line=line, before=before, single=single, offset=0x8000)
    expected: list[tuple[int, bytes]] = []
    waiting = 0
    for n, (frame, header, cuts, meta) in enumerate(data.draw(st.lists(packets(ring.room), min_size=1, max_size=12))):
        waiting += ring.push(frame, header=header, cuts=cuts, req_id=n * 97, meta=NO_META if meta else None, ring=False)
        expected.append((n * 97, frame))
        if waiting > depth - 20:
            ring.ring()
            assert sent(bench) == [frame for _, frame in expected]
            assert ids(ring) == [number for number, _ in expected]
            expected, waiting = [], 0
    ring.ring()
    assert sent(bench) == [frame for _, frame in expected]
    assert ids(ring) == [number for number, _ in expected]
    assert bench.engine.counters(Direction.TX)["bad_doorbells"] == 0


def test_lines_wrap_at_16_bits() -> None:
    bench = llq_bench(0x80000)
    ring = llq(bench, depth=4096)
    for lap in range(17):
        image = lines_of([(FIRST | LAST | REQUEST, 0, 0, 60 << 24)], ARP, entry=128, before=2, following=8, depth=4096, tail=ring.tail)
        assert len(image) == 1
        ring.mapping[: 4096 * 128] = image[0] * 4096
        ring.tail += 4096
        ring.ring()
        bench.run()
        assert len(bench.wire.take()) == len(ring.completions()) == 4096, lap


def test_a_data_descriptor_behind_the_first_line_still_names_the_header_in_it() -> None:
    """One descriptor before the header, and that is the meta descriptor."""
    bench = llq_bench()
    ring = llq(bench, before=1, cached_meta=False)
    assert ring.push(udp(200), header=100, meta=NO_META) == 2
    assert sent(bench) == [udp(200)]


def test_a_tail_beyond_the_queue_sends_what_the_queue_holds() -> None:
    bench = llq_bench()
    ring = llq(bench, depth=4)
    for n in range(4):
        ring.push(udp(60 + n), header=64, ring=False)
    ring.ring(4 + 8)
    assert sent(bench) == [udp(60 + n) for n in range(4)]


def tso(ring: LlqRing, *, meta: bool) -> None:
    """A large packet of 3000 bytes of payload; its meta descriptor says 1000 bytes a segment."""
    words = (0x00B04000, 0, 1000 << 22 | 8 << 16 | 14 << 8 | 20, 0)
    ring.push(tcp(3000), header=54, meta=words if meta else None, word1=8 | 1 << 7 | 12 << 8 | 1 << 13 | 1 << 14)


def test_cached_meta_serves_the_packets_that_follow() -> None:
    bench = llq_bench()
    ring = llq(bench)
    tso(ring, meta=True)
    assert len(sent(bench)) == 3
    tso(ring, meta=False)
    assert len(sent(bench)) == 3


def test_uncached_meta_serves_its_own_packet_only() -> None:
    bench = llq_bench()
    ring = llq(bench, cached_meta=False)
    tso(ring, meta=True)
    assert len(sent(bench)) == 3
    tso(ring, meta=False)
    assert sent(bench) == []
    assert len(ring.completions()) == 2
    assert bench.engine.counters(Direction.TX)["drop_offload"] == 1


def test_a_meta_descriptor_without_valid_fields_is_none() -> None:
    bench = llq_bench()
    ring = llq(bench, single=True)
    ring.push(udp(80), header=96, meta=(0, 0, 0xFFFFFFFF, 0))
    assert sent(bench) == [udp(80)]


def test_a_line_of_an_older_lap_is_not_there_yet() -> None:
    bench = llq_bench()
    ring = llq(bench, depth=4)
    for _ in range(4):
        ring.push(udp(60), header=90)
    assert len(sent(bench)) == 4
    ring.ring(5)
    assert sent(bench) == []
    assert bench.engine.counters(Direction.TX)["bad_doorbells"] == 1
    ring.push(udp(70), header=90)
    assert sent(bench) == [udp(70)]


def test_a_packet_waits_for_its_further_lines() -> None:
    bench = llq_bench()
    ring = llq(bench, single=True)
    lines = ring.push(udp(500), header=50, cuts=(100, 100, 100), req_id=7, ring=False)
    ring.ring(lines - 1)
    assert sent(bench) == []
    ring.ring()
    assert sent(bench) == [udp(500)]
    assert ids(ring) == [7]


BROKEN = {
    "a header beyond the line": [(FIRST | LAST | REQUEST | PHASE, 0, 0, 97 << 24)],
    "the longest header": [(FIRST | LAST | REQUEST | PHASE, 0, 0, 255 << 24)],
    "an old descriptor behind a new one": [(FIRST | REQUEST | PHASE, 0, 0, 60 << 24), (LAST, 0, 0, 0)],
    "the beginning again": [(FIRST | REQUEST | PHASE, 0, 0, 60 << 24), (FIRST | LAST | PHASE, 0, 0, 0)],
    "no beginning": [(LAST | REQUEST | PHASE, 0, 0, 60 << 24)],
    "a meta descriptor behind the data": [(FIRST | REQUEST | PHASE, 0, 0, 60 << 24), (META | LAST | PHASE, 0, 0, 0)],
    "no end": [(FIRST | REQUEST | PHASE, 0, 0, 60 << 24), (PHASE, 0, 0, 0)],
}


@pytest.mark.parametrize("descriptors", BROKEN.values(), ids=BROKEN)
def test_a_broken_packet_is_dropped_and_completed_and_the_next_one_sent(descriptors: list[tuple[int, int, int, int]]) -> None:
    bench = llq_bench()
    ring = llq(bench)
    image = b"".join(struct.pack("<4I", *words) for words in descriptors).ljust(32, b"\0") + ARP
    ring.store(image.ljust(128, b"\xee"))
    ring.push(udp(80), header=96, req_id=3)
    assert sent(bench) == [udp(80)]
    assert ids(ring) == [0, 3]
    assert bench.engine.counters(Direction.TX)["drop_malformed"] == 1


def test_a_queue_full_of_one_packet_without_end_is_given_back() -> None:
    bench = llq_bench()
    ring = llq(bench, depth=4)
    for n in range(4):
        ring.store(struct.pack("<4I", PHASE | (FIRST | REQUEST if n == 0 else 0), 6 << 22, 0, 0).ljust(128, b"\0"))
    ring.ring()
    assert sent(bench) == []
    assert ids(ring) == [6]
    ring.push(udp(80), header=96)
    assert sent(bench) == [udp(80)]


def test_what_an_earlier_queue_left_is_not_sent_again() -> None:
    bench = llq_bench()
    ring = llq(bench)
    ring.push(udp(80), header=96)
    assert len(sent(bench)) == 1
    ring.destroy()
    again = llq(bench)
    again.ring(1)
    assert sent(bench) == []


def test_bursts_beyond_what_the_card_asked_for_are_counted_and_sent() -> None:
    bench = llq_bench()
    ring = llq(bench, burst=4)
    for count, long in ((4, 0), (5, 1), (1, 1), (6, 2)):
        for _ in range(count):
            ring.push(udp(80), header=96, ring=False)
        ring.ring()
        assert len(sent(bench)) == count
        assert bench.engine.counters(Direction.TX)["long_bursts"] == long


@pytest.mark.parametrize("wrong", [
    {"entry": 192}, {"before_header": 0}, {"before_header": 3}, {"following": 4}, {"offset": 64}, {"offset": 0x40000}, {"offset": 0x3FF80},
])  # fmt: skip
def test_only_lines_that_lie_in_device_memory_make_a_queue(wrong: dict[str, int]) -> None:
    bench = llq_bench()
    bench.engine.create_cq(0, None, 2, 16, bench.memory.allocate(4096))
    fields: dict[str, int] = {"offset": 0, "entry": 128, "before_header": 2, "following": 8} | wrong
    with pytest.raises((UsageError, BusError)):
        bench.engine.create_llq(0, 0, 16, LineLayout(cached_meta=True, **fields))
    with pytest.raises(UsageError):
        IoBench().engine.create_llq(0, 0, 16, LineLayout(0, 128, 2, 8, True))


CANARY = b"\xc5" * 16
PIECES = st.one_of(
    st.binary(min_size=16, max_size=16).filter(lambda piece: 0xC5 not in piece),
    st.builds(
        lambda flags, low, length, header: struct.pack("<4I", flags << 23 | low << 14 | length, 0, 0, header << 24),
        st.integers(0, 63), st.integers(0, 3), st.sampled_from([0, 0, 0, 60]), st.integers(0, 255).filter(lambda n: n != 0xC5),
    ),
)  # fmt: skip


@settings(max_examples=150)
@given(layout=st.sampled_from(LAYOUTS), pieces=st.lists(PIECES, max_size=60), tails=st.lists(st.integers(0, 0xFFFF), max_size=6))
def test_no_lines_make_the_card_read_beyond_its_queue(layout: tuple[int, int, bool], pieces: list[bytes], tails: list[int]) -> None:
    line, before, single = layout
    memory = DeviceMemory(0x4000)
    memory.write(0, CANARY * (0x4000 // 16))
    bench = IoBench(device_memory=memory)
    ring = llq(bench, depth=4, line=line, before=before, single=single, offset=0x1000)
    for n, piece in enumerate(pieces):
        at = 0x1000 + n * 16 % (4 * line)
        ring.mapping[at : at + 16] = piece
    for tail in (*tails, 4):
        ring.ring(tail)
        assert not any(CANARY[:1] in frame for frame in sent(bench))
    assert memory.read(0x1000 + 4 * line, 16) == memory.read(0x1000 - 16, 16) == CANARY


def test_what_changes_while_it_is_read_is_one_or_the_other() -> None:
    """Another thread flips the header's length under the card: what was judged is what is sent."""
    bench = llq_bench(budget=1)
    ring = llq(bench, depth=4, offset=0x200)
    lengths = [60 << 24, 255 << 24]
    done = threading.Event()

    def flip() -> None:
        n = 0
        while not done.is_set():
            n ^= 1
            for index in range(4):
                at = ring.at(index) + 12
                ring.mapping[at : at + 4] = lengths[n].to_bytes(4, "little")

    flipper = threading.Thread(target=flip, daemon=True)
    flipper.start()
    try:
        frames = []
        for _ in range(300):
            for _ in range(4):
                ring.push(ARP, header=60, ring=False)
            ring.ring()
            frames += sent(bench)
            assert len(ring.completions()) == 4
    finally:
        done.set()
        flipper.join()
    assert set(frames) <= {ARP}
    assert len(frames) + bench.engine.counters(Direction.TX)["drop_malformed"] == 1200
