from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from ena_dev.abi.admin import Direction
from ena_dev.abi.eth_io import L3Protocol, L4Protocol, TxMetaDescriptor
from ena_dev.device.allowances import Allowances
from ena_dev.device.interfaces import DataFaults
from ena_dev.port.meta import FrameMeta
from ena_dev.port.wire import WirePort
from tests.support.buckets import IN, OUT, Load, Model
from tests.support.frames import CARD, PEER, tcp, udp, unfinished
from tests.support.io_bench import IoBench

MSS = 1448
MS = 10**6
Arrival = tuple[int, int, int]  # ns after the one before, way, bytes of payload


@cache
def whole(length: int) -> bytes:
    return unfinished(tcp(length))[0]


def packet(tag: int, length: int) -> bytes:
    """A TCP packet with its name at the end, its checksum left to the far end."""
    return whole(length)[:-4] + tag.to_bytes(4)


def load(tag: int, length: int) -> Load:
    packets = max(1, -(-length // MSS))
    return Load(tag, 8 * (len(whole(length)) + (packets - 1) * (len(whole(length)) - length)), packets)


@dataclass
class Lab:
    """A card with allowances, far ends that name what came when, and virtual time in ns."""

    allowances: Allowances

    def __post_init__(self) -> None:
        self.bench = IoBench(WirePort(checksum=True, segmentation=True))
        self.bench.engine.set_large_receive(True)
        self.rx, self.tx = self.bench.rx(depth=2048, entry=32), self.bench.tx(depth=256)
        self.rx.post(1000, 4096)
        self.now = 0
        self.gone: list[tuple[int, int, int]] = []
        self.bench.engine.shaper.set(self.allowances)
        self.settle()

    def settle(self) -> None:
        """Do what is due now, and note what came out."""
        self.bench.executor.run_until_idle(self.now / 1e9)
        self.gone += [(self.now, IN, int.from_bytes(each.data[-4:])) for each in self.rx.receive()]
        self.gone += [(self.now, OUT, int.from_bytes(each[-4:])) for each in self.bench.wire.take()]

    def until(self, end: int) -> None:
        while (due := self.bench.executor.deadline) is not None and round(due * 1e9) <= end:
            assert round(due * 1e9) > self.now, "it spins"
            self.now = round(due * 1e9)
            self.settle()
        self.now = end
        self.settle()

    def arrive(self, way: int, tag: int, length: int) -> None:
        large = length > MSS
        if way == IN:
            cuts = {"segment": MSS, "header_length": len(whole(length)) - length} if large else {}
            self.bench.wire.inject(packet(tag, length), meta=FrameMeta(partial=True, csum_start=34, csum_offset=16, **cuts))
        else:
            meta = TxMetaDescriptor(l3_header_offset=14, l3_header_length=20, mss_low=MSS & 0x3FF, mss_high=MSS >> 10)
            offloads = {"l3_protocol": L3Protocol.IPV4, "l4_protocol": L4Protocol.TCP, "l4_checksum": 1, "tso": int(large)}
            self.tx.send(packet(tag, length), meta=meta, **offloads)
        self.settle()
        assert len(self.tx.completions()) == (way == OUT), "a packet that waits is completed all the same"

    def drops(self) -> int:
        return sum(self.bench.engine.counters(way)["drop_allowance"] for way in (Direction.RX, Direction.TX))

    def over(self) -> list[int]:
        stats = self.bench.engine.shaper.statistics()
        return [stats.bw_in_allowance_exceeded, stats.bw_out_allowance_exceeded, stats.pps_allowance_exceeded]


def play(allowances: Allowances, arrivals: Sequence[Arrival], end: int = 60_000 * MS) -> tuple[Lab, Model]:
    """The same arrivals at a card and at the model of its buckets, until `end` ns after."""
    lab, model = Lab(allowances), Model(allowances)
    at = 0
    for tag, (gap, way, length) in enumerate(arrivals):
        at += gap
        lab.until(at)
        lab.arrive(way, tag, length)
        model.arrive(at, way, load(tag, length))
    lab.until(at + end)
    model.until(at + end)
    return lab, model


rates = st.sampled_from([0, 10**6, 33_333_333, 10**8, 10**9])
allowed = st.builds(
    Allowances, bw_in=rates, bw_out=rates, pps=st.sampled_from([0, 0, 100, 9_999, 10**6]), max_wait=st.sampled_from([0, 0.001, 0.05, 1])
)
gaps = st.one_of(st.just(0), st.integers(0, 100_000), st.integers(0, 20 * MS))
BOTH_WAYS = [(0, way, 60_000) for way in (IN, OUT)] * 3  # one waits for bandwidth, the other for packets a second
SMALL_AFTER_LARGE = [(0, IN, 60_000), (0, IN, 60_000), (0, OUT, 4)]  # it waits only if that is not for bandwidth
arrivals = st.lists(st.tuples(gaps, st.sampled_from([IN, OUT]), st.sampled_from([4, 600, MSS, 10_000, 60_000])), max_size=60)


@settings(max_examples=120)
@example(allowances=Allowances(bw_in=10**6, pps=1000, max_wait=1), arrivals=BOTH_WAYS)
@example(allowances=Allowances(bw_out=10**6, pps=1000, max_wait=1), arrivals=BOTH_WAYS)
@example(allowances=Allowances(bw_in=10**6, pps=1000, max_wait=1), arrivals=SMALL_AFTER_LARGE)
@example(allowances=Allowances(pps=1000, max_wait=1), arrivals=SMALL_AFTER_LARGE)
@given(allowances=allowed, arrivals=arrivals)
def test_packets_go_when_the_buckets_by_definition_let_them(allowances: Allowances, arrivals: list[Arrival]) -> None:
    lab, model = play(allowances, arrivals)
    assert sorted(lab.gone) == sorted(model.gone)
    assert (lab.drops(), lab.over()) == (model.dropped, model.over)


def most_at_once(rate: int, least: int, sizes: Sequence[int]) -> int:
    """Tokens of the bucket, or the largest packet."""
    return max([rate // 200, least, *sizes])


@settings(max_examples=80)
@given(allowances=allowed, arrivals=arrivals, end=st.sampled_from([0, 10 * MS, 60_000 * MS]))
def test_no_window_shows_more_than_rate_and_burst_and_no_packet_is_lost_or_overtaken(
    allowances: Allowances, arrivals: list[Arrival], end: int
) -> None:
    lab, model = play(allowances, arrivals, end)
    loads = [load(tag, length) for tag, (_, _, length) in enumerate(arrivals)]
    limits = [
        (allowances.bw_in, 8 * 65536, [(at, loads[tag].bits) for at, way, tag in lab.gone if way == IN]),
        (allowances.bw_out, 8 * 65536, [(at, loads[tag].bits) for at, way, tag in lab.gone if way == OUT]),
        (allowances.pps, 64, [(at, loads[tag].packets) for at, _, tag in lab.gone]),
    ]
    for rate, least, seen in limits:
        burst = most_at_once(rate, least, [size for _, size in seen])
        for first in range(len(seen)) if rate else ():
            total = 0
            for at, size in seen[first:]:
                total += size
                assert total * 10**9 <= rate * (at - seen[first][0]) + burst * 10**9
    for way in (IN, OUT):
        tags = [tag for _, of, tag in lab.gone if of == way]
        assert tags == sorted(tags), "order within a way"
    assert len(lab.gone) + sum(map(len, model.waiting)) + lab.drops() == len(arrivals)


def test_a_card_without_limits_lets_all_pass_and_counts_nothing() -> None:
    lab, _ = play(Allowances(), [(0, way, 60_000) for way in (IN, OUT)] * 20)
    assert [at for at, _, _ in lab.gone] == [0] * 40
    assert lab.over() == [0, 0, 0]
    assert lab.bench.executor.deadline is None


def test_a_large_packet_counts_as_its_segments() -> None:
    lab, _ = play(Allowances(pps=1000, max_wait=0), [(0, IN, 60_000), (0, IN, 60_000)])
    assert len(lab.gone) == 1
    assert lab.over() == [0, 0, 42]


def test_a_packet_larger_than_the_buckets_goes_when_they_are_full() -> None:
    """60,000 bytes in segments of 100: 600 packets, and 66 bytes of headers in each."""
    lab = Lab(Allowances(bw_in=10**6, pps=1000, max_wait=1))
    large = FrameMeta(partial=True, csum_start=34, csum_offset=16, segment=100, header_length=66)
    for tag in range(2):
        lab.bench.wire.inject(packet(tag, 60_000), meta=large)
        lab.settle()
    lab.until(2000 * MS)
    assert lab.gone == [(0, IN, 0), (8 * 600 * 166 * 1000, IN, 1)]
    assert lab.over() == [600, 0, 600]


def test_nobody_is_overtaken_when_the_card_is_late() -> None:
    lab = Lab(Allowances(pps=100_000))
    for tag in range(800):
        lab.bench.wire.inject(packet(tag, 4))
    lab.settle()
    lab.now += 1000 * MS  # and more wait than one turn of the task releases
    lab.bench.wire.inject(packet(800, 4))
    lab.settle()
    assert [tag for _, _, tag in lab.gone] == list(range(801))
    assert lab.over() == [0, 0, 300]


def test_packets_wait_for_max_wait_and_are_dropped_beyond() -> None:
    """1 Mbit/s: 64 KiB at once, then a packet of 1,514 bytes each 12.1 ms."""
    arrivals = [(0, OUT, MSS)] * 52
    lab, _ = play(Allowances(bw_out=10**6, max_wait=0.05), arrivals)
    waited = [at for at, _, _ in lab.gone if at]
    assert len(lab.gone) - len(waited) == 43
    assert len(waited) == 4
    assert max(waited) <= 50 * MS
    assert lab.drops() == 5
    assert lab.over() == [0, 9, 0]
    assert lab.bench.engine.statistics().tx_drops == 5


def test_new_limits_hold_for_what_waits_and_none_let_it_go_in_order() -> None:
    lab = Lab(Allowances(bw_in=10**6, max_wait=10))
    for tag in range(60):
        lab.arrive(IN, tag, MSS)
    before = len(lab.gone)
    lab.bench.engine.shaper.set(Allowances())
    lab.arrive(IN, 60, MSS)
    assert before == 43
    assert [tag for _, _, tag in lab.gone] == list(range(61))
    assert lab.bench.executor.deadline is None


claims = st.tuples(st.sampled_from([4, MSS, 60_000]), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))


@settings(max_examples=60)
@given(allowances=allowed, frames=st.lists(claims, max_size=20))
def test_whatever_a_port_says_of_segments_every_frame_goes_or_is_dropped(
    allowances: Allowances, frames: list[tuple[int, int, int]]
) -> None:
    bench = IoBench()
    bench.rx(depth=1024, entry=32).post(900, 4096)
    bench.engine.set_large_receive(True)
    bench.engine.shaper.set(allowances)
    for length, segment, headers in frames:
        said = FrameMeta(partial=True, csum_start=34, csum_offset=16, segment=segment, header_length=headers)
        bench.wire.inject(packet(0, length), meta=said)
        bench.run(0.001)
    bench.run(10**6)
    counted = bench.engine.counters(Direction.RX)
    assert counted["packets"] + sum(counted[name] for name in counted if name.startswith("drop_")) == len(frames)
    assert bench.executor.deadline is None, "nothing waits any more"


def test_what_waits_is_bounded_whatever_the_limits_say() -> None:
    bench = IoBench()
    bench.rx(depth=4096).post(4000, 128)
    bench.engine.shaper.set(Allowances(pps=1000, max_wait=10))
    frame = udp(4)
    for _ in range(3000):
        bench.wire.inject(frame)
    bench.run()
    assert bench.engine.counters(Direction.RX)["drop_allowance"] == 3000 - 64 - 2048
    assert bench.engine.statistics().rx_drops == 3000 - 64 - 2048


def test_the_network_of_faults_lies_beyond_the_allowances() -> None:
    """What comes in is delayed before it is shaped, what goes out is shaped before it is lost."""
    lab = Lab(Allowances(bw_in=10**6, bw_out=10**6, max_wait=10))
    lab.bench.engine.set_faults(DataFaults(loss=1.0))
    for tag in range(60):
        lab.arrive(IN, tag, MSS)
        lab.arrive(OUT, tag, MSS)
    lab.until(1000 * MS)
    assert lab.gone == []
    assert lab.over()[IN] == 0
    assert lab.over()[OUT] == 17
    lab.bench.engine.set_faults(DataFaults(delay=0.1))
    for tag in range(44):
        lab.arrive(IN, tag, MSS)
    lab.until(1099 * MS)
    assert lab.over()[IN] == 0
    lab.until(1100 * MS)
    assert lab.over()[IN] == 1


def test_a_card_pulled_out_with_packets_waiting_lets_go_of_them() -> None:
    lab = Lab(Allowances(pps=1, max_wait=10))
    for tag in range(70):
        lab.arrive(OUT, tag, 4)
    lab.bench.engine.close()
    lab.bench.executor.run_until_idle(100.0)
    assert len(lab.bench.wire.take()) == 0


def test_packets_that_waited_for_a_card_that_was_reset_are_overruns() -> None:
    lab = Lab(Allowances(pps=10, max_wait=10))
    for tag in range(66):
        lab.arrive(IN, tag, 4)
    lab.bench.engine.stop()
    lab.bench.run(1.0)
    assert lab.bench.engine.statistics().rx_overruns == 2
    assert lab.over() == [0, 0, 2], "a reset forgets nothing"


@pytest.mark.parametrize("service", ["169.254.169.253", "169.254.0.1"])
def test_questions_to_services_of_the_host_have_a_rate_of_their_own(service: str) -> None:
    bench = IoBench()
    rx, tx = bench.rx(depth=256), bench.tx(depth=256)
    rx.post(250)
    bench.engine.shaper.set(Allowances(linklocal=10))
    question, answer = addressed("192.0.2.1", service), addressed(service, "192.0.2.1")
    for _ in range(15):
        tx.send(question)
        tx.send(addressed("192.0.2.1", "192.0.2.2"))
        bench.wire.inject(answer)
        bench.run()
    assert len(bench.wire.take()) == 15 + 10
    assert len(rx.receive()) == 15
    bench.run(0.5)
    for _ in range(15):
        tx.send(question)
    bench.run()
    assert len(bench.wire.take()) == 5
    assert bench.engine.shaper.statistics().linklocal_allowance_exceeded == 15
    assert bench.engine.statistics().tx_drops == 15


def test_services_have_an_ipv6_network_too() -> None:
    bench = IoBench()
    tx = bench.tx(depth=64)
    bench.engine.shaper.set(Allowances(linklocal=1))
    for to in ("fd00:ec2::253", "fd00:ec2::254", "fd00:ec3::253", "fe80::1"):
        tx.send(addressed("2001:db8::1", to))
    bench.run()
    assert len(bench.wire.take()) == 3


def addressed(source: str, destination: str) -> bytes:
    network = IPv6 if ":" in source else IP
    return bytes(Ether(dst=CARD, src=PEER) / network(src=source, dst=destination) / UDP() / b"question......")
