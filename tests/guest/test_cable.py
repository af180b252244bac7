"""Two cards of one `softena card serve` on a cable, driven by the stock driver: what it says, what the card tells, what was recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import RawPcapNgReader

from tests.guest.lab import KERNELS, Far, boot, card_process

IN, OUT = 1, 2
ROOT = Path(__file__).parent.parent.parent


def softena(*words: str) -> str:
    """What `softena card WORDS...` prints."""
    done = subprocess.run([sys.executable, "-m", "appliance.cli", "card", *words], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stats(path: Path) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(softena("stats", str(path), "--json"))["result"]
    return shown


def quiet(a: Path, b: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The stats of both while nothing passes."""
    for _ in range(20):
        one, other = stats(a), stats(b)
        if stats(a)["tx"] == one["tx"] and stats(a)["rx"] == one["rx"]:
            return one, other
    raise AssertionError("frames pass and pass")


def judge(a: Path, b: Path) -> None:
    """What both cards tell while their drivers are up: what one sent was on the cable, and in the recording."""
    one, other = quiet(a, b)
    for card in (one, other):
        assert card["driver"]["system"] == "linux"
        assert (card["connected"], card["link"], card["state"], card["mtu"]) == (True, True, "ready", 1500)
        assert len(card["queues"]["rx"]) == len(card["queues"]["tx"]) == 2
        assert card["tx"]["packets"] == card["port"]["carried"] + card["port"]["lost"]
    assert other["recording"]["frames"] == one["tx"]["packets"] + other["tx"]["packets"]
    assert (other["recording"]["lost"], other["recording"]["failed"]) == (0, "")


def true_checksums(packet: Packet) -> bool:
    """Whether scapy would have written the same bytes."""
    fresh = Ether(bytes(packet))
    for layer in (IP, TCP):
        if layer in fresh:
            del fresh[layer].chksum
    return bytes(fresh) == bytes(packet)


def judge_recording(path: Path) -> None:
    directions, longest, streams = set(), 0, 0
    for number, (data, meta) in enumerate(RawPcapNgReader(str(path))):
        directions.add(meta.direction)
        packet = Ether(data)
        if (IP in packet or IPv6 in packet) and TCP in packet and (number < 300 or len(data) > longest):
            longest = max(longest, len(data))
            streams += 1
            assert true_checksums(packet), f"frame {number}"
    assert directions == {IN, OUT}
    assert streams > 100
    assert longest > 20_000, "no large packet crossed the cable whole"


@pytest.mark.guest
def test_a_guest_talks_to_itself_over_two_cards_on_a_cable(far: Far, tmp_path: Path) -> None:
    a, b, record = tmp_path / "a.sock", tmp_path / "b.sock", tmp_path / "b.pcapng"
    options = ["--queues", "2", "--vfio-user", str(b), "--queues", "2", "--cable", str(a), "--record", str(record)]
    asked = {
        "fault": lambda words: softena("fault", str(tmp_path / f"{words[0]}.sock"), *words[1:]).strip(),
        "stats": lambda words: judge(a, b),
    }
    with card_process(far, a, *options):
        said = boot(KERNELS[0], "cable.sh", [a, b], host=asked)
    assert said.well, said
    judge_recording(record)
