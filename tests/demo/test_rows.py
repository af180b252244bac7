"""How rows are judged and shown: by what happened alone."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import pytest

from appliance.config.loader import load
from appliance.control.client import UnreachableError
from appliance.demo import counters, service, single_flows
from appliance.demo.director import ACTS
from appliance.demo.remote import PeerError
from appliance.demo.scene import Outcome, Scene, exactly, outcome
from appliance.demo.screen import Screen
from appliance.demo.stage import Stage, preflight
from ena_dev.errors import HostError


class FakePeer:
    """Answers orders from a dict; an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    async def call(self, order: str, **_: object) -> dict[str, Any]:
        answer = self.answers[order]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return cast(dict[str, Any], answer)


class FakeStage:
    """A stage with nobody behind it."""

    def __init__(self, client: FakePeer, site: FakePeer | None = None, **status: Any) -> None:
        self.client, self.site, self._status = client, site, status

    async def status(self) -> dict[str, Any]:
        return self._status


async def played(scene: Scene, stage: FakeStage) -> Outcome:
    return await outcome(scene, cast(Stage, stage))


async def test_what_was_expected_agrees_word_for_word() -> None:
    scene = exactly("x", "site answers, sees 10.1.0.10", single_flows.answered("tcp", "192.0.2.10", 80))
    assert (await played(scene, FakeStage(FakePeer(tcp={"server": "site", "seen": "10.1.0.10"})))).agrees
    other = await played(scene, FakeStage(FakePeer(tcp={"server": "site", "seen": "192.0.2.1"})))
    assert other == (False, "site answers, sees 192.0.2.1")
    assert await played(scene, FakeStage(FakePeer(tcp=PeerError("no answer")))) == (False, "no answer")


@pytest.mark.parametrize(("answer", "arrived", "agrees"), [
    (PeerError("no answer"), 0, True),
    (PeerError("no answer"), 1, False),
    (PeerError("connection refused"), 0, False),
    ({"server": "site"}, 1, False),
])  # fmt: skip
async def test_denied_means_no_answer_and_nothing_arrived(answer: Any, arrived: int, agrees: bool) -> None:
    scene = exactly("x", single_flows.NOTHING, single_flows.refused("tcp", "192.0.2.10", 23))
    stage = FakeStage(FakePeer(tcp=answer), FakePeer(heard=[{"count": 5}, {"count": 5 + arrived}]))
    assert (await played(scene, stage)).agrees is agrees


@pytest.mark.parametrize(("answers", "agrees"), [
    ({"w1": 30, "w2": 30, "w3": 30}, True),
    ({"w1": 80, "w2": 5, "w3": 5}, False),
    ({"w1": 45, "w2": 45}, False),
    ({"w1": 30, "w2": 30, "w3": 29, "no answer": 1}, False),
])  # fmt: skip
async def test_a_spread_needs_all_answers_and_every_target(answers: dict[str, int], agrees: bool) -> None:
    scene = Scene("x", "y", service.spread("tcp", "10.1.0.100", 80))
    assert (await played(scene, FakeStage(FakePeer(spread=answers)))).agrees is agrees


async def test_only_the_dead_targets_connections_may_be_lost() -> None:
    scene = Scene("x", "y", service.others_stay)
    fine = {"alive": {"w1": 5, "w3": 3}, "lost": {"w2": 4}}
    assert (await played(scene, FakeStage(FakePeer(held=fine)))).agrees
    worse = {"alive": {"w1": 5, "w3": 3}, "lost": {"w2": 4, "w1": 1}}
    assert not (await played(scene, FakeStage(FakePeer(held=worse)))).agrees


def through(card: int, more: tuple[str, ...] = ()) -> FakeStage:
    there = {"rx": {"packets": 1000, "bytes": 0}, "tx": {"packets": 1000, "bytes": 0}}
    nic = {"name": "clients", "rx": {"packets": card, "bytes": 0}, "tx": {"packets": card, "bytes": 0}}
    return FakeStage(FakePeer(interfaces=dict.fromkeys(("lo", "demo-clients", *more), there)), nics=[nic])


async def test_packets_around_the_card_are_noticed() -> None:
    scene = Scene("x", "y", counters.through_the_card("clients"))
    assert (await played(scene, through(1000))).agrees
    assert not (await played(scene, through(700))).agrees
    assert not (await played(scene, through(1000, ("eth0",)))).agrees


async def test_an_appliance_that_is_gone_fails_the_row_not_the_demo() -> None:
    class Gone(FakeStage):
        async def status(self) -> dict[str, Any]:
            raise UnreachableError(cast(Any, "/x"), "gone", "look")

    result = await played(Scene("x", "y", counters.drops), Gone(FakePeer()))
    assert not result.agrees
    assert "no appliance answers" in result.happened


def test_no_two_rows_of_the_demo_are_one_object() -> None:
    scenes = [scene for act in ACTS for scene in act]
    assert len({id(scene) for scene in scenes}) == len(scenes) > 35


def test_without_a_terminal_each_row_is_a_line_and_the_table_comes_last(capsys: pytest.CaptureFixture[str]) -> None:
    async def never(_: Stage) -> Outcome:
        return Outcome(True, "")

    scenes = [Scene("[bold]one", "this", never), Scene("two", "that", never)]
    with Screen(scenes) as screen:
        screen.begins(scenes[0])
        screen.ended(scenes[0], Outcome(True, "this"))
        screen.ended(scenes[1], Outcome(False, "something else"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["ok   [bold]one: this", "FAIL two: something else"]
    assert "happened" in lines[3]
    assert [line.split()[0] for line in lines[5:7]] == ["✓", "✗"]
    assert "\x1b" not in "".join(lines)


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(HostError, match=r"the demo takes root.*sudo softena demo"):
        preflight()


def test_without_tun_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("appliance.demo.stage.TUN_DEVICE", tmp_path / "tun")
    with pytest.raises(HostError, match="--device /dev/net/tun"):
        preflight()


def test_the_shipped_configuration_and_the_packages_are_one_file() -> None:
    shipped = Path(__file__).parents[2] / "configs" / "demo.yaml"
    packaged = files("appliance.demo").joinpath("demo.yaml")
    assert shipped.samefile(str(packaged))
    assert len(load(shipped).warnings) == 0
