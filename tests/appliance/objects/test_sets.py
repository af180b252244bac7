"""Sets across the lives of their files, on a clock of the test's own: read, replaced, broken, gone, back, too old."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.config.errors import ConfigError
from appliance.config.models import Config
from appliance.config.objects import FileSet
from appliance.config.source import Place
from appliance.objects.sets import Sets

EPOCH = 1_700_000_000.0


class Bench:
    def __init__(self, path: Path, **keys: object) -> None:
        self.path, self.now = path, 0.0
        self.sets = Sets(lambda: self.now, lambda: EPOCH + self.now)
        self.config = self.configured(**keys)

    def configured(self, **keys: object) -> Config:
        bad = FileSet(name="bad", line=7, file=str(self.path), every=60.0, **keys)  # type: ignore[arg-type]
        return Config(nics={}, zones={}, objects={"bad": bad}, places={("objects", "bad", "file"): Place(8, 5)})

    def write(self, text: str) -> None:
        """A file that has just been written, by the clock of the test."""
        self.path.write_text(text)
        os.utime(self.path, (EPOCH + self.now, EPOCH + self.now))

    async def elapse(self, seconds: float) -> list[str]:
        """Look whenever a look is due; the sets that changed."""
        changed, end = [], self.now + seconds
        while (due := self.sets.deadline()) is not None and due <= end:
            self.now = due
            changed += await self.sets.look()
        self.now = end
        return changed

    @property
    def held(self) -> list[str]:
        extent = self.sets.extents()["bad"]
        return [str(ip_address(first)) for version in (4, 6) for first, _ in extent.ranges(version)]

    @property
    def state(self) -> str:
        return str(self.sets.status()[0]["state"])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path / "drop.txt")
    bench.write("192.0.2.1\n2001:db8::1\n")
    return bench


async def test_a_file_is_read_and_read_again_when_it_has_changed(bench: Bench) -> None:
    await bench.sets.prepare(bench.config, "fw.yaml")
    assert (bench.held, bench.state) == (["192.0.2.1", "2001:db8::1"], "good")
    assert await bench.elapse(600) == []
    bench.write("192.0.2.7\n")
    assert await bench.elapse(70) == ["bad"]
    assert bench.held == ["192.0.2.7"]


async def test_a_file_that_may_still_be_written_waits(bench: Bench) -> None:
    await bench.sets.prepare(bench.config, "fw.yaml")
    await bench.elapse(59.5)
    bench.write("10.0.0.0/2")  # on its way to be 10.0.0.0/24
    assert await bench.elapse(1) == []
    bench.write("10.0.0.0/24\n")
    assert await bench.elapse(5) == ["bad"]
    assert bench.held == ["10.0.0.0"] and bench.sets.extents()["bad"].four[0][1] == 0x0A0000FF


@pytest.mark.parametrize("text", ["192.0.2.9\nnonsense\n", "192.0.2.9\n" * 100_001])
async def test_a_worse_file_leaves_the_last_good_list(bench: Bench, text: str) -> None:
    await bench.sets.prepare(bench.config, "fw.yaml")
    bench.write(text)
    assert await bench.elapse(200) == []
    assert (bench.held, bench.state) == (["192.0.2.1", "2001:db8::1"], "kept")
    await bench.sets.prepare(bench.config, "fw.yaml")  # a reload in between changes nothing
    assert (bench.held, bench.state) == (["192.0.2.1", "2001:db8::1"], "kept")
    bench.write("192.0.2.2\n")
    assert await bench.elapse(70) == ["bad"]
    assert (bench.held, bench.state) == (["192.0.2.2"], "good")


async def test_a_file_that_is_gone_leaves_the_last_good_list_and_may_come_back_as_it_was(bench: Bench) -> None:
    await bench.sets.prepare(bench.config, "fw.yaml")
    aside = bench.path.with_suffix(".old")
    bench.path.rename(aside)
    assert await bench.elapse(70) == [] and bench.state == "kept"
    assert "no such file" in bench.sets.status()[0]["problem"]
    aside.rename(bench.path)
    assert await bench.elapse(70) == [] and bench.state == "good"


async def test_a_missing_file_is_a_mistake_at_first_unless_the_object_says_otherwise(bench: Bench) -> None:
    bench.path.unlink()
    with pytest.raises(ConfigError) as caught:
        await bench.sets.prepare(bench.config, "fw.yaml")
    assert str(caught.value) == (
        f"fw.yaml:8:5: object \"bad\": list can't be read, no such file or directory, check the path, and that everyone may read it, "
        f"found `{bench.path}`, correct it, or say `missing: empty`"
    )
    await bench.sets.prepare(bench.configured(missing="empty"), "fw.yaml")
    assert (bench.held, bench.state) == ([], "empty")
    bench.write("192.0.2.3\n")
    assert await bench.elapse(70) == ["bad"]
    assert bench.held == ["192.0.2.3"]


async def test_a_list_that_is_too_old_stands_for_nothing_from_that_moment(bench: Bench) -> None:
    await bench.sets.prepare(bench.configured(max_age=3630.0), "fw.yaml")
    assert await bench.elapse(3629) == []
    assert await bench.elapse(2) == ["bad"]
    assert (bench.held, bench.state) == ([], "stale")
    bench.write("192.0.2.4\n")
    assert await bench.elapse(130) == ["bad"]
    assert (bench.held, bench.state) == (["192.0.2.4"], "good")


async def test_a_set_with_another_file_or_bound_starts_anew(bench: Bench) -> None:
    await bench.sets.prepare(bench.config, "fw.yaml")
    with pytest.raises(ConfigError):
        await bench.sets.prepare(bench.configured(max=1), "fw.yaml")
    assert bench.held == ["192.0.2.1", "2001:db8::1"]  # what runs is as it was
    await bench.sets.prepare(bench.config.model_copy(update={"objects": {}}), "fw.yaml")
    assert bench.sets.extents() == {} and bench.sets.deadline() is None
