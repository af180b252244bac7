"""`softena card` as a program: what it says, does and leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from appliance.cli import main
from tests.support.vfio_client import GuestRam, VfioClient


def program(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "appliance.cli", "card", "serve", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Softena(Protocol):
    def __call__(self, *arguments: str) -> tuple[int, str, str]: ...


@pytest.fixture
def softena(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Softena:
    """`softena card ARGUMENTS...` in this process: exit status, and what it said on both ways out."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["softena", "card", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


@contextmanager
def ready(*paths: Path, arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The program, once it has said that its cards are there."""
    card = program(*arguments.split())
    try:
        assert card.stdout is not None
        assert [card.stdout.readline() for _ in paths] == [f"ready {path}\n" for path in paths]
        yield card
    finally:
        card.kill()
        card.wait()
        for pipe in (card.stdout, card.stderr):
            if pipe is not None:
                pipe.close()


def test_cards_are_served_until_sigterm_and_do_as_they_are_told(tmp_path: Path, softena: Softena) -> None:
    a, b, record = tmp_path / "a.sock", tmp_path / "b.sock", tmp_path / "a.pcapng"
    arguments = f"--queues 2 --vfio-user {a} --record {record} --vfio-user {b} --cable {a} --faults loss=0.5,seed=3 --log-level debug"
    with ready(a, b, arguments=arguments) as killed:
        killed.kill()
    assert softena("stats", str(a))[0] == 5
    with ready(a, b, arguments=arguments) as card:
        ram = GuestRam()
        for _ in range(2):
            client = VfioClient(a)
            client.attach(ram)
            assert client.irq_info(2) == (1, 3)
            status, shown, _ = softena("stats", str(a))
            assert (status, "guest:      connected" in shown, "0 frames, 0 not recorded" in shown) == (0, True, True), shown
            client.close()
        ram.close()
        shown = softena("stats", str(b), "--json")[1]
        assert json.loads(shown)["result"]["faults"]["set"]["loss"] == 0.5
        assert softena("fault", str(b), "loss=1%,link-flap=1s") == (0, "packets: loss 0.01\n", "")
        assert softena("allow", str(b), "pps=10k") == (0, "limits: pps 10000\n", "")
        assert softena("hint", str(b), "missing-tx-completion-timeout=9") == (0, "hints: missing_tx_completion_timeout 9\n", "")
        assert softena("link", str(b), "down") == (0, "link down\n", "")
        assert softena("reset", str(b)) == (1, "", "softena: no driver is up that can be asked for a reset\n")
        assert softena("fault", str(b), "nonsense=1")[0] == 1
        card.send_signal(signal.SIGTERM)
        _, said = card.communicate(timeout=20)
        assert card.returncode == 0, said
    assert [path.name for path in tmp_path.iterdir()] == ["a.pcapng"]
    status, _, why = softena("stats", str(a))
    assert (status, why.count("\n"), "softena card serve --vfio-user PATH" in why) == (5, 1, True)


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
    ("--tap t0 --vfio-user CARD --tap t1", "give each a PATH of its own"),
    ("--tap t0 --vfio-user b.sock --cable CARD", "not --tap and a cable"),
    ("--vfio-user b.sock --cable CARD --vfio-user c.sock --cable CARD", "a cable and another cable"),
]


@pytest.mark.parametrize(("arguments", "why"), MISTAKES)
def test_cards_that_make_no_sense_are_mistakes_of_the_command_line(tmp_path: Path, softena: Softena, arguments: str, why: str) -> None:
    path = str(tmp_path / "card.sock")
    status, _, said = softena("serve", "--vfio-user", path, *arguments.replace("CARD", path).split())
    assert status == 2
    assert why in " ".join(said.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: a driver's huge pages can't be found")
def test_a_card_for_a_driver_on_this_machine_is_a_card_like_any_other(tmp_path: Path, softena: Softena) -> None:
    a, b = tmp_path / "a", tmp_path / "b.sock"
    with ready(a, b, arguments=f"--polled {a} --vfio-user {b} --cable {a}") as card:
        assert {path.name for path in a.iterdir()} == {"bar0", "bar2", "huge"}
        status, said, _ = softena("stats", str(a), "--json")
        told = json.loads(said)["result"]
        assert (status, told["socket"], told["connected"], told["port"]["kind"]) == (0, str(a), False, "cable")
        card.send_signal(signal.SIGTERM)
        assert card.wait(20) == 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "huge"]


def test_a_card_is_for_somebody(softena: Softena) -> None:
    status, _, said = softena("serve", "--tap", "t0")
    assert (status, "--vfio-user PATH or --polled DIR" in " ".join(said.split())) == (2, True)


def test_a_card_that_cannot_be_made_says_why_in_a_line(tmp_path: Path) -> None:
    card = program("--vfio-user", str(tmp_path / "card.sock"), "--pcap", str(tmp_path / "nothing.pcap"))
    said = card.communicate(timeout=30)[1]
    assert (card.returncode, said) == (1, f"softena: {tmp_path}/nothing.pcap: can't be read: No such file or directory\n")
