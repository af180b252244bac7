from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from ena_dev.abi.admin import Direction
from tests.support.io_bench import MAC, PEER, IoBench


def udp(length: int = 26, sport: int = 1000) -> bytes:
    return bytes(Ether(src=PEER, dst=MAC) / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=sport, dport=2000) / Raw(bytes(i & 0xFF for i in range(length))))


def test_a_frame_sent_reaches_the_wire_and_is_completed() -> None:
    bench = IoBench()
    tx = bench.tx()
    tx.send(udp(100), req_id=5)
    bench.run()
    assert bench.wire.take() == [udp(100)]
    [done] = tx.completions()
    assert (done.req_id, done.status, done.sq_index, done.sq_head) == (5, 0, 0, 1)


def test_a_frame_on_the_wire_reaches_the_posted_buffer() -> None:
    bench = IoBench()
    rx = bench.rx()
    rx.post(4)
    bench.wire.inject(udp(100))
    bench.run()
    [packet] = rx.receive()
    assert packet.data == udp(100)
    assert packet.last.l4_checksum_checked and not packet.last.l4_checksum_error and not packet.last.l3_checksum_error
