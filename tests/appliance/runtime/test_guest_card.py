"""Which cards make sense together, and what a served card is told and tells while a guest uses it."""

# ruff: noqa: ASYNC110, ASYNC240

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import dpkt
import pytest

from appliance.control.client import ControlClient, UnreachableError
from appliance.control.messages import ControlError
from appliance.runtime.card_control import CARD, control_path
from appliance.runtime.guest_card import GuestCard, cables, serve
from ena_dev.device.personality import STRANGERS_FEATURES, Personality
from ena_dev.errors import HostError, PortError, UsageError
from tests.support.scripted_guest import ScriptedGuest
from tests.support.vfio_client import GuestRam, VfioClient
from tests.support.waiting import PATIENCE

MAC = bytes.fromhex("025e00000001")
FRAME = bytes.fromhex("025e00000002025e000000010800") + bytes(range(100))
T = TypeVar("T")


def card(path: Path, number: int = 1, **what: Any) -> GuestCard:
    return GuestCard(path, Personality(mac=MAC[:5] + bytes([number]), max_queues=2, features=STRANGERS_FEATURES), **what)


def joined(**far_sides: str) -> list[tuple[int, int]]:
    return cables([card(Path(name), cable=Path(other) if other else None) for name, other in far_sides.items()])


def test_one_end_of_a_cable_names_the_other_or_each_the_other() -> None:
    assert joined(a="b", b="") == [(0, 1)]
    assert joined(a="", b="a") == [(1, 0)]
    assert joined(a="b", b="a") == [(0, 1)]
    assert joined(a="d", b="", c="b", d="") == [(0, 3), (2, 1)]
    assert cables([card(Path("a"), cable=Path("./b").absolute()), card(Path("b"))]) == [(0, 1)]


@pytest.mark.parametrize("far_sides", [{"a": ""}, {"a": "a"}, {"a": "c", "b": ""}, {"a": "b", "b": "c", "c": ""}])
def test_cables_that_make_no_sense(far_sides: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"give it|name the"):
        joined(**far_sides)


