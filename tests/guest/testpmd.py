"""DPDK's testpmd on this machine, on a card in a directory: its commands and its words, and frames that go in and come out.

    async with on_card(tmp_path, "--rxq=4", "--txq=4") as bench:
        await bench.tell("set fwd macswap", "start")
        assert await bench.through([frame]) == [swapped]
        assert (await bench.counters())["rx_good_packets"] == 1

The program is the distribution's, unmodified, and so is its driver. It runs out of the tree that make-guest has made.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from ena_dev.bus.executor import Executor
from ena_dev.device.io_engine import IoEngine
from ena_dev.device.model import Device
from ena_dev.polled.served import PolledCard
from ena_dev.port.wire import WirePort
from tests.guest.cards import personality
from tests.guest.desks import toeplitz
from tests.guest.lab import CACHE, HERE
from tests.support.frames import CARD, PEER, tcp, udp

PROMPT = b"testpmd> "
PATIENCE = 30.0
PAUSE = 0.005
QUIET = 0.2  # seconds without a frame: no more come


NOT_TO_ASK = {
    "ping": "testpmd answers IPv4 only, which works",
    "tcp": "testpmd has no TCP; segments pass it",
    "views": "ethtool is for the kernel's drivers",
    "rss-set": "key and table can be set, and count; there is no ethtool",
    "moderation": "the driver polls",
    "flr-bound": "uio_pci_generic resets no function",
    "flr-unbound": "uio_pci_generic resets no function",
    "fault-interrupt": "the driver polls",
    "fault-keep-alive": "the driver's watchdog runs by timers of its application, and testpmd runs none",
    "fault-completion": "the driver's watchdog runs by timers of its application, and testpmd runs none",
    "fault-request": "the driver does not ask for this event",
}
"""What can't be tried with testpmd, and why."""
MIXED = [make(length, version=version) for length in (18, 30, 100, 999, 1400) for make in (udp, tcp) for version in (4, 6)]
"""Frames of all kinds, none too short for a cable, each unlike the others."""
LARGE = tcp(8900)


def swapped(frame: bytes) -> bytes:
    """The frame as the forwarding mode macswap sends it back."""
    return frame[6:12] + frame[:6] + frame[12:]


def echo(count: int) -> tuple[list[bytes], list[bytes]]:
    """Requests that the forwarding mode icmpecho answers, and the answers, ARP's first."""
    ask = Ether(src=PEER, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=PEER, psrc="10.0.0.1", pdst="10.0.0.2")
    told = Ether(src=CARD, dst=PEER) / ARP(op=2, hwsrc=CARD, psrc="10.0.0.2", hwdst=PEER, pdst="10.0.0.1")
    pings, answers = [bytes(ask).ljust(60, b"\0")], [bytes(told).ljust(60, b"\0")]
    for n in range(count):
        data = Raw(bytes([n] * (20 + 10 * n)))
        pings.append(bytes(Ether(src=PEER, dst=CARD) / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(type=8, id=7, seq=n) / data))
        answers.append(bytes(Ether(src=CARD, dst=PEER) / IP(src="10.0.0.2", dst="10.0.0.1") / ICMP(type=0, id=7, seq=n) / data))
    return pings, answers


def queue_of(frame: bytes, key: bytes, table: Sequence[int]) -> int:
    """Where a frame with ports has to go, by the definition of the hash."""
    ip = Ether(frame).payload
    ends = ip_address(ip.src).packed + ip_address(ip.dst).packed
    return table[toeplitz(key, ends + ip.payload.sport.to_bytes(2) + ip.payload.dport.to_bytes(2)) % len(table)]


def need_dpdk() -> None:
    """Skip, saying why, where testpmd can't run."""
    if os.geteuid():
        pytest.skip("not root: no huge pages and no physical addresses")
    if not (CACHE / "chroot" / ".ready-dpdk").exists():
        pytest.skip(f"no DPDK in {CACHE}: run GUEST_DPDK=1 tests/guest/make-guest {CACHE}")


