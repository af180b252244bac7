"""What guests' scripts may ask for by `host COMMAND WORDS...`: traffic from the far side, verdicts on what came out of the port, faults.

A desk is a few commands about one thing: its public methods, `took_stream` being `host took-stream`. An AssertionError is the guest's no.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial

import dpkt
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from ena_dev.abi.admin import Direction
from ena_dev.abi.features import OsType
from ena_dev.device.allowances import Allowances
from tests.guest.cards import CardInLab, Cards
from tests.guest.lab import Answer, Far
from tests.guest.witness import Witness, packets, right, stream

TAKES, GIVES = 7000, 7001  # TCP ports of the far side; of the second card's network 7100 and 7101
PATIENCE = 60.0
LINES = 100_000
TEXT = "".join(f"{n}\n" for n in range(1, LINES + 1)).encode()
"""What guests are told to send, and are sent: `seq 1 100000`."""
PEERS = {4: "169.254.9.1", 6: "fd09::1"}
GUESTS = {4: "169.254.9.2", 6: "fd09::2"}
FAR_MAC = "02:5e:00:00:00:fe"
LOCAL_EXPERIMENT = 0x88B5  # an EtherType that no stack answers


def commands(*desks: object) -> dict[str, Answer]:
    """The commands of some desks, by name."""
    found: dict[str, Answer] = {}
    for desk in desks:
        for name, method in vars(type(desk)).items():
            if callable(method) and not name.startswith("_"):
                found[name.replace("_", "-")] = partial(_do, getattr(desk, name))
    return found


def _do(method: Callable[..., str | None], words: list[str]) -> str | None:
    return method(*words)


class TrafficDesk:
    """Streams, datagrams and pings: what the guest was told to send is what came out of the port, byte for byte."""

    def __init__(self, far: Far, witness: Witness, number: int = 1) -> None:
        self._witness = witness
        self._took: list[bytes] = []
        self._given = threading.Event()
        self._takes, gives = (port + 100 * (number - 1) for port in (TAKES, GIVES))
        for port, serve in ((self._takes, self._take), (gives, self._give)):
            for family in (socket.AF_INET, socket.AF_INET6):
                listener = far.call(socket.create_server, ("", port), family=family, dualstack_ipv6=False)
                threading.Thread(target=self._accept, args=(listener, serve), daemon=True).start()

    def begin(self) -> None:
        """Count and keep frames from here on."""
        self._witness.begin()
        self._took = []
        self._given.clear()

    def begin_quietly(self) -> None:
        """The same, once nothing more comes."""
        self._witness.settled()
        self.begin()

    def took_stream(self, mtu: str = "1500") -> str:
        """The text arrived, and the segments on the port carry it, each with right checksums and none too large."""
        assert self._given.wait(PATIENCE), "no connection was made, or it never ended"
        assert self._took == [TEXT], f"{[len(each) for each in self._took]} bytes arrived, not the text"
        frames = self._witness.settled()
        count = right(frames, int(mtu))
        assert stream(frames, self._takes) == TEXT, "the port carried something else"
        return f"{count} frames"

    def saw_pings(self, count: str, size4: str = "56", size6: str = "56", mtu: str = "1500") -> str:
        """So many echo requests with so many bytes by each IP, unfragmented, and nothing wrong beside them."""
        frames = self._witness.settled()
        right(frames, int(mtu))
        for kind, code, length in ((dpkt.icmp.ICMP, 8, 42 + int(size4)), (dpkt.icmp6.ICMP6, 128, 62 + int(size6))):
            messages = [(frame, ip.data) for frame, ip in packets(frames, lambda ip: True) if isinstance(ip.data, kind)]
            sizes = [len(frame) for frame, message in messages if message.type == code]
            assert sizes == [length] * int(count), f"requests of {kind.__name__}: frames of {sizes} bytes"
        return f"{len(frames)} frames"

    def saw_datagrams(self, count: str, length: str) -> str:
        """At least so many datagrams of iperf3's repeating pattern, each once, in order."""
        frames = self._witness.settled()
        right(frames)
        pattern = bytes(48 + n % 10 for n in range(int(length)))
        sent = packets(frames, lambda ip: isinstance(ip.data, dpkt.udp.UDP) and len(ip.data.data) == int(length))
        numbers = [struct.unpack(">I", ip.data.data[8:12])[0] for _, ip in sent]
        assert len(numbers) >= int(count), f"{len(numbers)} datagrams"
        assert numbers == list(range(1, len(numbers) + 1)), "lost, doubled or out of order"
        assert all(ip.data.data[16:] == pattern[16:] for _, ip in sent), "of other bytes"
        return f"{len(frames)} frames"

    def agrees(self, count: str, length: str) -> str:
        """The driver counted as many frames and bytes as came out."""
        frames = self._witness.settled()
        seen = (len(frames), sum(map(len, frames)))
        assert seen == (int(count), int(length)), f"the driver says {count} frames of {length} bytes, the port {seen}"
        return f"{seen[0]} frames"

    def segmented(self, count: str, length: str) -> str:
        """The driver handed over fewer packets than came out as frames: the card cut some up, and each cut cost one more header."""
        frames = self._witness.settled()
        cuts = len(frames) - int(count)
        assert cuts > 0, f"{count} packets became {len(frames)} frames"
        (frame, segment), *_ = packets(frames, lambda ip: isinstance(ip.data, dpkt.tcp.TCP) and bool(ip.data.data))
        grown = sum(map(len, frames)) - int(length)
        assert grown == cuts * (len(frame) - len(segment.data.data)), f"{count} packets became {len(frames)} frames, {grown} bytes longer"
        return f"{count} packets became {len(frames)} frames"

    def largest(self, length: str) -> str:
        """The largest frame is so large."""
        found = max(map(len, self._witness.settled()), default=0)
        assert found == int(length), f"the largest frame has {found} bytes"
        return f"{found} bytes"

    def _accept(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(PATIENCE)
                serve(connection)

    def _take(self, connection: socket.socket) -> None:
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
        self._took.append(b"".join(parts))
        self._given.set()

    def _give(self, connection: socket.socket) -> None:
        connection.sendall(TEXT)


class FrameDesk:
    """Frames of our making into the card."""

    def __init__(self, witness: Witness, mac: bytes) -> None:
        self._witness, self._mac = witness, mac.hex(":")

    def datagrams(self, kind: str, count: str) -> None:
        """UDP over both IPs, so many each; `kind` wrong: with a wrong checksum."""
        for version in (4, 6):
            packet = self._to(version) / UDP(sport=5000, dport=9) / Raw(b"softena" * 10)
            frame = bytearray(bytes(packet))
            frame[-1] ^= 0x55 if kind == "wrong" else 0
            self._witness.send([bytes(frame)] * int(count))

    def flows(self, key: str, table: str, count: str = "64") -> str:
        """So many flows, a few frames each; how many frames each queue has to get, by the key and table that the driver shows."""
        entries = [int(entry) for entry in table.split(",") if entry]
        expected = [0] * (max(entries) + 1)
        for number in range(int(count)):
            version, layer = (4, 6)[number % 2], (UDP, TCP)[number // 2 % 2]
            ports = (10000 + 37 * number, 20000 + 11 * number)
            self._witness.send([bytes(self._to(version) / layer(sport=ports[0], dport=ports[1]))] * (1 + number % 3))
            addresses = b"".join(map(_packed, (PEERS[version], GUESTS[version])))
            value = 0xFFFFFFFF ^ toeplitz(bytes.fromhex(key.replace(":", ""))[::-1], addresses + struct.pack(">HH", *ports))
            expected[entries[value % len(entries)]] += 1 + number % 3
        return " ".join(map(str, expected))

    def drip(self, count: str, microseconds: str) -> None:
        """So many frames that no stack answers, one after each pause."""
        frame = bytes(Ether(src=FAR_MAC, dst=self._mac, type=LOCAL_EXPERIMENT) / Raw(bytes(46)))
        self._witness.send(self._repeated(frame, int(count)), int(microseconds) / 1e6)

    def _repeated(self, frame: bytes, count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield frame

    def _to(self, version: int) -> Ether:
        network = (IP if version == 4 else IPv6)(src=PEERS[version], dst=GUESTS[version])
        return Ether(src=FAR_MAC, dst=self._mac) / network


class CardDesk:
    """The card itself: faults, and why and how often it was reset since `remember` or the last fault."""

    def __init__(self, cards: Cards, card: CardInLab) -> None:
        self._cards, self._card = cards, card
        self._resets = self._function_resets = 0
        self._lines = b""

    def probed(self) -> str:
        """A driver of Linux said who it is."""
        info = self._cards.call(lambda: self._card.device.host_info)
        assert info is not None, "no driver has said who it is"
        assert info.os_type == OsType.LINUX, f"the driver says its system is {info.os_type}"
        return bytes(info.kernel_version_name).rstrip(b"\0").decode()

    def remember(self) -> None:
        """Count from here on."""
        self._resets, self._function_resets = len(self._all_resets()), self._card.function_resets

    def fault(self, name: str, *values: str) -> None:
        """One of the card's faults, from now on."""
        self.remember()
        method = getattr(self._card.device.faults, name.replace("-", "_"))
        self._cards.call(method, *(float(value) if "." in value else int(value) for value in values))

    def request_reset(self) -> None:
        """The card asks for a reset. No, if its driver did not subscribe to such events."""
        self.remember()
        self._cards.call(self._card.device.request_reset)

    def reset_for(self, *reasons: str) -> str:
        """The driver's first reset had one of these reasons."""
        seen = self._all_resets()[self._resets :]
        assert seen, "no reset"
        assert seen[0] in reasons, f"reset for {seen}, not {reasons}"
        return " ".join(seen)

    def no_reset(self) -> None:
        """The driver got over it without a reset."""
        seen = self._all_resets()[self._resets :]
        assert not seen, f"reset for {seen}"

    def unloads(self, count: str) -> str:
        """So many drivers came and took their leave, all in the everyday way."""
        seen = self._all_resets()[self._resets :]
        assert seen.count("SHUTDOWN") == int(count), f"reset for {seen}"
        assert set(seen) <= {"NORMAL", "SHUTDOWN"}, f"reset for {seen}"
        return f"{len(seen)} resets"

    def function_resets(self) -> str:
        """How often the bus reset the card."""
        count = self._card.function_resets - self._function_resets
        assert count, "the bus did not reset the card"
        return str(count)

    def allow(self, text: str) -> None:
        """Allowances from now on, as `softena card allow` takes them."""
        self._cards.call(self._card.device.set_allowances, Allowances.parse(text))

    def exceeded(self, *told: str) -> str:
        """The card counts what its driver tells: NAME=VALUE each."""
        counted = asdict(self._cards.call(self._card.device.allowance_statistics))
        seen = {name: int(value) for name, _, value in (each.partition("=") for each in told)}
        assert seen, "the driver tells nothing"
        assert seen == {name: counted[name] for name in seen}, f"the driver tells {seen}, the card counts {counted}"
        return " ".join(told)

    def lines_written(self) -> None:
        """Since the last time, the driver wrote into the card's memory, and nothing there was refused."""
        engine = self._card.served.engine
        memory = engine.device_memory
        assert memory is not None, "the card has no memory"
        before, self._lines = self._lines, self._cards.call(memory.read, 0, memory.size)
        assert self._lines != before, "no line was written"
        counted = self._cards.call(engine.counters, Direction.TX)
        bad = {name: counted[name] for name in ("bad_doorbells", "long_bursts", "drop_malformed") if counted[name]}
        assert not bad, f"the card refused {bad}"

    def link(self, state: str) -> None:
        """Plug or pull the cable."""
        self._cards.call(self._card.device.set_link, state == "up")

    def _all_resets(self) -> list[str]:
        return self._cards.call(lambda: [reason.name for reason in self._card.device.resets])


def toeplitz(key: bytes, data: bytes) -> int:
    """By its definition: for each set bit of the input the 32 bits of the key that begin there."""
    number, result = int.from_bytes(key, "big"), 0
    for position in range(len(data) * 8):
        if data[position // 8] >> (7 - position % 8) & 1:
            result ^= number >> (len(key) * 8 - 32 - position) & 0xFFFFFFFF
    return result


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
