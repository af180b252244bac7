"""The example appliance on a wire, judged by scapy, and over a TAP, judged by the kernel's ping."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Ether

from ena_dev.testbed import MAC, Testbed
from tests.examples.icmp_echo_responder import answer, serve

ME = IPv4Address("10.0.0.2")
PEER = "02:00:00:00:00:99"
SCRIPT = Path(__file__).with_name("icmp_echo_responder.py")
REPOSITORY = SCRIPT.parents[2]
GONE_WITHIN = 10.0  # seconds, on a busy machine


def ping(number: int, size: int = 56) -> Ether:
    return Ether(dst=MAC.hex(":"), src=PEER) / IP(src="10.0.0.1", dst=str(ME)) / ICMP(id=7, seq=number) / (b"x" * size)


@pytest.mark.usefixtures("virtual_time")
async def test_pings_over_a_wire_are_answered_in_order_with_good_checksums() -> None:
    async with Testbed() as bench:
        serving = asyncio.create_task(serve(bench.adapter.pairs[0], bench.adapter.mac, ME))
        answers: list[bytes] = []
        for number in range(300):
            assert bench.wire.inject(bytes(ping(number, number * 4)))
            await bench.elapse(0.001)
            answers += bench.wire.take()
        serving.cancel()
    assert len(answers) == 300
    for number, raw in enumerate(answers):
        seen = Ether(raw)
        assert (seen.src, seen.dst, seen[IP].src, seen[IP].dst) == (MAC.hex(":"), PEER, str(ME), "10.0.0.1")
        assert (seen[ICMP].type, seen[ICMP].id, seen[ICMP].seq) == (0, 7, number)
        assert bytes(seen[ICMP].payload)[: number * 4] == b"x" * (number * 4)
        told = seen[IP].chksum, seen[ICMP].chksum
        del seen[IP].chksum, seen[ICMP].chksum
        rebuilt = Ether(bytes(seen))
        assert told == (rebuilt[IP].chksum, rebuilt[ICMP].chksum)


@pytest.mark.usefixtures("virtual_time")
async def test_a_burst_larger_than_the_api_takes_at_once_is_answered_whole() -> None:
    async with Testbed() as bench:
        serving = asyncio.create_task(serve(bench.adapter.pairs[0], bench.adapter.mac, ME))
        await bench.elapse(0.01)
        sent = sum(bench.wire.inject(bytes(ping(number))) for number in range(200))
        await bench.elapse(0.1)
        serving.cancel()
        assert sent > 64
        assert [Ether(raw)[ICMP].seq for raw in bench.wire.take()] == list(range(sent))


def test_who_asks_for_the_address_is_told() -> None:
    asked = bytes(Ether(dst="ff:ff:ff:ff:ff:ff", src=PEER) / ARP(op=1, hwsrc=PEER, psrc="10.0.0.1", pdst=str(ME)))
    reply = answer(asked.ljust(60, b"\0"), MAC, ME)
    assert reply is not None
    told = Ether(reply)[ARP]
    assert (told.op, told.hwsrc, told.psrc, told.hwdst, told.pdst) == (2, MAC.hex(":"), str(ME), PEER, "10.0.0.1")


@pytest.mark.parametrize(
    "packet",
    [
        Ether() / ARP(op=1, pdst="10.0.0.3"),
        Ether() / ARP(op=2, pdst=str(ME)),
        Ether() / IP(dst="10.0.0.3") / ICMP(),
        Ether() / IP(dst=str(ME)) / ICMP(type=0),
        Ether() / IP(dst=str(ME)) / ICMP(chksum=0x1234),
        Ether() / IP(dst=str(ME), flags="MF") / ICMP(),
        Ether() / IP(dst=str(ME)) / UDP(),
    ],
    ids=lambda packet: packet.summary(),
)
def test_everything_else_is_left_alone(packet: Ether) -> None:
    assert answer(bytes(packet), MAC, ME) is None


@given(st.binary(max_size=200), st.integers(0, 60))
def test_no_frame_whatever_its_bytes_makes_it_raise(noise: bytes, at: int) -> None:
    frame = bytes(ping(1))
    answer(noise, MAC, ME)
    answer(frame[:at] + noise + frame[at + len(noise) :], MAC, ME)
    answer(frame[:at], MAC, ME)


def missing() -> str:
    if os.geteuid() != 0:
        return "a namespace and a TAP need root"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    absent = [tool for tool in ("ip", "ping") if shutil.which(tool) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"driver-echo-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for line in ("tuntap add tap0 mode tap", "addr add 10.0.0.1/24 dev tap0", "link set tap0 up"):
            subprocess.run(["ip", "-n", name, *line.split()], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_the_kernels_ping_is_answered_over_a_tap(namespace: str) -> None:
    inside = ["ip", "netns", "exec", namespace]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    pings = [*inside, "ping", "-n", "-c5", "-i0.05", "10.0.0.2"]
    # A job in a shell's background starts with SIGINT ignored, and would hand that on.
    script = [*inside, "env", "--default-signal=INT", sys.executable, str(SCRIPT), "tap0", "10.0.0.2/24"]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True, env=environment) as responder:
        try:
            assert responder.stdout is not None and "answering" in responder.stdout.readline()
            for size, answers, patience in (("56", 5, "10"), ("1472", 5, "10"), ("4000", 0, "1")):  # the last in fragments: left alone
                shown = subprocess.run([*pings, "-s", size, "-W", patience], capture_output=True, text=True)
                came = re.search(r"(\d+) received", shown.stdout)
                assert came and int(came[1]) == answers, shown.stdout
        finally:
            responder.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                responder.wait(GONE_WITHIN)
            responder.kill()
    assert responder.returncode == 0
