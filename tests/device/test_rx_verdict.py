from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from ena_dev.abi.admin import Direction
from ena_dev.abi.eth_io import RxCompletionExtended
from ena_dev.device.interfaces import RssSpec
from ena_dev.packet.toeplitz import SYMMETRIC_KEY
from ena_dev.port.meta import FrameMeta
from ena_dev.port.wire import WirePort
from tests.support.frames import CARD, PEER, network, payload, segments, tcp, udp, unfinished
from tests.support.io_bench import IoBench, Packet, RxRing

SAMPLE_KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")


def one(frame: bytes, meta: FrameMeta | None = None, *, large: bool = False, mtu: int | None = None) -> Packet:
    [packet] = several(frame, meta, large=large, mtu=mtu)
    return packet


def several(frame: bytes, meta: FrameMeta | None = None, *, large: bool = False, mtu: int | None = None) -> list[Packet]:
    bench = IoBench()
    rx = bench.rx(depth=128, entry=32)
    if mtu is not None:
        bench.engine.set_mtu(mtu)
    bench.engine.set_large_receive(large)
    rx.post(100, 4096)
    assert bench.wire.inject(frame, meta=meta)
    bench.run()
    return rx.receive()


def verdict(packet: Packet) -> dict[str, int]:
    """The set fields of the last completion that tell of the packet."""
    names = ("l3_protocol", "l4_protocol", "l3_checksum_error", "l4_checksum_error", "ipv4_fragment", "l4_checksum_checked")
    return {name: getattr(packet.last, name) for name in names if getattr(packet.last, name)}


