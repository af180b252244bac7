"""A card's IO side on a real TAP, in the network namespace of a test."""

from __future__ import annotations

import pytest

from ena_dev.port.tap import TapPort
from tests.support.io_bench import MAC, IoBench, Packet
from tests.support.private_network import PacketSocket, up

NAME = "softena-t0"


class Tapped:
    """A card with a TAP, and a socket on the interface's Linux side. `io_uring`: whether frames go in bursts."""

    io_uring = True

    def __init__(
        self, *, large: bool = False, mtu: int = 1500, vnet: bool = True, depth: int = 128, size: int = 4096, tun: bool = False
    ) -> None:
        self.tap = TapPort(NAME, vnet=vnet, tun=tun, mac=MAC, io_uring=self.io_uring)
        if self.io_uring and not self.tap.io_uring:
            pytest.skip("no io_uring here")
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
