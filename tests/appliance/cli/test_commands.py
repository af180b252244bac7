"""The program as a user meets it: what it prints, where, and its exit status."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from appliance.cli import exits, main
from appliance.config.errors import ConfigError, Mistake
from appliance.config.words import WORDS
from appliance.control.interface import methods
from appliance.control.server import ControlServer
from appliance.flow.reasons import MEANINGS
from tests.support.fake_appliance import IDLE_NAT, IDLE_RULE, STATUS, FakeAppliance

ROOT = Path(__file__).parents[3]

GOOD = """\
version: 1
nics:
  wan: {address: 203.0.113.7/24}
  lan: {address: 192.168.10.1/24}
zones:
  internet: {nics: [wan]}
  home: {nics: [lan]}
policy:
  - home out: {from: [home], to: [internet], allow: any}
"""


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


class Program(Protocol):
    def __call__(self, *arguments: str | Path, **environment: str) -> Done: ...


@pytest.fixture
def softena(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """Run the program, without a terminal, in this process: it starts quicker."""
    for name in [name for name in os.environ if name.startswith("SOFTENA_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str | Path, **environment: str) -> Done:
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", ["softena", *map(str, arguments)])
            for name, value in environment.items():
                patch.setenv(name, value)
            main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "edge.yaml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def appliance() -> FakeAppliance:
    return FakeAppliance()


@pytest.fixture
def socket(tmp_path: Path, appliance: FakeAppliance) -> Iterator[Path]:
    """A control socket that `appliance` answers on, in a thread of its own."""
    path = tmp_path / "control.sock"
    loop = asyncio.new_event_loop()
    server = ControlServer(path, methods(appliance))
    loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield path
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_the_version_is_shown(softena: Program) -> None:
    assert softena("--version").stdout.startswith("softena ")


def test_check_finds_nothing_in_a_good_file(softena: Program, file: Path) -> None:
    done = softena("check", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{file}: ok, 2 nics, 1 rules, 0 translations, 0 services\n"


def test_check_tells_every_mistake_on_standard_error_and_exits_2(softena: Program, file: Path) -> None:
    file.write_text(GOOD.replace("[wan]", "[wam]").replace("allow: any", "alow: any"))
    done = softena("check", file)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) >= 3
    assert all(line.startswith(f"{file}:") for line in lines[:-1])
    assert "did you mean `wan`" in done.stderr
    assert lines[-1] == f"{len(lines) - 1} mistakes. Nothing was changed."


def test_check_as_json_lists_mistakes_with_their_places(softena: Program, file: Path) -> None:
    file.write_text(GOOD.replace("[wan]", "[wam]"))
    done = softena("check", file, "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["v"], answer["result"]["ok"]) == (2, 1, False)
    assert answer["result"]["mistakes"][-1]["line"] == 6


def test_check_knows_what_is_over(softena: Program, file: Path) -> None:
    file.write_text(GOOD.replace("allow: any", "allow: any, until: 2001-01-01"))
    done = softena("check", file)
    assert (done.returncode, "until: has passed" in done.stderr) == (0, True)
    file.write_text(GOOD.replace("allow: any", "allow: any, until: 9998-01-01"))
    assert softena("check", file).stderr == ""


def test_check_warns_without_failing(softena: Program, file: Path) -> None:
    file.write_text(GOOD + "  - never: {from: [home], to: [internet], deny: any}\n")
    done = softena("check", file)
    assert done.returncode == 0
    assert "(warning)" in done.stderr


def with_list(path: Path, more: str = "") -> str:
    return GOOD + f"objects:\n  bad: {{file: {path}{more}}}\n"


def test_check_reads_the_lists_of_sets_and_names_the_line_that_is_wrong(softena: Program, file: Path, tmp_path: Path) -> None:
    addresses = tmp_path / "drop.txt"
    file.write_text(with_list(addresses))
    addresses.write_text("# published\n192.0.2.0/24\n2001:db8::-2001:db8::f\n")
    assert softena("check", file).returncode == 0
    addresses.write_text("192.0.2.0/24\n\n192.0.2.300\n")
    done = softena("check", file)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        f'{addresses}:3:1: object "bad": not an address or network, found `192.0.2.300`, write one such as 192.0.2.0/24 a line, '
        "comments behind #"
    )
    assert done.stderr.splitlines()[1] == "1 mistake. Nothing was changed."


def test_check_names_where_a_list_is_asked_for_that_is_not_there(softena: Program, file: Path, tmp_path: Path) -> None:
    file.write_text(with_list(tmp_path / "none.txt"))
    done = softena("check", file)
    assert done.returncode == 2
    assert done.stderr.startswith(f'{file}:{len(GOOD.splitlines()) + 2}:9: object "bad": list can\'t be read, found `')
    assert "no such file or directory" in done.stderr
    file.write_text(with_list(tmp_path / "none.txt", ", missing: empty"))
    done = softena("check", file)
    assert done.returncode == 0 and "no such file or directory" in done.stderr and "(warning)" in done.stderr


def test_a_file_that_is_not_there_is_one_clear_line(softena: Program, tmp_path: Path) -> None:
    done = softena("check", tmp_path / "none.yaml")
    assert done.returncode == 2
    assert "none.yaml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("status",), ("rules",), ("flows",), ("ethtool", "-S", "wan"), ("reload",)])
def test_without_an_appliance_the_exit_status_is_5_with_a_remedy(softena: Program, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = softena(*command, "--socket", tmp_path / "none.sock")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("softena: no appliance answers")
    assert "softena run FILE" in done.stderr
    assert done.stderr.count("\n") == 1


def test_status_shows_every_part(softena: Program, socket: Path) -> None:
    done = softena("status", "--socket", socket)
    assert done.returncode == 0
    shown = ["edge.yaml (generation 3)", "up 1 day, 2:03:04", "2 of 200,000 flows (at most 72 MiB)"]
    shown += ["1,234,567", "203.0.113.7/24", "down", "home out", "policy", "02:00:00:00:00:99"]
    shown += ["under pressure, 12,345 sent, 12 accepted, 3 refused"]
    assert [text for text in shown if text not in done.stdout] == []
    assert "\x1b" not in done.stdout


def test_rules_have_their_place_in_the_file_and_what_they_decided(softena: Program, socket: Path) -> None:
    lines = softena("rules", "--socket", socket).stdout.splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["rule", "where", "verdict", "packets", "bytes", "flows", "last", "hit"],
        ["home", "out", "edge.yaml:9", "allow", "5", "300", "1", "0:01:05", "ago"],
        ["no", "games", "edge.yaml:10", "deny,", "audit", "0", "0", "0"],
        [],
        ["nat"],
        ["entry", "where", "kind", "flows", "last", "flow"],
        ["behind", "wan", "edge.yaml:12", "masquerade", "1,234", "0:00:07", "ago"],
        ["guests", "edge.yaml:13", "snat", "0"],
    ]
    unused = json.loads(softena("rules", "--socket", socket, "--unused", "--json").stdout)["result"]
    assert unused == {"file": "edge.yaml", "rules": [IDLE_RULE], "nat": [IDLE_NAT]}
    assert [line.split() for line in softena("rules", "--socket", socket, "--unused").stdout.splitlines()[-2:]] == [
        ["entry", "where", "kind", "flows"],
        ["guests", "edge.yaml:13", "snat", "0"],
    ]


def test_every_reason_has_a_meaning_that_can_be_read(softena: Program) -> None:
    shown = softena("reasons").stdout
    assert all(f"  {name} " in shown and meaning in shown for name, meaning in MEANINGS.items())
    assert json.loads(softena("reasons", "--json").stdout)["result"] == {"reasons": MEANINGS}


def test_names_tell_what_they_stand_for(softena: Program, socket: Path) -> None:
    lines = softena("names", "--socket", socket).stdout.splitlines()
    assert lines[3].split() == ["updates", "203.0.113.9", "www.example.org", "30", "s"] and lines[-1] == "1 addresses of 1 objects"
    assert json.loads(softena("names", "--socket", socket, "--json").stdout)["result"]["objects"][0]["name"] == "updates"


def test_sets_tell_how_they_are(softena: Program, socket: Path) -> None:
    lines = softena("sets", "--socket", socket).stdout.splitlines()
    assert lines[3].split()[:4] == ["bad", "/etc/softena/drop.txt", "kept", "1,234"] and lines[3].endswith("line 3: no")
    assert json.loads(softena("sets", "--socket", socket, "--json").stdout)["result"]["sets"][0]["entries"] == 1234


def test_every_word_of_a_rule_is_listed_with_what_it_stands_for(softena: Program) -> None:
    listed = json.loads(softena("words", "--json").stdout)["result"]["words"]
    assert listed.keys() == WORDS.keys()
    assert (listed["dns"], listed["any"], listed["ping"]) == (["tcp/53", "udp/53"], ["any"], ["icmp/echo-request", "icmpv6/echo-request"])
    assert "  dhcp " in softena("words").stdout


def test_status_as_json_is_the_sockets_answer(softena: Program, socket: Path) -> None:
    assert json.loads(softena("status", "--socket", socket, "--json").stdout) == {"v": 1, "result": STATUS}


def test_the_socket_is_found_by_the_file_that_names_it(softena: Program, file: Path, socket: Path) -> None:
    file.write_text(GOOD + f"control: {{socket: {socket}}}\n")
    assert softena("status", "--config", file).returncode == 0
    assert softena("status", SOFTENA_CONFIG=str(file)).returncode == 0
    assert softena("status", SOFTENA_SOCKET=str(socket)).returncode == 0


def test_flows_shows_the_translation_and_follows_the_cursor(softena: Program, socket: Path) -> None:
    done = softena("flows", "--socket", socket, "--limit", "3")
    assert done.stdout.count("192.168.10.5:40000") == 3
    assert "203.0.113.7:40000" in done.stdout
    assert "3 flows; there are more" in done.stdout
    everything = json.loads(softena("flows", "--socket", socket, "--limit", "5000", "--json").stdout)["result"]
    assert (len(everything["flows"]), everything["more"]) == (1000, False)


def test_ethtool_takes_one_view(softena: Program, socket: Path) -> None:
    assert softena("ethtool", "-S", "wan", "--socket", socket).stdout == "view S of wan\n"
    assert json.loads(softena("ethtool", "-i", "wan", "--socket", socket, "--json").stdout) == {"v": 1, "result": {"kind": "i"}}
    assert softena("ethtool", "wan", "--socket", socket).returncode == 2
    assert softena("ethtool", "-S", "-i", "wan", "--socket", socket).returncode == 2
    unknown = softena("ethtool", "-S", "lan", "--socket", socket)
    assert (unknown.returncode, unknown.stderr) == (1, "softena: no nic is called lan\n")


def test_reload_says_what_became_of_the_flows(softena: Program, socket: Path, appliance: FakeAppliance) -> None:
    done = softena("reload", "--socket", socket)
    assert (done.returncode, done.stdout) == (0, "generation 4: 10 flows judged, 2 ended, in 0.25 s\n")
    assert appliance.reloads == 1


def test_a_reload_that_finds_mistakes_exits_2_with_all_of_them(softena: Program, socket: Path, appliance: FakeAppliance) -> None:
    appliance.error = ConfigError([Mistake("edge.yaml", n, 1, "wrong", "this", "write that") for n in (3, 9)])
    done = softena("reload", "--socket", socket)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{appliance.error}\n2 mistakes. Nothing was changed.\n"


def test_an_unknown_command_is_an_error_of_usage(softena: Program) -> None:
    assert softena("explode").returncode == 2


def test_the_program_is_also_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "appliance.cli", "status", "--socket", str(tmp_path / "none.sock")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT, check=False)
    assert done.returncode == 5
    assert "Traceback" not in done.stderr


CARD = "from appliance.cli.exits import told\nwith told():\n    print('a card', flush=False)\n"  # as commands that print, and end
FULL = "softena: can't write the output: no space left on device\n"


@pytest.mark.parametrize(
    "command",
    [("-m", "appliance.cli", "words"), ("-m", "appliance.cli", "reasons", "--json"), ("-m", "appliance.cli", "--version"), ("-c", CARD)],
    ids=("a table", "JSON", "a line", "what is not flushed"),
)
def test_output_that_has_no_room_is_a_line_and_a_reader_who_leaves_is_none(command: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "w") as full, os.fdopen(writer, "w") as nobody:
        for output, told in ((full, FULL), (nobody, "")):
            shell = [sys.executable, *command]
            done = subprocess.run(shell, stdout=output, stderr=subprocess.PIPE, text=True, timeout=30, cwd=ROOT, check=False)
            assert (done.returncode, done.stderr) == (1, told)


def test_check_as_well_with_nothing_to_write_to(file: Path) -> None:
    command = f"{sys.executable} -m appliance.cli check {file} > /dev/full 2>&1"
    assert subprocess.run(command, shell=True, timeout=30, cwd=ROOT, check=False).returncode == 1


def test_other_errors_of_the_system_are_no_matter_of_output() -> None:
    with pytest.raises(FileNotFoundError), exits.told():
        Path("/none/such").read_text()


def test_a_target_is_drained_and_restored(softena: Program, socket: Path) -> None:
    for arguments, told in [
        (("drain", "web/w1"), "web/w1 is lame-duck, 1,200 flows\n"),
        (("drain", "web/w1", "--timeout", "5m"), "web/w1 is draining, 300 s left, 1,200 flows\n"),
        (("restore", "web/w1"), "web/w1 is active, 1,200 flows\n"),
    ]:
        done = softena(*arguments, "--socket", socket)
        assert (done.returncode, done.stdout) == (0, told)
    assert json.loads(softena("drain", "web/w1", "--json", "--socket", socket).stdout)["result"]["phase"] == "lame-duck"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("drain", "web"), 2, "no SERVICE/TARGET"),
        (("drain", "web/w1", "--timeout", "5"), 2, "write 5s"),
        (("drain", "web/w1", "--timeout", "soon"), 2, "not a duration"),
        (("drain", "web/w1", "--timeout", "31d"), 1, "seconds must be"),
        (("restore", "web/w9"), 1, "no target web/w9"),
    ],
)
def test_what_can_not_be_drained_is_told(softena: Program, socket: Path, arguments: tuple[str, ...], status: int, said: str) -> None:
    done = softena(*arguments, "--socket", socket)
    assert done.returncode == status and said in done.stderr