GOOD = {
    "tcp4": (tcp(100), {"l3_protocol": 8, "l4_protocol": 12, "l4_checksum_checked": 1}),
    "udp4": (udp(100), {"l3_protocol": 8, "l4_protocol": 13, "l4_checksum_checked": 1}),
    "tcp6": (tcp(99, version=6), {"l3_protocol": 11, "l4_protocol": 12, "l4_checksum_checked": 1}),
    "udp6": (udp(99, version=6), {"l3_protocol": 11, "l4_protocol": 13, "l4_checksum_checked": 1}),
    "arp": (bytes(Ether(src=PEER, dst=CARD) / ARP()) + bytes(18), {}),
    "icmp": (bytes(Ether(src=PEER, dst=CARD) / network(4) / ICMP() / Raw(payload(30))), {"l3_protocol": 8}),
    "tagged": (
        bytes(Ether(src=PEER, dst=CARD) / Dot1Q(vlan=9) / network(4) / UDP() / Raw(payload(30))),
        {"l3_protocol": 8, "l4_protocol": 13, "l4_checksum_checked": 1},
    ),
    "udp4 without checksum": (
        bytes(Ether(src=PEER, dst=CARD) / network(4) / UDP(chksum=0) / Raw(payload(30))),
        {"l3_protocol": 8, "l4_protocol": 13, "l4_checksum_checked": 1},
    ),
    "padded": (udp(1) + bytes(17), {"l3_protocol": 8, "l4_protocol": 13, "l4_checksum_checked": 1}),
    "fragment": (
        bytes(Ether(src=PEER, dst=CARD) / network(4, frag=10) / Raw(payload(30))),
        {"l3_protocol": 8, "ipv4_fragment": 1},
    ),
    "first fragment": (
        bytes(Ether(src=PEER, dst=CARD) / network(4, flags="MF") / UDP() / Raw(payload(32))),
        {"l3_protocol": 8, "l4_protocol": 13, "ipv4_fragment": 1},
    ),
    "v6 fragment": (
        bytes(Ether(src=PEER, dst=CARD) / network(6) / IPv6ExtHdrFragment(offset=5, nh=17) / Raw(payload(30))),
        {"l3_protocol": 11},
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_packets_are_described(name: str) -> None:
    frame, expected = GOOD[name]
    packet = one(frame)
    assert packet.data == frame
    assert verdict(packet) == expected


@pytest.mark.parametrize("name", ["tcp4", "udp4", "tcp6", "udp6"])
@pytest.mark.parametrize("at", [-1, 42, -50])
def test_a_wrong_checksum_is_told(name: str, at: int) -> None:
    frame = bytearray(GOOD[name][0])
    frame[at] ^= 0x40
    packet = one(bytes(frame))
    assert verdict(packet) == GOOD[name][1] | {"l4_checksum_error": 1}


def test_a_wrong_ipv4_header_checksum_is_told() -> None:
    frame = bytearray(udp(100))
    frame[24] ^= 1
    assert one(bytes(frame)).last.l3_checksum_error


def test_what_the_port_has_checked_is_believed() -> None:
    frame = bytearray(udp(100))
    frame[-1] ^= 1
    assert verdict(one(bytes(frame), FrameMeta(checked=True))) == GOOD["udp4"][1]


@pytest.mark.parametrize("name", ["tcp4", "udp4", "tcp6", "udp6"])
@pytest.mark.parametrize("large", [False, True])
def test_a_partial_checksum_is_finished_or_passed_on(name: str, large: bool) -> None:
    frame, start, offset = unfinished(GOOD[name][0])
    packet = one(frame, FrameMeta(partial=True, csum_start=start, csum_offset=offset), large=large)
    assert verdict(packet) == GOOD[name][1]
    assert packet.data == (frame if large else GOOD[name][0])
    assert packet.last.l4_checksum_partial == large


def test_padding_is_no_part_of_a_partial_checksum() -> None:
    frame, start, offset = unfinished(udp(20))
    packet = one(frame + b"padding", FrameMeta(partial=True, csum_start=start, csum_offset=offset))
    assert packet.data == udp(20) + b"padding"


def test_a_partial_checksum_of_something_unknown_is_finished_all_the_same() -> None:
    inner = udp(60)
    frame, start, offset = unfinished(inner)
    wrapped = inner[:12] + b"\x88\xb5" + bytes(4) + frame[14:]  # an ethertype for experiments before the IP header
    packet = one(wrapped, FrameMeta(partial=True, csum_start=start + 4, csum_offset=offset), large=True)
    assert packet.data == inner[:12] + b"\x88\xb5" + bytes(4) + inner[14:]
    assert not packet.last.l4_checksum_partial


@pytest.mark.parametrize("meta", [FrameMeta(partial=True, csum_start=60000), FrameMeta(partial=True, csum_start=90, csum_offset=9)])
def test_a_partial_checksum_that_lies_elsewhere_drops_the_frame(meta: FrameMeta) -> None:
    assert several(udp(60), meta) == []


@pytest.mark.parametrize("version", [4, 6])
def test_a_large_packet_stays_whole_for_a_driver_that_takes_it(version: int) -> None:
    frame, start, offset = unfinished(tcp(60000, version=version))
    packet = one(frame, FrameMeta(partial=True, csum_start=start, csum_offset=offset, segment=1400, version=version), large=True, mtu=1500)
    assert packet.data == frame
    last = packet.last
    assert isinstance(last, RxCompletionExtended)
    assert (last.segment_size, last.l4_checksum_partial, last.l4_checksum_checked) == (1400, 1, 1)
    assert len(packet.completions) == -(-len(frame) // 4096)


@pytest.mark.parametrize("version", [4, 6])
def test_a_large_packet_is_cut_for_a_driver_that_takes_none(version: int) -> None:
    frame, start, offset = unfinished(tcp(20000, version=version, flags="PA"))
    meta = FrameMeta(partial=True, csum_start=start, csum_offset=offset, segment=1400, version=version)
    packets = several(frame, meta, mtu=1500)
    assert [packet.data for packet in packets] == segments(20000, 1400, version=version)
    for packet in packets:
        assert verdict(packet) == GOOD[f"tcp{version}"][1]
        assert not packet.last.l4_checksum_partial
        assert packet.last.segment_size == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("queue", [1, 2])
def test_a_large_packet_beyond_what_the_buffers_of_one_packet_hold_is_cut(queue: int) -> None:
    """Where it was read, and where its hash leads."""
    bench = IoBench()
    rings = {index: bench.rx(index, depth=256, entry=32, vector=index) for index in (1, 2)}
    bench.engine.set_large_receive(True)
    bench.engine.set_rss(RssSpec(SYMMETRIC_KEY, 0, (queue,)))
    for ring in rings.values():
        ring.post(250, 2048)
    frame, start, offset = unfinished(tcp(50000))
    bench.wire.inject(frame, meta=FrameMeta(partial=True, csum_start=start, csum_offset=offset, segment=1400))
    bench.run()
    packets = rings[queue].receive()
    assert [packet.data for packet in packets] == segments(50000, 1400)
    assert not any(packet.last.l4_checksum_partial for packet in packets)


def test_a_large_packet_that_is_no_tcp_is_dropped() -> None:
    assert several(udp(3000), FrameMeta(segment=1000), large=True) == []
    assert several(udp(3000), FrameMeta(segment=1000)) == []


# -- steering ------------------------------------------------------------------------------------------------------------


def spread(
    queues: int, *, port_queues: int = 1, table: tuple[int, ...] = (), key: bytes = SYMMETRIC_KEY, initial: int = 0
) -> tuple[IoBench, list[RxRing]]:
    bench = IoBench(WirePort(port_queues))
    rings = [bench.rx(10 + n, depth=256, vector=n + 1) for n in range(queues)]
    for ring in rings:
        ring.post(200)
    bench.engine.set_rss(RssSpec(key, initial, table))
    return bench, rings


VECTORS = [  # public verification values of the hash
    ("66.9.149.187", 2794, "161.142.100.80", 1766, 0x51CCC178),
    ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xC626B0EA),
    ("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x40207D3D),
]


@pytest.mark.parametrize(("source", "sport", "destination", "dport", "expected"), VECTORS)
def test_the_published_hash_values_are_told_and_used(source: str, sport: int, destination: str, dport: int, expected: int) -> None:
    bench, rings = spread(4, table=tuple(10 + n % 4 for n in range(128)), key=SAMPLE_KEY)
    layer = IP(src=source, dst=destination) if ip_address(source).version == 4 else IPv6(src=source, dst=destination)
    bench.wire.inject(bytes(Ether(src=PEER, dst=CARD) / layer / UDP(sport=sport, dport=dport) / Raw(b"hello")))
    bench.run()
    taken = [ring.receive() for ring in rings]
    assert [len(packets) for packets in taken] == [int(n == expected % 128 % 4) for n in range(4)]
    assert taken[expected % 128 % 4][0].last.hash == expected


def test_the_start_value_of_linux_is_mixed_in() -> None:
    bench, [rx] = spread(1, key=SAMPLE_KEY[::-1], initial=0xFFFFFFFF)
    packet = Ether(src=PEER, dst=CARD) / IP(src="66.9.149.187", dst="161.142.100.80") / UDP(sport=2794, dport=1766) / Raw(b"hello")
    bench.wire.inject(bytes(packet))
    bench.run()
    assert rx.receive()[0].last.hash == 0x3DC77368


def test_flows_spread_and_both_directions_meet_on_one_queue() -> None:
    bench, rings = spread(4, table=tuple(10 + n % 4 for n in range(128)))
    for port in range(1000, 1200):
        bench.wire.inject(udp(20, sport=port, dport=2000))
    bench.run()
    homes: dict[int, int] = {}
    for n, ring in enumerate(rings):
        for packet in ring.receive():
            homes[int.from_bytes(packet.data[34:36])] = n
    assert len(homes) == 200
    assert all(20 < list(homes.values()).count(n) < 90 for n in range(4))


def test_frames_read_on_one_queue_are_copied_to_the_queue_of_their_hash() -> None:
    bench, rings = spread(2, port_queues=2, table=(11,))
    for n in range(5):
        bench.wire.inject(udp(40 + n), queue=0)
    bench.run()
    assert rings[0].receive() == []
    assert [packet.data for packet in rings[1].receive()] == [udp(40 + n) for n in range(5)]
    assert bench.engine.queue_counters(Direction.RX, 11)["copied"] == 5


def test_a_queue_without_buffers_loses_what_is_copied_to_it() -> None:
    bench = IoBench()
    first, second = bench.rx(10), bench.rx(11)
    first.post(8)
    bench.engine.set_rss(RssSpec(SYMMETRIC_KEY, 0, (11,)))
    bench.wire.inject(udp(40))
    bench.run()
    assert bench.engine.statistics().rx_overruns == 1
    second.post(8)
    bench.wire.inject(udp(41))
    bench.run()
    assert [packet.data for packet in second.receive()] == [udp(41)]


@pytest.mark.parametrize("name", ["arp", "icmp", "fragment", "first fragment", "v6 fragment"])
def test_what_has_no_ports_goes_to_the_first_queue(name: str) -> None:
    bench, rings = spread(2, table=(11,))
    bench.wire.inject(GOOD[name][0])
    bench.run()
    [packet] = rings[0].receive()
    assert packet.last.hash == 0


def test_a_table_entry_that_names_no_queue_means_the_first() -> None:
    bench, rings = spread(2, table=(77, 300))
    bench.wire.inject(udp(40))
    bench.run()
    assert len(rings[0].receive()) == 1


@settings(max_examples=200)
@given(
    frame=st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda base, at, junk: base[:at] + junk + base[at + len(junk) :],
            st.sampled_from([tcp(3000), tcp(3000, version=6), udp(100)]),
            st.integers(12, 70),
            st.binary(min_size=1, max_size=4),
        ),
    ),
    meta=st.builds(
        FrameMeta,
        partial=st.booleans(),
        checked=st.booleans(),
        csum_start=st.integers(0, 0xFFFF),
        csum_offset=st.integers(0, 0xFFFF),
        segment=st.sampled_from([0, 1, 8, 1000, 0xFFFF]),
        version=st.sampled_from([4, 6]),
        header_length=st.integers(0, 0xFFFF),
    ),
    large=st.booleans(),
    size=st.integers(1, 200),
)
def test_no_frame_can_hurt_the_card(frame: bytes, meta: FrameMeta, large: bool, size: int) -> None:
    bench = IoBench()
    rx = bench.rx(depth=64, entry=32)
    bench.engine.set_promiscuous(True)
    bench.engine.set_large_receive(large)
    room = bench.memory.allocate(64 * size)
    for n in range(63):
        rx.post_at(room + n * size, size)
    rx.ring()
    bench.wire.inject(frame, meta=meta)
    bench.run()
    for packet in rx.receive():
        assert len(packet.completions) <= 17
    bench.engine.stop()
    rx = bench.rx()
    rx.post(10)
    bench.wire.inject(udp(50))
    bench.run()
    assert [packet.data for packet in rx.receive()] == [udp(50)]
