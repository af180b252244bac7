"""`softena card serve` as a program: it says when it can be connected to, serves, and ends by a signal."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import dpkt
import pytest

from tests.support.vfio_client import GuestRam, VfioClient


def program(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "appliance.cli", "card", "serve", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_card_is_served_until_sigterm(tmp_path: Path) -> None:
    capture, path = tmp_path / "frames.pcap", tmp_path / "card.sock"
    with capture.open("wb") as file:
        dpkt.pcap.Writer(file).writepkt(bytes(60), ts=1.0)
    card = program("--vfio-user", str(path), "--pcap", str(capture), "--queues", "2", "--faults", "loss=0.5,seed=3")
    try:
        assert card.stdout is not None
        assert card.stdout.readline() == f"ready {path}\n"
        ram = GuestRam()
        for _ in range(2):
            client = VfioClient(path)
            client.attach(ram)
            assert client.irq_info(2) == (1, 3)
            client.close()
        ram.close()
        card.send_signal(signal.SIGTERM)
        _, said = card.communicate(timeout=20)
        assert (card.returncode, path.exists()) == (0, False), said
    finally:
        card.kill()
        card.wait()


@pytest.mark.parametrize("arguments", ["", "--tap t0 --pcap f", "--pcap f --mac 02", "--pcap f --faults x=1"])
def test_a_card_that_makes_no_sense_is_refused(tmp_path: Path, arguments: str) -> None:
    card = program("--vfio-user", str(tmp_path / "card.sock"), *arguments.split())
    assert card.wait(20) == 1
    assert card.stderr is not None
    assert card.stderr.read().startswith("softena: ")