class Testpmd:
    """One run of testpmd. `said` is all that it and its driver have said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process, self._heard = process, b""
        self.said = ""

    async def tell(self, *commands: str) -> str:
        """Have commands done, one after the other; returns what it said to the last one."""
        assert self._process.stdin is not None
        answer = ""
        for command in commands:
            self._process.stdin.write(f"{command}\n".encode())
            answer = await self.prompted()
            assert not re.search("Bad arguments|Command not found|Fail to|Not all ports|diag = -", answer), f"{command}: {answer}"
        return answer

    async def prompted(self) -> str:
        """What it says until it wants the next command."""
        while PROMPT not in self._heard:
            await self._hear()
        words, _, self._heard = self._heard.partition(PROMPT)
        self.said += words.decode(errors="replace")
        return words.decode(errors="replace")

    async def _hear(self) -> None:
        assert self._process.stdout is not None
        chunk = await asyncio.wait_for(self._process.stdout.read(1 << 16), PATIENCE)
        self._heard += chunk
        assert chunk, f"testpmd ended: {self.said}{self._heard.decode(errors='replace')}"

    async def quit(self) -> str:
        """Let it end; returns its last words. It must end well."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(b"quit\n")
        self._process.stdin.close()
        rest = await asyncio.wait_for(self._process.stdout.read(), PATIENCE)
        words = (self._heard + rest).decode(errors="replace")
        self.said += words
        assert await self._process.wait() == 0, self.said
        assert "Bye..." in words, self.said
        return words

    async def kill(self) -> None:
        """SIGKILL to the program itself: no time to say goodbye to its card."""
        os.kill(_descendant(self._process.pid, "dpdk-testpmd"), signal.SIGKILL)
        await self.ended()

    async def ended(self) -> None:
        """Wait until nothing of it is left."""
        assert self._process.stdout is not None
        await asyncio.wait_for(self._process.stdout.read(), PATIENCE)
        await asyncio.wait_for(self._process.wait(), PATIENCE)

    async def close(self) -> None:
        """End it, in whatever state. Nothing of it stays behind."""
        if self._process.returncode is None:
            if self._process.stdin is not None:
                self._process.stdin.close()  # it quits at the end of its commands
            await self.ended()


def _descendant(pid: int, name: str) -> int:
    """The process of this name below another."""
    below = [pid]
    for each in below:
        if Path(f"/proc/{each}/comm").read_text().strip() == name:
            return each
        below += map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split())
    raise AssertionError(f"no {name} below process {pid}")


def huge_pages() -> int:
    """Huge pages that the machine keeps."""
    return int(Path("/proc/sys/vm/nr_hugepages").read_text())


def mounted_below(directory: Path) -> list[str]:
    """Mount points below a directory."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [point for point in points if Path(point).is_relative_to(directory)]


class DpdkBench:
    """A card, its far side, and the testpmd that drives it now."""

    def __init__(self, card: PolledCard, wire: WirePort, arguments: tuple[str, ...]) -> None:
        self.card, self.wire, self._arguments = card, wire, arguments
        self.testpmd: Testpmd

    @property
    def device(self) -> Device:
        return self.card.device

    @property
    def engine(self) -> IoEngine:
        return self.card.engine

    async def start(self, *arguments: str, devargs: str = "") -> Testpmd:
        """Run testpmd, until it wants commands."""
        command = [str(HERE / "host-testpmd"), str(CACHE), str(self.card.path), *(arguments or self._arguments)]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "DEVARGS": devargs, "LIMIT": "120"},
        )
        self.testpmd = Testpmd(process)
        await self.testpmd.prompted()
        return self.testpmd

    async def tell(self, *commands: str) -> str:
        return await self.testpmd.tell(*commands)

    async def counters(self) -> dict[str, int]:
        """`show port xstats`: the card's counters as the driver got them, and the driver's own."""
        answer = await self.tell("show port xstats 0")
        return {name: int(value) for name, value in re.findall(r"^(\w+): (\d+)\s*$", answer, re.MULTILINE)}

    async def settled(self) -> list[bytes]:
        """What comes out of the port, until nothing more comes."""
        frames: list[bytes] = []
        quiet = 0.0
        while quiet < QUIET:
            more = self.wire.take()
            frames += more
            quiet = 0.0 if more else quiet + PAUSE
            await asyncio.sleep(PAUSE)
        return frames

    async def through(self, frames: Iterable[bytes], burst: int = 64) -> list[bytes]:
        """Put frames on the wire; returns what comes out, until nothing more comes."""
        out: list[bytes] = []
        for n, frame in enumerate(frames, 1):
            assert self.wire.inject(frame), "the wire is full"
            if n % burst == 0:
                await asyncio.sleep(PAUSE)
                out += self.wire.take()
        return out + await self.settled()


@asynccontextmanager
async def on_card(
    directory: Path, *arguments: str, proves: Sequence[str] = (), devargs: str = "", **values: Any
) -> AsyncIterator[DpdkBench]:
    """A card in `directory`, with testpmd on it; what it proves is printed at the end. `values` are those of the card's personality."""
    need_dpdk()
    try:
        async with _on_card(directory, arguments, devargs, values) as bench:
            yield bench
    except Exception as error:
        say("FAIL", dict.fromkeys(proves, str(error).partition("\n")[0]))
        raise
    say("ok", dict.fromkeys(proves, ""))


def say(word: str, names: Mapping[str, str]) -> None:
    """Print verdicts, as a guest's script does: what each is about, and why."""
    print("".join(f"\n{word} {name}" + (f": {why}" if why else "") for name, why in names.items()))


@asynccontextmanager
async def _on_card(directory: Path, arguments: tuple[str, ...], devargs: str, values: dict[str, Any]) -> AsyncIterator[DpdkBench]:
    executor, wire = Executor(), WirePort()
    executor.start()
    try:
        async with PolledCard(directory, personality(**values), wire, executor) as card:
            bench = DpdkBench(card, wire, arguments)
            try:
                await bench.start(devargs=devargs)
                yield bench
            finally:
                await bench.testpmd.close()
    finally:
        executor.stop()
