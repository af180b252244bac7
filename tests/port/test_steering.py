from __future__ import annotations

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from ena_dev.abi.admin import Direction
from ena_dev.device.interfaces import RssSpec
from ena_dev.packet.toeplitz import SYMMETRIC_KEY
from ena_dev.port.tap import TapPort
from tests.support.frames import CARD, PEER, network
from tests.support.io_bench import MAC, IoBench
from tests.support.private_network import PacketSocket, private_network, up

NAME = "softena-t1"
KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    with private_network():
        yield


def flows() -> list[bytes]:
    ethernet = Ether(src=PEER, dst=CARD)
    frames = []
    for n in range(64):
        for version in (4, 6):
            for layer in (TCP, UDP):
                frames.append(bytes(ethernet / network(version) / layer(sport=1000 + n, dport=80) / Raw(b"some payload")))
    frames.append(bytes(ethernet / network(4, options=[b"\x01" * 8]) / UDP(sport=5, dport=6) / Raw(b"options before the ports")))
    frames.append(bytes(ethernet / network(4, flags="MF") / UDP(sport=5, dport=6) / Raw(b"first fragment, no hash.")))
    frames.append(bytes(ethernet / network(4) / ICMP() / Raw(b"no ports")))
    frames.append(bytes(ethernet / ARP()))
    return frames


@pytest.mark.parametrize(("key", "initial"), [(SYMMETRIC_KEY, 0), (KEY, 0xFFFFFFFF)])
def test_the_kernel_picks_the_queue_that_the_card_would(key: bytes, initial: int) -> None:
    port = TapPort(NAME, 4)
    up(NAME)
    bench = IoBench(port)
    rings = [bench.rx(20 + n, depth=256, vector=n + 1) for n in range(4)]
    for ring in rings:
        ring.post(255)
    bench.engine.set_rss(RssSpec(key, initial, tuple(20 + n * 7 % 4 for n in range(128))))
    if not port.steered:
        pytest.skip("the kernel takes no steering program here: CAP_BPF, or root, is needed")
    linux = PacketSocket(NAME)
    frames = flows()
    for frame in frames:
        linux.send(frame)
    bench.run()
    taken = [len(ring.receive()) for ring in rings]
    assert sum(taken) == len(frames)
    assert min(taken) > 30
    assert bench.engine.counters(Direction.RX)["copied"] == 0


def test_a_new_table_counts_from_the_next_frame_on() -> None:
    port = TapPort(NAME, 2)
    up(NAME)
    port.steer(SYMMETRIC_KEY, 0, [1])
    if not port.steered:
        pytest.skip("the kernel takes no steering program here: CAP_BPF, or root, is needed")
    bench = IoBench(port, mac=MAC)
    first, second = bench.rx(0), bench.rx(1)
    first.post(15)
    second.post(15)
    linux = PacketSocket(NAME)
    for table, ring in (((1,), second), ((0,), first)):
        bench.engine.set_rss(RssSpec(SYMMETRIC_KEY, 0, table))
        linux.send(flows()[0])
        bench.run()
        assert len(ring.receive()) == 1
    assert bench.engine.counters(Direction.RX)["copied"] == 0


def test_without_permission_the_card_copies_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    import ena_dev.port.steering as steering

    def refuse(command: int, attributes: bytes) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(steering, "_bpf", refuse)
    port = TapPort(NAME, 2)
    up(NAME)
    bench = IoBench(port)
    first, second = bench.rx(0), bench.rx(1)
    first.post(15)
    second.post(15)
    bench.engine.set_rss(RssSpec(SYMMETRIC_KEY, 0, (1,)))
    assert not port.steered
    linux = PacketSocket(NAME)
    for frame in flows()[:8]:
        linux.send(frame)
    bench.run()
    assert len(second.receive()) == 8
