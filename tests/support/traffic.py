"""Frames and a far end for stories: an echo on a queue pair, asked over the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from ena_dev.driver.queue import QueuePair
from ena_dev.testbed import MAC, Testbed

PEER = bytes.fromhex("020000000099")


def udp(source_port: int, payload: bytes = b"hello", *, back: bool = False) -> bytes:
    """A datagram from the peer to the bench, or the other way."""
    ends = ("10.0.0.2", "10.0.0.1") if back else ("10.0.0.1", "10.0.0.2")
    ports = (7, source_port) if back else (source_port, 7)
    macs = (PEER, MAC) if back else (MAC, PEER)
    ip = IP(src=ends[0], dst=ends[1]) / UDP(sport=ports[0], dport=ports[1]) / payload
    return bytes(Ether(dst=macs[0].hex(":"), src=macs[1].hex(":")) / ip)


async def echo(pair: QueuePair) -> None:
    """Send each frame back to where it came from, until cancelled."""
    while True:
        frames = pair.receive_nowait()
        for frame in frames:
            pair.send_nowait(frame.data[6:12] + frame.data[:6] + frame.data[12:])
        pair.flush()
        pair.replenish()
        pair.reap_nowait()
        if not frames:
            await pair.wait_for_interrupt()


@asynccontextmanager
async def echoing(bench: Testbed) -> AsyncIterator[None]:
    """An echo on every pair of the bench."""
    tasks = [asyncio.create_task(echo(pair)) for pair in bench.adapter.pairs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [result for result in results if not isinstance(result, asyncio.CancelledError)]
    if failed:
        raise AssertionError(f"an echo ended: {failed}")


async def ask(bench: Testbed, count: int = 16, first_port: int = 5000) -> set[bytes]:
    """Ask with `count` flows, a millisecond apart; returns the answers that there will be."""
    bench.wire.take()
    asked = [udp(first_port + number) for number in range(count)]
    for frame in asked:
        bench.wire.inject(frame)
        await bench.elapse(0.001)
    return {(frame[6:12] + frame[:6] + frame[12:]).ljust(60, b"\0") for frame in asked}


async def answered(bench: Testbed, count: int = 16, first_port: int = 5000) -> int:
    """Ask with `count` flows; returns how many were answered within a tenth of a second."""
    wanted = await ask(bench, count, first_port)
    await bench.elapse(0.1)
    return len(wanted & set(bench.wire.take()))
