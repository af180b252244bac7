"""`softena card serve` as a program: it says when it can be connected to, serves, and ends by a signal."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import dpkt
import pytest

from appliance.cli import main
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


MISTAKES = [
    ("", "one far side, not none"),
    ("--tap t0 --pcap f", "one far side, not --tap and --pcap"),
    ("--tap t0 --mac 02", "no MAC address"),
    ("--tap t0 --mac 01:00:5e:00:00:01", "unicast"),
    ("--tap t0 --faults x=1", "no fault"),
    ("--tap t0 --faults miss-keep-alives=3", "softena card fault PATH"),
    ("--tap t0 --allowances x=1", "no allowance"),
    ("--tap t0 --llq 64", "llq"),
    ("--tap t0 --queues 33", "queues"),
    ("--cable nowhere", "is no card of this process"),
    ("--cable CARD", "is the card itself"),
    ("--tap t0 --vfio-user CARD --tap t1", "give each a --vfio-user PATH"),
    ("--tap t0 --vfio-user b.sock --cable CARD", "not --tap and a cable"),
    ("--vfio-user b.sock --cable CARD --vfio-user c.sock --cable CARD", "a cable and another cable"),
]


@pytest.mark.parametrize(("arguments", "why"), MISTAKES)
def test_cards_that_make_no_sense_are_mistakes_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: str, why: str
) -> None:
    path = str(tmp_path / "card.sock")
    monkeypatch.setattr(sys, "argv", ["softena", "card", "serve", "--vfio-user", path, *arguments.replace("CARD", path).split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert why in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_a_card_that_cannot_be_made_says_why_in_a_line(tmp_path: Path) -> None:
    card = program("--vfio-user", str(tmp_path / "card.sock"), "--pcap", str(tmp_path / "nothing.pcap"))
    said = card.communicate(timeout=30)[1]
    assert (card.returncode, said) == (1, f"softena: {tmp_path}/nothing.pcap: can't be read: No such file or directory\n")
