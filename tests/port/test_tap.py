from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from ena_dev.abi.admin import Direction
from ena_dev.abi.eth_io import TxMetaDescriptor
from ena_dev.errors import PortError
from ena_dev.port.tap import TapPort
from tests.support.frames import CARD, PEER, payload, segments, tcp, udp, unfinished
from tests.support.io_bench import MAC, IoBench, Packet
from tests.support.private_network import PacketSocket, ip, private_network, up

NAME = "softena-t0"


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    with private_network():
        yield


class Tapped:
    """A card with a TAP, and a socket on the interface's Linux side."""

    def __init__(
        self, *, large: bool = False, mtu: int = 1500, vnet: bool = True, depth: int = 128, size: int = 4096, tun: bool = False
    ) -> None:
        self.tap = TapPort(NAME, vnet=vnet, tun=tun, mac=MAC)
        up(NAME, mtu)
        self.bench = IoBench(self.tap)
        self.rx = self.bench.rx(depth=depth, entry=32)
        self.tx = self.bench.tx(depth=64)
        self.bench.engine.set_mtu(mtu)
        self.bench.engine.set_large_receive(large)
        self.rx.post(depth - 1, size)
        self.linux = PacketSocket(NAME, vnet=vnet)

    def received(self) -> list[Packet]:
        self.bench.run()
        return self.rx.receive()

    def seen(self) -> list[bytes]:
        self.bench.run()
        return [frame[10:] if self.tap_has_header else frame for frame in self.linux.receive()]

    @property
    def tap_has_header(self) -> bool:
        return self.linux._vnet


def large_packet(version: int, length: int = 30000) -> tuple[bytes, tuple[int, int]]:
    frame, start, offset = unfinished(tcp(length, version=version))
    return frame, (start, offset)


def test_frames_cross_both_ways() -> None:
    card = Tapped(vnet=False)
    card.linux.send(udp(100))
    assert [packet.data for packet in card.received()] == [udp(100)]
    card.tx.send(udp(77, to=PEER))
    assert card.seen() == [udp(77, to=PEER)]


def test_short_frames_are_not_padded() -> None:
    card = Tapped()
    card.tx.send(udp(1, to=PEER))
    assert card.seen() == [udp(1, to=PEER)]


@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_leaves_large_packets_whole_for_a_driver_that_takes_them(version: int) -> None:
    card = Tapped(large=True)
    frame, partial = large_packet(version)
    card.linux.send(frame, partial=partial, segment=1400, gso=1 if version == 4 else 4, header=partial[0] + 32)
    [packet] = card.received()
    assert packet.data == frame
    assert packet.last.segment_size == 1400  # type: ignore[attr-defined]
    assert packet.last.l4_checksum_partial


@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_cuts_them_for_all_others_as_the_card_would(version: int) -> None:
    card = Tapped()
    frame, partial = large_packet(version)
    card.linux.send(frame, partial=partial, segment=1400, gso=1 if version == 4 else 4, header=partial[0] + 32)
    packets = card.received()
    assert [packet.data for packet in packets] == segments(30000, 1400, version=version)
    assert all(packet.last.l4_checksum_checked and not packet.last.l4_checksum_error for packet in packets)
    assert not any(packet.last.l4_checksum_partial for packet in packets)


def test_a_large_packet_that_came_before_the_driver_changed_its_mind_is_cut_by_the_card() -> None:
    card = Tapped(large=True)
    frame, partial = large_packet(4)
    card.linux.send(frame, partial=partial, segment=1400, header=66)
    card.bench.engine.set_large_receive(False)
    assert [packet.data for packet in card.received()] == segments(30000, 1400)