async def blocking(call: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.to_thread(call, *arguments)


async def ask(path: Path, method: str, **params: object) -> dict[str, Any]:
    return await asyncio.to_thread(lambda: ControlClient(control_path(path), program=CARD).call(method, **params))


def drive(path: Path, ram: GuestRam) -> ScriptedGuest:
    guest = ScriptedGuest(VfioClient(path), ram)
    guest.up()
    return guest


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def ram(stack: AsyncExitStack) -> AsyncIterator[Callable[[], GuestRam]]:
    made: list[GuestRam] = []

    def make() -> GuestRam:
        made.append(GuestRam())
        return made[-1]

    yield make
    for each in made:
        each.close()


async def test_two_guests_on_a_cable_and_what_their_cards_tell(tmp_path: Path, ram: Callable[[], GuestRam]) -> None:
    paths = tmp_path / "a.sock", tmp_path / "b.sock"
    record = tmp_path / "b.pcapng"
    async with AsyncExitStack() as stack:
        await serve([card(paths[0], 1, cable=paths[1]), card(paths[1], 2, record=record)], stack)
        assert (await ask(paths[0], "stats"))["link"] is False
        a, b = [await blocking(drive, path, ram()) for path in paths]
        await until(lambda: ask(paths[0], "stats"), lambda shown: shown["link"])
        await blocking(a.send, FRAME)
        assert await blocking(b.io.wait)
        assert b.ram.peek(b.buffers[0], len(FRAME)) == FRAME
        near, far = [await ask(path, "stats") for path in paths]
        assert (near["tx"]["packets"], far["rx"]["packets"], near["port"]["carried"]) == (1, 1, 1)
        assert (near["connected"], near["clients"], near["resets"], near["state"]) == (True, 1, {"NORMAL": 1}, "ready")
        assert [queue["packets"] for queue in far["queues"]["rx"]] == [1]
        assert (far["recording"]["frames"], far["recording"]["lost"]) == (1, 0)
        b.client.close()
        await until(lambda: ask(paths[0], "stats"), lambda shown: not shown["link"])
        a.client.close()
    assert recorded(record) == [FRAME]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.pcapng"]


def pour(guest: ScriptedGuest, frame: bytes) -> int:
    """Send until the machine's end, at most as the ring has room; how often it went well."""
    sent = 0
    with contextlib.suppress(OSError, AssertionError):
        while sent < 200:
            guest.send(frame)
            guest.client.read(0, 0, 4)  # worked off
            sent += 1
    return sent


async def test_the_end_amid_traffic_leaves_a_whole_recording_and_no_file(tmp_path: Path, ram: Callable[[], GuestRam]) -> None:
    paths, record = (tmp_path / "a.sock", tmp_path / "b.sock"), tmp_path / "a.pcapng"
    async with AsyncExitStack() as stack:
        await serve([card(paths[0], 1, cable=paths[1], record=record), card(paths[1], 2)], stack)
        a, b = [await blocking(drive, path, ram()) for path in paths]
        pouring = asyncio.create_task(blocking(pour, a, FRAME))
        await until(lambda: ask(paths[0], "stats"), lambda shown: shown["tx"]["packets"] > 20)
        os.close(b.client.sock.detach())  # this machine is killed first
        await until(lambda: ask(paths[1], "stats"), lambda shown: not shown["connected"])
    sent = await pouring
    assert 20 < len(recorded(record)) <= sent + 1
    assert set(recorded(record)) == {FRAME}
    assert [path.name for path in tmp_path.iterdir()] == ["a.pcapng"]


def recorded(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return [bytes(data) for _, data in dpkt.pcapng.Reader(file)]


async def until(read: Callable[[], Any], holds: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds(await read()):
            await asyncio.sleep(0.01)


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    """The socket of a card in front of an empty capture."""
    with (tmp_path / "none.pcap").open("wb") as file:
        dpkt.pcap.Writer(file)
    async with AsyncExitStack() as stack:
        await serve([card(tmp_path / "card.sock", pcap=tmp_path / "none.pcap")], stack)
        yield tmp_path / "card.sock"


async def test_packet_faults_are_set_and_met(path: Path, ram: Callable[[], GuestRam]) -> None:
    guest = await blocking(drive, path, ram())
    said = await ask(path, "fault", spec="loss=100%")
    assert said["faults"]["set"]["loss"] == 1.0
    await blocking(guest.send, FRAME)
    await until(lambda: ask(path, "stats"), lambda shown: shown["faults"]["met"]["lost"] == 1)
    assert (await ask(path, "stats"))["tx"]["drops"]["fault"] == 1
    assert (await ask(path, "fault", spec="none"))["faults"]["set"]["loss"] == 0


async def test_a_withheld_completion_is_withheld(path: Path, ram: Callable[[], GuestRam]) -> None:
    guest = await blocking(drive, path, ram())
    await ask(path, "fault", spec="withhold-completions=1")
    await blocking(guest.send, FRAME)
    await until(lambda: ask(path, "stats"), lambda shown: shown["tx"]["packets"] == 1)
    assert guest.ram.peek(guest.tx_cq, 8) == bytes(8)
    await blocking(guest.send, FRAME)
    while guest.ram.peek(guest.tx_cq, 8) == bytes(8):  # an interrupt may be about the other way
        assert await blocking(guest.io.wait)


async def test_the_cable_is_pulled_and_plugged(path: Path) -> None:
    assert await ask(path, "link", up=False) == {"link": False}
    assert (await ask(path, "stats"))["link"] is False
    assert await ask(path, "link", up=True) == {"link": True}


async def test_limits_and_hints_are_set(path: Path) -> None:
    assert (await ask(path, "allow", spec="pps=10k"))["allowances"]["set"]["pps"] == 10_000
    assert (await ask(path, "stats"))["allowances"]["set"]["pps"] == 10_000
    assert (await ask(path, "hint", spec="admin-completion-timeout=500"))["hints"]["admin_completion_timeout"] == 500


REFUSED = [
    ("reset", {}), ("fault", {"spec": "loss=2"}), ("fault", {"spec": "x=1"}), ("allow", {"spec": "pps=-1"}), ("hint", {"spec": "x=1"}),
    ("hint", {"spec": "admin-completion-timeout=99999"}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "params"), REFUSED)
async def test_what_cannot_be_done_is_refused(path: Path, method: str, params: dict[str, str]) -> None:
    before = await ask(path, "stats")
    with pytest.raises(ControlError) as refusal:
        await ask(path, method, **params)
    assert refusal.value.code == "refused"
    assert await ask(path, "stats") == before


@pytest.mark.parametrize(("method", "params"), [("stats", {"x": 1}), ("link", {"up": "yes"}), ("fault", {}), ("link", {})])
async def test_parameters_that_make_no_sense(path: Path, method: str, params: dict[str, Any]) -> None:
    with pytest.raises(ControlError) as refusal:
        await ask(path, method, **params)
    assert refusal.value.code == "bad-params"


async def test_the_control_socket_is_for_owner_and_group(path: Path) -> None:
    assert control_path(path).stat().st_mode & 0o777 == 0o660
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_second_card_at_the_same_place_is_refused_and_the_first_stays(path: Path, tmp_path: Path, stack: AsyncExitStack) -> None:
    with pytest.raises(PortError, match="another process listens there"):
        await serve([card(path, pcap=tmp_path / "none.pcap")], stack)
    assert (await ask(path, "stats"))["state"] == "ready"


@pytest.mark.parametrize(("what", "why"), [
    ({"pcap": Path("nothing.pcap")}, "nothing.pcap: can't be read"),
    ({"pcap": Path("none.pcap"), "record": Path("/no/such/place")}, "/no/such/place: can't be written"),
    ({"tap": "a-name-that-is-too-long"}, "1 to 15 characters"),
])  # fmt: skip
async def test_a_card_that_cannot_be_made_says_why_and_leaves_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: dict[str, Any], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PortError, match=why):
        async with AsyncExitStack() as stack:
            await serve([card(tmp_path / "new.sock", **what)], stack)
    assert not list(tmp_path.glob("new.sock*"))


async def test_a_place_for_no_control_socket_is_told(tmp_path: Path) -> None:
    paths = tmp_path / "a", tmp_path / "b"
    control_path(paths[0]).write_text("precious")
    with pytest.raises(HostError, match="something else of that name; name another place: --vfio-user PATH"):
        async with AsyncExitStack() as stack:
            await serve([card(paths[0], cable=paths[1]), card(paths[1], 2)], stack)
    assert os.listdir(tmp_path) == ["a.control"]


async def test_nobody_there_is_told_with_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=r"no card answers at .*no such socket; start one with `softena card serve"):
        await ask(tmp_path / "none.sock", "stats")


async def test_a_capture_is_replayed_to_each_guest(tmp_path: Path, ram: Callable[[], GuestRam]) -> None:
    path, frame = tmp_path / "card.sock", MAC + FRAME[6:]
    with (tmp_path / "one.pcap").open("wb") as file:
        dpkt.pcap.Writer(file).writepkt(frame, ts=1.0)
    async with AsyncExitStack() as stack:
        await serve([card(path, pcap=tmp_path / "one.pcap")], stack)
        for _ in range(2):
            guest = await blocking(drive, path, ram())
            assert await blocking(guest.io.wait)
            assert guest.ram.peek(guest.buffers[0], len(frame)) == frame
            guest.client.close()
