"""DPDK's unmodified driver for the card, in a guest: a card in front of QEMU, testpmd behind it, and the port's frames judged here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from ena_dev.abi.features import FeatureId
from ena_dev.device.personality import STRANGERS_FEATURES
from ena_dev.port.tap import TapPort
from tests.e2e.host import eventually
from tests.guest.cards import Cards, personality
from tests.guest.desks import commands
from tests.guest.lab import CACHE, KERNELS, Far, boot
from tests.guest.testpmd import LARGE, MIXED, NOT_TO_ASK, echo, need_dpdk, queue_of, say, swapped
from tests.guest.witness import Witness, right
from tests.support.frames import udp

pytestmark = pytest.mark.guest

STDBUF = CACHE / "chroot" / "usr" / "libexec" / "coreutils" / "libstdbuf.so"
JUMBO = 9001
NO_IPV6 = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")


class ForwarderDesk:
    """Frames for testpmd, and verdicts on what it makes of them."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    def swapped(self) -> None:
        """Frames of all kinds and sizes come back with their addresses swapped."""
        self._comes(MIXED, [swapped(frame) for frame in MIXED])

    def jumbo(self) -> None:
        self._comes([LARGE], [swapped(LARGE)])

    def pings(self) -> None:
        """ARP and echo requests are answered."""
        asked, answers = echo(50)
        self._comes(asked, answers)

    def made(self, count: str, length: str) -> None:
        """As many frames of this length came out as the driver says, and they are right."""
        frames = [frame for frame in self._witness.settled() if len(frame) == int(length)]
        right(set(frames))
        assert len(frames) == int(count), f"{len(frames)} frames of {length} bytes came out"

    def flows(self, key: str, table: str) -> str:
        """Send flows; how many of them belong on each queue, by the hash's definition."""
        queues = [int(queue) for queue in table.strip(",").split(",")]
        frames = [udp(60, sport=1000 + n, version=version) for n in range(60) for version in (4, 6)]
        self._witness.send(frames, 0.002)
        wanted = Counter(queue_of(frame, bytes.fromhex(key), queues) for frame in frames)
        return " ".join(str(wanted[queue]) for queue in range(4))

    def summed(self) -> None:
        """What is forwarded leaves with right checksums, as it came."""
        self._comes([frame[14:] for frame in MIXED], [frame[14:] for frame in MIXED], MIXED, lambda frame: frame[14:])
        right(frame for frame in self._witness.frames if frame[14:] in {each[14:] for each in MIXED})

    def wrong(self, count: str) -> None:
        """Send datagrams with wrong checksums, on one queue."""
        packet = Ether(udp(100))
        packet[UDP].chksum ^= 0x101
        self._comes([], [], [bytes(packet)] * int(count))

    def segments(self, size: str) -> None:
        """A large TCP segment leaves in pieces of this size."""
        self._witness.begin()
        self._witness.send([LARGE])
        whole = Ether(LARGE)
        length = len(whole[TCP].payload)

        def all_there() -> list[bytes]:
            found = [frame for frame in self._witness.frames if IP in Ether(frame) and TCP in Ether(frame)]
            return found if sum(len(Ether(frame)[TCP].payload) for frame in found) >= length else []

        frames = eventually(all_there, "all segments")
        assert right(frames) == -(-length // int(size)), f"{len(frames)} segments"
        packets = sorted((Ether(frame) for frame in frames), key=lambda packet: packet[TCP].seq)
        assert b"".join(bytes(packet[TCP].payload) for packet in packets) == bytes(whole[TCP].payload)

    def _comes(
        self, sent: list[bytes], wanted: list[bytes], frames: list[bytes] | None = None, part: Callable[[bytes], bytes] = bytes
    ) -> None:
        """What was sent comes back as wanted; the network's own frames may stand between."""
        self._witness.begin()
        self._witness.send(sent if frames is None else frames, 0.002)
        missing = Counter(wanted)

        def came() -> bool:
            return not missing - Counter(part(frame) for frame in list(self._witness.frames))

        eventually(came, f"{len(wanted)} frames come back")


@pytest.mark.parametrize("kernel", KERNELS[-1:])
def test_testpmd_in_a_guest_does_what_it_offers(far: Far, cards: Cards, tmp_path: Path, kernel: str) -> None:
    need_dpdk()
    say("n/a", NOT_TO_ASK)
    wanted = personality(features=STRANGERS_FEATURES | {FeatureId.LLQ})
    card = cards.serve(tmp_path / "card.sock", far.call(TapPort, "far", 4, offloads=False), wanted)
    far.call(NO_IPV6.write_text, "1")  # or the kernel asks for routers at times of its own, and a queue counts a frame too many
    far.use("far", ["169.254.9.1/24"], mtu=JUMBO)
    witness = Witness(far, "far")
    try:
        options = ["--file", f"{STDBUF}:/libstdbuf.so"]
        said = boot(kernel, "dpdk-testpmd.sh", [card.socket], host=commands(ForwarderDesk(witness)), mem=640, options=options)
        assert said.well, said
        assert len(said.verdicts) >= 19, said
    finally:
        witness.close()
