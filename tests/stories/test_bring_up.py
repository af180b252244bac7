"""A card comes up with two queue pairs, and traffic flows both ways."""

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from ena_dev.abi.features import FeatureId
from ena_dev.abi.registers import ResetReason
from ena_dev.device.personality import STANDARD_FEATURES, Personality
from ena_dev.driver.adapter import State
from ena_dev.testbed import MAC, Testbed

PEER = "02:00:00:00:00:99"


def udp(source_port: int, payload: bytes = b"hello") -> bytes:
    return bytes(Ether(dst=MAC.hex(":"), src=PEER) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=source_port, dport=7) / payload)


async def test_link_comes_up_and_keep_alives_keep_it_so(bench: Testbed) -> None:
    await bench.adapter.wait_for_link()
    await bench.elapse(3600.0)
    assert bench.adapter.state is State.UP and bench.adapter.link_up
    assert bench.device.resets == [ResetReason.NORMAL]
    told = {name: value for name, value in vars_of(bench.adapter.counters).items() if value}
    assert told == {"interface_up": 1}


def vars_of(counters: object) -> dict[str, int]:
    return {name: getattr(counters, name) for name in counters.__slots__}  # type: ignore[attr-defined]


async def test_frames_spread_over_both_pairs_and_arrive_whole(bench: Testbed) -> None:
    sent = {udp(port) for port in range(1000, 1064)}
    for frame in sent:
        assert bench.wire.inject(frame)
    await bench.elapse(0.01)
    received = [[frame.data for frame in pair.receive_nowait(64)] for pair in bench.adapter.pairs]
    assert set(received[0]) | set(received[1]) == sent
    assert len(received[0]) + len(received[1]) == 64
    assert min(map(len, received)) > 10


async def test_both_directions_of_a_flow_meet_the_same_pair(bench: Testbed) -> None:
    for port in range(2000, 2016):
        there = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=port, dport=7) / b"there"
        back = IP(src="10.0.0.2", dst="10.0.0.1") / UDP(sport=7, dport=port) / b"back"
        for packet in (there, back):
            bench.wire.inject(bytes(Ether(dst=MAC.hex(":"), src=PEER) / packet))
        await bench.elapse(0.01)
        assert sorted(len(pair.receive_nowait()) for pair in bench.adapter.pairs) == [0, 2]


@pytest.mark.parametrize("index", [0, 1])
async def test_frames_are_sent_and_their_buffers_come_back(bench: Testbed, index: int) -> None:
    pair, frame = bench.adapter.pairs[index], udp(7)
    for _ in range(600):  # more than two laps
        assert pair.send_nowait(frame)
        pair.flush()
        await bench.elapse(0.001)
        pair.reap_nowait()
    assert pair.sends_in_flight == 0
    assert all(sent == frame.ljust(60, b"\0") for sent in bench.wire.take())
    assert bench.pool.census()["sent"] == 0


@pytest.mark.usefixtures("virtual_time")
async def test_our_driver_keeps_its_queues_in_host_memory_where_a_card_offers_its_own() -> None:
    async with Testbed(personality=Personality(mac=MAC, features=STANDARD_FEATURES | {FeatureId.LLQ})) as bench:
        assert bench.adapter.pairs[0].send_nowait(frame := udp(7))
        bench.adapter.pairs[0].flush()
        await bench.elapse(0.001)
        assert bench.wire.take() == [frame.ljust(60, b"\0")]
        memory = bench.card.device_memory
        assert memory is not None and not any(memory.read(0, memory.size))


@pytest.mark.parametrize("readless", [False, True])
@pytest.mark.usefixtures("virtual_time")
async def test_a_bench_leaves_nothing_behind(readless: bool) -> None:
    bench = Testbed(queues=4, readless=readless)
    pool = bench.pool.count * 4096
    async with bench:
        assert bench.memory.allocated > pool
    assert bench.memory.allocated == pool
    assert bench.device.resets == [ResetReason.NORMAL, ResetReason.SHUTDOWN]