@pytest.mark.parametrize("version", [4, 6])
def test_linux_takes_large_packets_from_the_card(version: int) -> None:
    card = Tapped()
    frame = tcp(30000, version=version, to=PEER)
    size = 20 if version == 4 else 40
    meta = TxMetaDescriptor(l3_header_offset=14, l3_header_length=size, l4_header_words=8, mss_low=1400 & 0x3FF, mss_high=1400 >> 10)
    card.tx.send(frame, cuts=(4096,) * 7, meta=meta, l3_protocol=8 if version == 4 else 11, l4_protocol=12, tso=1, l4_checksum=1)
    [seen] = card.seen()
    assert seen == unfinished(frame)[0]


def test_the_sockets_of_linux_accept_what_the_card_sends_and_the_card_what_they_send() -> None:
    """The kernel's own stack is the judge of the checksums, finished or not."""
    card = Tapped(mtu=9000)
    ip(f"addr add 192.0.2.1/24 dev {NAME}")
    ip(f"link set {NAME} address {PEER}")
    ip(f"neigh add 192.0.2.2 lladdr {CARD} dev {NAME}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
        program.bind(("192.0.2.1", 5000))
        program.setblocking(False)
        program.sendto(payload(5000), ("192.0.2.2", 7))
        datagrams = [packet for packet in card.received() if packet.last.l4_protocol == 13]
        assert Ether(datagrams[0].data)[UDP].payload.load == payload(5000)
        assert datagrams[0].last.l4_checksum_checked and not datagrams[0].last.l4_checksum_error
        answer = bytes(Ether(src=CARD, dst=PEER) / IP(src="192.0.2.2", dst="192.0.2.1") / UDP(sport=7, dport=5000) / Raw(payload(3000)))
        for n, partial in enumerate((None, 1, 0)):
            offloads = {} if partial is None else {"l3_protocol": 8, "l4_protocol": 13, "l4_checksum": 1, "l4_checksum_partial": partial}
            frame = unfinished(answer)[0] if partial else answer
            card.tx.send(frame, req_id=n, meta=TxMetaDescriptor(l3_header_offset=14, l3_header_length=20), **offloads)
            card.bench.run()
            assert program.recv(1 << 16) == payload(3000)


def test_nothing_is_cut_off_when_the_posted_buffers_are_too_small() -> None:
    card = Tapped(vnet=False, mtu=9000, depth=16)
    for n in range(4):
        card.linux.send(udp(8000 + n))
    assert [packet.data for packet in card.received()] == [udp(8000 + n) for n in range(4)]


def test_frames_stay_in_the_interface_while_no_buffers_are_posted() -> None:
    card = Tapped(vnet=False, depth=16)
    frames = [udp(40 + n) for n in range(40)]
    for frame in frames:
        card.linux.send(frame)
    got = []
    for _ in range(5):
        got += [packet.data for packet in card.received()]
        card.rx.post(len(got) + 15 - card.rx.tail, 4096)
    assert got == frames
    assert card.bench.engine.statistics().rx_overruns == 0


def test_an_interface_that_is_down_costs_frames_and_nothing_else() -> None:
    card = Tapped()
    ip(f"link set {NAME} down")
    card.tx.send(udp(60), req_id=1)
    card.bench.run()
    assert len(card.tx.completions()) == 1
    assert card.bench.engine.counters(Direction.TX)["drop_port_error"] == 1
    assert card.tap.counters()["refused"] == 1
    ip(f"link set {NAME} up")
    card.tx.send(udp(60, to=PEER), req_id=2)
    assert udp(60, to=PEER) in card.seen()
    card.linux.send(udp(61))
    assert [packet.data for packet in card.received()] == [udp(61)]
    assert not card.bench.engine.port_gone


def test_an_interface_that_is_removed_is_noticed() -> None:
    card = Tapped()
    ip(f"link del {NAME}")
    card.bench.run()
    assert card.bench.engine.port_gone
    card.tx.send(udp(60))
    card.bench.run()
    assert len(card.tx.completions()) == 1


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [4096, 10])
def test_a_tun_has_an_ethernet_header_on_the_card_side_only(version: int, size: int) -> None:
    card = Tapped(tun=True, size=size)  # in buffers of 10 bytes the made-up header is split too
    packet = udp(50, version=version)[14:]
    card.linux.send(packet)
    [got] = card.received()
    kind = b"\x08\x00" if version == 4 else b"\x86\xdd"
    assert got.data == MAC + bytes.fromhex("0200000000fe") + kind + packet
    assert got.last.l4_checksum_checked and not got.last.l4_checksum_error
    card.tx.send(bytes(12) + kind + packet)
    assert card.seen() == [packet]


