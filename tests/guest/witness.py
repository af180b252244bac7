"""Who stands at the port: hears every frame that came out of the card, sends frames into it, and judges both without asking the card.

The TAP takes no offloads, so its frames are what a cable would carry: checksums filled in, large packets cut.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable

import dpkt

from tests.guest.lab import Far
from tests.support.judge import SMALLEST, judged

ETH_P_ALL = 3
PACKET_IGNORE_OUTGOING, SOL_PACKET, SO_RCVBUFFORCE = 23, 263, 33
ROOM = 64 << 20  # bytes that may wait for us
QUIET = 0.3  # seconds without a frame: what was sent has come
PATIENCE = 20.0


class Witness:
    """Everything at one TAP, from now on. `frames` is what came out of the card since `begin`."""

    def __init__(self, far: Far, link: str) -> None:
        self._socket = far.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._socket.bind((link, 0))
        self._socket.settimeout(0.1)
        self.frames: list[bytes] = []
        self._last = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._hear, name=f"witness of {link}", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Forget what was heard."""
        self.frames = []

    def settled(self) -> list[bytes]:
        """What was heard, once nothing more comes."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() - self._last < QUIET and time.monotonic() < end:
            time.sleep(0.02)
        return self.frames

    def send(self, frames: Iterable[bytes], pause: float = 0.0) -> None:
        """Send frames into the card, as they are."""
        due = time.monotonic()
        for frame in frames:
            self._socket.send(frame)
            due += pause
            time.sleep(max(0.0, due - time.monotonic()))

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _hear(self) -> None:
        while not self._ended.is_set():
            try:
                frame = self._socket.recv(1 << 17)
            except TimeoutError:
                continue
            except OSError:  # the TAP is down or gone
                time.sleep(0.1)
                continue
            self._last = time.monotonic()
            self.frames.append(frame)


def right(frames: Iterable[bytes], mtu: int = 1500) -> int:
    """How many frames there are; each of them one that a host would take: lengths and checksums by scapy."""
    count = 0
    for frame in frames:
        judged(frame.ljust(SMALLEST, b"\0"), mtu)
        count += 1
    return count


def packets(frames: Iterable[bytes], wanted: Callable[[dpkt.ip.IP | dpkt.ip6.IP6], bool]) -> list[tuple[bytes, dpkt.ip.IP | dpkt.ip6.IP6]]:
    """The IP packets that are wanted, each with its frame, parsed by dpkt."""
    found = []
    for frame in frames:
        network = dpkt.ethernet.Ethernet(frame).data
        if isinstance(network, dpkt.ip.IP | dpkt.ip6.IP6) and wanted(network):
            found.append((frame, network))
    return found


def stream(frames: Iterable[bytes], port: int) -> bytes:
    """What TCP carried to a port, put together from the segments on the cable. A byte that two segments tell differently fails."""
    begin: int | None = None
    parts: dict[int, bytes] = {}
    for _, packet in packets(frames, lambda ip: isinstance(ip.data, dpkt.tcp.TCP) and ip.data.dport == port):
        if packet.data.flags & dpkt.tcp.TH_SYN:
            assert begin is None or begin == packet.data.seq, "two connections at once"
            begin = packet.data.seq
        elif packet.data.data:
            at = packet.data.seq - (begin or 0) - 1 & 0xFFFFFFFF
            kept = parts.setdefault(at, packet.data.data)
            shorter = min(len(kept), len(packet.data.data))
            assert kept[:shorter] == packet.data.data[:shorter], f"byte {at} and following were told twice, differently"
            parts[at] = max(kept, packet.data.data, key=len)
    whole = b""
    for at, data in sorted(parts.items()):
        assert at <= len(whole), f"bytes {len(whole)}..{at} never came"
        assert whole[at : at + len(data)] == data[: max(0, len(whole) - at)], f"byte {at} and following overlap, differently"
        whole += data[len(whole) - at :]
    return whole
