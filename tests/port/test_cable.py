from __future__ import annotations

import pytest

from ena_dev.abi.admin import Direction
from ena_dev.abi.eth_io import TxMetaDescriptor
from ena_dev.bus.executor import Executor
from ena_dev.errors import UsageError
from ena_dev.port.cable import CablePort, cable
from tests.support.frames import payload, segments, tcp, udp
from tests.support.io_bench import MAC, UNMASK, IoBench

FAR = MAC[:5] + b"\x02"
TO_FAR = "02:5e:00:00:00:02"


def joined(queues: int = 1) -> tuple[IoBench, IoBench]:
    executor = Executor()
    ends = cable(queues)
    return IoBench(ends[0], executor=executor), IoBench(ends[1], executor=executor, mac=FAR)


def end(bench: IoBench) -> CablePort:
    assert isinstance(bench.port, CablePort)
    return bench.port


def test_a_frame_goes_from_one_memory_into_the_other() -> None:
    near, far = joined()
    rx = far.rx()
    rx.post(4)
    tx = near.tx()
    frame = udp(500, to=TO_FAR)
    tx.send(frame, cuts=(100, 33), req_id=3)
    near.run()
    assert [packet.data for packet in rx.receive()] == [frame]
    assert [done.req_id for done in tx.completions()] == [3]
    assert (end(near).carried, end(near).lost) == (1, 0)


def test_frames_that_find_no_buffer_are_overruns_of_the_far_card() -> None:
    near, far = joined()
    rx = far.rx()
    rx.post(1, 9238)
    tx = near.tx()
    for n in range(3):
        tx.send(udp(100, to=TO_FAR), req_id=n)
    near.run()
    assert len(rx.receive()) == 1
    assert len(tx.completions()) == 3
    assert far.engine.statistics().rx_overruns == end(near).lost == 2
    assert near.engine.statistics().tx_drops == 0


def test_a_burst_interrupts_the_far_driver_once() -> None:
    near, far = joined()
    rx = far.rx()
    rx.post(15)
    rx.unmask(UNMASK)
    far.run()
    tx = near.tx()
    for _ in range(10):
        tx.send(udp(100, to=TO_FAR), ring=False)
    tx.ring()
    near.run()
    assert far.vectors[1].sent == 1
    rx.unmask()
    far.run()
    assert far.vectors[1].sent == 1
    assert len(rx.receive()) == 10


@pytest.mark.parametrize("large", [False, True])
def test_a_large_packet_crosses_whole_or_is_cut_at_the_far_end(large: bool) -> None:
    near, far = joined()
    rx = far.rx(depth=128, entry=32)
    far.engine.set_mtu(1500)
    far.engine.set_large_receive(large)
    rx.post(100, 4096)
    frame = tcp(30000, to=TO_FAR)
    meta = TxMetaDescriptor(l3_header_offset=14, l3_header_length=20, l4_header_words=8, mss_low=1400 & 0x3FF, mss_high=1400 >> 10)
    near.tx(depth=64).send(frame, cuts=(4096,) * 7, meta=meta, l3_protocol=8, l4_protocol=12, tso=1, l4_checksum=1, l3_checksum=1)
    near.run()
    packets = rx.receive()
    if large:
        [packet] = packets
        assert packet.last.segment_size == 1400  # type: ignore[attr-defined]
        assert packet.last.l4_checksum_partial
        assert packet.data[66:] == payload(30000)
    else:
        there = bytes.fromhex(TO_FAR.replace(":", ""))
        assert [packet.data for packet in packets] == [there + segment[6:] for segment in segments(30000, 1400)]


def test_a_cable_with_one_card_loses_frames_and_nothing_else() -> None:
    executor = Executor()
    ends = cable()
    near = IoBench(ends[0], executor=executor)
    tx = near.tx()
    tx.send(udp(40))
    near.run()
    assert len(tx.completions()) == 1
    assert ends[0].lost == 1


def test_a_card_that_is_closed_is_unplugged() -> None:
    near, far = joined()
    far.rx().post(4)
    far.engine.close()
    near.tx().send(udp(40, to=TO_FAR))
    near.run()
    assert end(near).lost == 1
    assert far.engine.counters(Direction.RX)["packets"] == 0


def test_a_cable_has_queues() -> None:
    with pytest.raises(UsageError):
        cable(0)