def test_a_tun_carries_large_packets_and_partial_checksums_too() -> None:
    card = Tapped(tun=True, large=True)
    frame, (start, offset) = large_packet(4)
    card.linux.send(frame[14:], partial=(start - 14, offset), segment=1400, header=52)
    [got] = card.received()
    assert got.data[14:] == frame[14:]
    assert got.last.segment_size == 1400  # type: ignore[attr-defined]
    whole = tcp(20000, to=PEER)
    meta = TxMetaDescriptor(l3_header_offset=14, l3_header_length=20, l4_header_words=8, mss_low=1400 & 0x3FF, mss_high=1400 >> 10)
    card.tx.send(whole, meta=meta, l3_protocol=8, l4_protocol=12, tso=1, l4_checksum=1)
    assert card.seen() == [unfinished(whole)[0][14:]]


# -- opening -------------------------------------------------------------------------------------------------------------


def test_an_interface_in_use_is_refused_with_its_reason() -> None:
    first = TapPort(NAME)
    with pytest.raises(PortError, match="in use by another process"):
        TapPort(NAME)
    first.close()
    TapPort(NAME).close()


def test_an_interface_of_another_kind_is_refused_with_what_to_do() -> None:
    ip(f"tuntap add {NAME} mode tap")
    with pytest.raises(PortError, match=f"ip tuntap add {NAME} mode tun"):
        TapPort(NAME, tun=True)
    with pytest.raises(PortError, match="mode tap multi_queue"):
        TapPort(NAME, 2)
    TapPort(NAME, 1).close()


def test_a_persistent_interface_with_several_queues_serves_one_too() -> None:
    ip(f"tuntap add {NAME} mode tap multi_queue")
    TapPort(NAME, 1).close()
    port = TapPort(NAME, 4)
    assert len({port.fileno(queue) for queue in range(4)}) == 4
    port.close()


def test_several_queues_are_not_shared_with_another_process() -> None:
    """The kernel would deal frames out to both. It shows its queues in a /sys of this network."""
    program = f"""if True:
        from ena_dev.port.tap import TapPort
        first = TapPort({NAME!r}, 2)
        for queues in (1, 2):
            try:
                TapPort({NAME!r}, queues)
            except Exception as error:
                print(error)
        first.close()
        TapPort({NAME!r}, 3).close()
        print("free again")"""
    fresh = 'mount -t sysfs none /sys && exec "$0" -c "$1"'
    command = ["unshare", "--mount", "--net", "sh", "-c", fresh, sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.stdout == f"{NAME}: in use by another process\n" * 2 + "free again\n", done.stderr


@pytest.mark.parametrize("name", ["a-name-beyond-fifteen", "", "a/b", "tap%d", "a b", "eth0:1", "tab\t"])
def test_a_bad_name_is_refused_before_the_kernel_is_asked(name: str) -> None:
    with pytest.raises(PortError, match="1 to 15 characters"):
        TapPort(name)


def test_an_unprivileged_user_is_told_what_to_do() -> None:
    """EPERM of the interface itself: /dev/net/tun can be opened, the interface can't be made."""
    program = f"from ena_dev.port.tap import TapPort\ntry: TapPort({NAME!r})\nexcept Exception as e: print(e)"
    command = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "setpriv" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert "grant CAP_NET_ADMIN" in done.stdout
