"""What people and programs write: the YAML file, lists of addresses, and lines on the control socket.

Whatever a file holds, the reader gives a configuration that compiles and decides, or mistakes with places in it. Whatever a caller says, it
is answered line by line, and never with a failure inside.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from contextlib import suppress
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from random import Random

from appliance.balancer.history import History
from appliance.config.errors import ConfigError
from appliance.config.loader import load
from appliance.control.interface import methods
from appliance.control.messages import MAX_REQUEST, ControlError, read_response
from appliance.control.server import ControlServer
from appliance.decide import decide
from appliance.objects.lists import ListError, parse_list
from appliance.policy.facts import SELF, TCP, UDP, Facts
from appliance.ruleset import compile_ruleset
from tests.support.fake_appliance import FakeAppliance

ROOT = Path(__file__).parents[2]
PATIENCE = 5.0
MOST_ENTRIES = 64
CODES = {"bad-request", "bad-params", "unknown-version", "unknown-method", "too-long", "refused", "config"}
FLOWS = [
    Facts(nic, version, protocol, int(ip_address(source)), int(ip_address(destination)), 40000, port, -1, 2 if protocol == TCP else 0)
    for nic in (SELF, 0)
    for version, source, destination in ((4, "192.168.10.5", "198.51.100.1"), (6, "2001:db8:10::5", "2001:db8:99::1"))
    for protocol in (TCP, UDP)
    for port in (25, 443)
]
FOLDER = tempfile.TemporaryDirectory(prefix="softena-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


class Nothing:
    """A running state in which nothing runs."""

    def __init__(self) -> None:
        self.random, self.history = Random(1), History(lambda: 0.0, lambda service, target: 0)

    def is_free(self, version: int, protocol: int, reply: tuple[int, int, int, int]) -> bool:
        return True

    def comes_home(self, facts: Facts, egress: int, reply: tuple[int, int, int, int]) -> bool:
        return True

    def target_up(self, service: str, target: str) -> bool:
        return True


def file(data: bytes) -> None:
    """Any bytes as a file."""
    path = Path(FOLDER.name, "fuzz.yaml")
    path.write_bytes(data)
    try:
        config = load(path)
    except ConfigError as error:
        assert error.mistakes, "refused without a mistake"
        for mistake in error.mistakes:
            place = re.match(rf"{re.escape(str(path))}:(\d+):(\d+): .+", str(mistake))
            assert place, f"no place in {mistake}"
            assert 1 <= int(place[1]) <= data.count(b"\n") + 1 and int(place[2]) >= 1, f"no such place: {mistake}"
            assert "\n" not in str(mistake), "more than a line"
        return
    ruleset = compile_ruleset(config, 1, bytes(32))
    for facts in FLOWS:
        if facts.nic == SELF or facts.nic < len(config.nics):
            decide(facts, ruleset, Nothing())


def lists(data: bytes) -> None:
    """Any bytes as a list of addresses: ranges in order and apart, or the line of a mistake."""
    try:
        extent, entries = parse_list(data, MOST_ENTRIES)
    except ListError as error:
        assert 1 <= error.line <= data.count(b"\n") + 1 and error.what and error.hint
        return
    assert entries <= MOST_ENTRIES
    for ranges in (extent.ranges(4), extent.ranges(6)):
        assert all(first <= last for first, last in ranges)
        assert all(one[1] + 1 < other[0] for one, other in pairwise(ranges))


# -- the control socket ----------------------------------------------------------------------------------------------------

class Caller:
    """The end of a connection that a server writes to."""

    def __init__(self) -> None:
        self.heard = b""

    def write(self, data: bytes) -> None:
        self.heard += data

    async def drain(self) -> None:
        """There is always room."""


def control(data: bytes) -> None:
    """Any bytes on the socket, answered by an appliance that does what it is told."""
    caller = asyncio.run(conversation(data))
    *answers, rest = caller.heard.split(b"\n")
    assert rest == b"", "half a line"
    assert len(answers) <= data.count(b"\n") + 1
    for answer in answers:
        assert json.loads(answer)["v"] == 1
        try:
            read_response(answer)
        except ControlError as error:
            assert error.code in CODES and error.message, f"answered with {error.code}: {error.message}"
    with suppress(ControlError):
        read_response(data)  # as a client meets it


async def conversation(data: bytes) -> Caller:
    reader, caller = asyncio.StreamReader(limit=MAX_REQUEST), Caller()
    reader.feed_data(data)
    reader.feed_eof()
    server = ControlServer(Path("unused"), methods(FakeAppliance()), patience=PATIENCE)
    with suppress(asyncio.IncompleteReadError):
        await server._converse(reader, caller)  # type: ignore[arg-type]
    return caller


# -- what helps a fuzzer ---------------------------------------------------------------------------------------------------

SAID = ('"v":1', '"method":', '"params":{', '"limit":', '"cursor":', '"nic":"wan"', '"kind":"S"', '"service":"web"', '"target":"w1"',
        '"seconds":', "1e999", "NaN", "\\x0a")  # fmt: skip
WRITTEN = ("*a", "&a ", "<<: ", "!!", "? ", "- ", "| ", "\\x0a  ", "{", "}", "[", "]", "::/0")


def words(target: str) -> list[str]:
    """What the inputs of `file`, `lists` and `control` are made of."""
    if target == "lists":
        return ["192.0.2.", "/24", "-", "2001:db8::", "/64", "#", ";", "\\x0a"]
    if target == "control":
        return [*SAID, *(f'"{name}"' for name in methods(FakeAppliance()))]
    text = "".join(path.read_text() for path in (*ROOT.glob("configs/*.yaml"), ROOT / "README.md"))
    files = " ".join(re.findall(r"^version: 1.*?(?:\n```|\Z)", text, re.MULTILINE | re.DOTALL))
    return [*sorted(set(re.findall(r"[a-z0-9./:-]{3,24}", files))), *WRITTEN]
