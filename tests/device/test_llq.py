"""The LLQ feature in raw numbers: what is offered, what may be chosen, and which queues fit into device memory."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from ena_dev.abi.features import FeatureId
from ena_dev.device.personality import STANDARD_FEATURES, LlqLimits, Personality
from ena_dev.errors import UsageError
from tests.device.conftest import MAC, Bench, make_bench

TX, RX = 1, 2
HOST, DEVICE = 1, 3
SUCCESS, NO_RESOURCE, UNSUPPORTED, ILLEGAL = 0, 1, 3, 5


def personality(**limits: Any) -> Personality:
    return Personality(mac=MAC, max_queues=4, features=STANDARD_FEATURES | {FeatureId.LLQ}, llq=LlqLimits(**limits))


def started(**limits: Any) -> Bench:
    bench = make_bench(personality(**limits))
    bench.driver.reset()
    bench.driver.set_up_admin()
    return bench


def choose(bench: Bench, *, header: int = 1, entry: int = 1, descriptors: int = 2, stride: int = 2, accelerators: int = 3) -> int:
    """SET as a driver sends it: nothing but what it enables."""
    record = struct.pack("<II8HBBHHHI", 0, 0, 0, header, 0, entry, 0, descriptors, 0, stride, 0, 0, 0, accelerators, 0, 0)
    return bench.driver.set(4, record).status


def make(bench: Bench, depth: int = 256, *, direction: int = TX, placement: int = DEVICE) -> Any:
    """A queue of that depth on a completion queue of its own."""
    ring = bench.memory.allocate(depth * 16)
    cq = bench.driver.create_cq(ring, words=2 if direction == TX else 4, depth=depth).u16(8)
    return bench.driver.create_sq(direction, cq, 0 if placement == DEVICE else ring, depth=depth, placement=placement)


def test_what_is_offered() -> None:
    answer = started(wide_depth=1024).driver.get(4, version=1)
    assert struct.unpack_from("<II8HBBHHHI", answer.payload) == (4, 1024, 1, 0, 5, 0, 15, 0, 3, 0, 1, 1, 1024, 0, 0, 0)


def test_what_a_card_may_ask_of_its_driver() -> None:
    limits = {"entries": frozenset({256}), "recommended": 256, "queues": 2, "disable_meta_caching": True, "max_tx_burst": 0x4000}
    answer = started(**limits).driver.get(4, version=1)
    assert struct.unpack_from("<II8HBBHHHI", answer.payload) == (2, 1024, 1, 0, 4, 0, 15, 0, 3, 0, 1, 4, 0, 3, 0x4000, 0)


def test_the_first_version_ends_with_the_strides() -> None:
    bench = started(disable_meta_caching=True, max_tx_burst=0x4000)
    first, second = bench.driver.get(4, version=0).payload, bench.driver.get(4, version=1).payload
    assert first[:24] == second[:24]
    assert first[24:36] == bytes(12) != second[24:36]


def test_a_card_without_it_says_so(bench: Bench) -> None:
    assert bench.driver.get(4, version=1).status == UNSUPPORTED
    assert choose(bench) == UNSUPPORTED
    assert make(bench).status == ILLEGAL


@pytest.mark.parametrize("wrong", [
    {"header": 2}, {"header": 3}, {"header": 0}, {"entry": 2}, {"entry": 5}, {"entry": 0}, {"entry": 8}, {"descriptors": 3},
    {"descriptors": 16}, {"descriptors": 0}, {"stride": 3}, {"stride": 0}, {"stride": 4},
])  # fmt: skip
def test_a_choice_is_one_of_each_offered(wrong: dict[str, int]) -> None:
    bench = started()
    assert choose(bench, **wrong) == ILLEGAL
    assert make(bench).status == ILLEGAL, "nothing was chosen"


@pytest.mark.parametrize("accelerators", [0, 1, 2, 3, 0xFFFF])
def test_a_driver_may_name_accelerators_that_were_not_offered(accelerators: int) -> None:
    bench = started()
    assert choose(bench, accelerators=accelerators) == SUCCESS
    lines = bench.engine.llqs[make(bench).u16(8)]
    assert (lines.cached_meta, lines.max_burst) == (True, 0)


@pytest.mark.parametrize(("accelerators", "cached", "burst"), [(3, False, 128), (1, False, 0), (2, True, 128), (0, True, 0)])
def test_what_was_offered_counts_once_a_driver_understands_it(accelerators: int, cached: bool, burst: int) -> None:
    bench = started(disable_meta_caching=True, max_tx_burst=0x4000)
    assert choose(bench, accelerators=accelerators) == SUCCESS
    lines = bench.engine.llqs[make(bench).u16(8)]
    assert (lines.cached_meta, lines.max_burst) == (cached, burst)


@pytest.mark.parametrize("descriptors", [1, 2, 4, 8])
@pytest.mark.parametrize(("entry", "size"), [(1, 128), (4, 256)])
@pytest.mark.parametrize("stride", [1, 2])
def test_lines_are_laid_out_as_chosen(entry: int, size: int, descriptors: int, stride: int) -> None:
    bench = started()
    assert choose(bench, entry=entry, descriptors=descriptors, stride=stride) == SUCCESS
    lines = bench.engine.llqs[make(bench).u16(8)]
    assert (lines.entry, lines.before_header, lines.following) == (size, descriptors, 1 if stride == 1 else size // 16)


def test_each_queue_has_lines_of_its_own() -> None:
    bench = started()
    choose(bench)
    made = [make(bench, 1024) for _ in range(4)]
    assert [answer.u32(16) for answer in made] == [n * 1024 * 128 for n in range(4)]
    assert [answer.u32(12) for answer in made] == [0x1000 + 8 * answer.u16(8) for answer in made]
    assert make(bench, 1024).status == NO_RESOURCE
    assert bench.driver.destroy_sq(made[1].u16(8), TX).status == SUCCESS
    assert make(bench, 256).u32(16) == 1024 * 128, "the share that came back"


def test_what_does_not_fit_is_refused_so_that_a_driver_tries_less() -> None:
    bench = started()
    choose(bench, entry=4)
    assert make(bench, 1024).status == NO_RESOURCE
    assert make(bench, 512).status == SUCCESS
    wide = started(wide_depth=1024)
    choose(wide, entry=4)
    assert make(wide, 1024).status == SUCCESS


def test_only_tx_queues_are_in_device_memory_and_the_host_stays_possible() -> None:
    bench = started()
    choose(bench)
    assert make(bench, direction=RX).status == ILLEGAL
    assert make(bench, placement=HOST).status == SUCCESS
    assert bench.engine.llqs == {}


def test_a_reset_forgets_choice_and_queues() -> None:
    bench = started()
    choose(bench)
    for _ in range(4):
        make(bench, 1024)
    bench.driver.reset()
    bench.driver.set_up_admin()
    assert make(bench).status == ILLEGAL
    choose(bench)
    assert make(bench, 1024).u32(16) == 0


@pytest.mark.parametrize("wrong", [
    {"queues": 0}, {"queues": 129}, {"depth": 300}, {"depth": 256}, {"depth": 0x10000}, {"entries": frozenset()}, {"recommended": 192},
    {"entries": frozenset({128, 192})}, {"entries": frozenset({128}), "recommended": 256}, {"wide_depth": 128}, {"max_tx_burst": 4096},
    {"max_tx_burst": 0x10000},
])  # fmt: skip
def test_limits_that_no_driver_could_keep_are_a_mistake(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        LlqLimits(**wrong)


@pytest.mark.parametrize(
    ("queues", "limits", "size"),
    [(8, {}, 1 << 20), (4, {}, 1 << 19), (5, {}, 1 << 20), (32, {}, 4 << 20), (8, {"wide_depth": 1024}, 2 << 20),
     (8, {"queues": 1}, 1 << 17), (8, {"wide_depth": 1024, "entries": frozenset({128})}, 1 << 20)],
)  # fmt: skip
def test_device_memory_is_a_power_of_two_with_room_for_all(queues: int, limits: dict[str, Any], size: int) -> None:
    card = Personality(mac=MAC, max_queues=queues, features=STANDARD_FEATURES | {FeatureId.LLQ}, llq=LlqLimits(**limits))
    assert card.device_memory == size
    assert Personality(mac=MAC, max_queues=queues, llq=LlqLimits(**limits)).device_memory == 0
