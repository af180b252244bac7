"""The table at the top of `ena_dev/driver/watchdog.py`, row by row."""

from dataclasses import dataclass, field

import pytest

from ena_dev.abi.features import HwHints
from ena_dev.abi.registers import ResetReason
from ena_dev.driver.watchdog import Limits, Watchdog


@dataclass
class FakePair:
    fault: int = 0
    interrupts: int = 0
    oldest: tuple[int, float] | None = None
    unseen: bool = False
    recovered: int = 0

    def oldest_send(self) -> tuple[int, float] | None:
        return self.oldest

    def pending_unseen(self) -> bool:
        return self.unseen

    def recover_interrupt(self) -> None:
        self.recovered += 1


@dataclass
class Scene:
    fault: ResetReason | None = None
    unseen_event: bool = False
    pairs: list[FakePair] = field(default_factory=lambda: [FakePair(), FakePair()])

    def pending(self) -> bool:
        return self.unseen_event

    def watchdog(self, limits: Limits | None = None) -> Watchdog:
        dog = Watchdog(self, self)
        dog.limits = limits or Limits()
        dog.start(100.0, self.pairs)
        return dog


def test_a_healthy_card_is_left_alone_for_an_hour() -> None:
    dog = Scene().watchdog()
    for second in range(100, 3700):
        dog.keep_alive(float(second))
        assert dog.tick(second + 0.5) is None


def test_keep_alives_may_be_six_seconds_apart_but_not_more() -> None:
    dog = Scene().watchdog()
    assert dog.tick(106.0) is None
    assert dog.tick(106.1) is ResetReason.KEEP_ALIVE_TO


def test_a_keep_alive_that_lies_unseen_means_a_lost_interrupt() -> None:
    assert Scene(unseen_event=True).watchdog().tick(107.0) is ResetReason.MISSING_ADMIN_INTERRUPT


def test_keep_alives_are_not_watched_where_the_card_sends_none() -> None:
    assert Scene().watchdog(Limits(keep_alive=None)).tick(1e6) is None


@pytest.mark.parametrize("fault", [ResetReason.ADMIN_TO, ResetReason.MISSING_ADMIN_INTERRUPT, ResetReason.DRIVER_INVALID_STATE])
def test_a_stopped_admin_queue_wants_its_own_reason(fault: ResetReason) -> None:
    assert Scene(fault=fault).watchdog().tick(100.5) is fault


@pytest.mark.parametrize("fault", [4, 5, 6, 8, 16])
def test_the_fault_of_any_pair_is_the_reason(fault: int) -> None:
    scene = Scene()
    scene.pairs[1].fault = fault
    assert scene.watchdog().tick(100.5) is ResetReason(fault)


@pytest.mark.parametrize(("unseen", "reason"), [(False, ResetReason.MISS_TX_CMPL), (True, ResetReason.MISS_INTERRUPT)])
def test_a_send_may_take_five_seconds_but_not_more(unseen: bool, reason: ResetReason) -> None:
    scene = Scene()
    scene.pairs[1].oldest, scene.pairs[1].unseen = (17, 100.0), unseen
    dog = scene.watchdog()
    assert dog.tick(105.0) is None
    assert dog.tick(105.1) is reason


def test_an_interrupt_is_asked_for_again_at_the_second_silent_tick() -> None:
    scene = Scene()
    dog, pair = scene.watchdog(), scene.pairs[0]
    pair.unseen = True
    assert dog.tick(101.0) is None and pair.recovered == 0
    assert dog.tick(102.0) is None and pair.recovered == 1
    assert dog.lost_interrupts == [1, 0]


@pytest.mark.parametrize("between", ["an interrupt came", "nothing lay there"])
def test_two_sights_of_a_completion_with_life_between_are_no_lost_interrupt(between: str) -> None:
    scene = Scene()
    dog, pair = scene.watchdog(), scene.pairs[0]
    pair.unseen = True
    dog.tick(101.0)
    if between == "an interrupt came":
        pair.interrupts += 1
    else:
        pair.unseen = False
        dog.tick(102.0)
        pair.unseen = True
    dog.tick(103.0)
    assert pair.recovered == 0


def test_a_wish_for_a_reset_stays_until_the_card_is_up_again() -> None:
    scene = Scene()
    dog = scene.watchdog()
    dog.want(ResetReason.DEVICE_REQUEST)
    dog.want(ResetReason.USER_TRIGGER)
    assert dog.tick(100.1) is dog.tick(100.2) is ResetReason.DEVICE_REQUEST
    dog.start(101.0, scene.pairs)
    assert dog.tick(101.1) is None


def test_hints_move_the_limits_and_can_switch_the_watch_off() -> None:
    assert Limits().hinted(HwHints()) == Limits()
    assert Limits().hinted(HwHints(driver_watchdog_timeout=30000, missing_tx_completion_timeout=1500)) == Limits(30.0, 1.5)
    assert Limits().hinted(HwHints(driver_watchdog_timeout=0xFFFF)).keep_alive is None
    assert Limits(keep_alive=None).hinted(HwHints(driver_watchdog_timeout=30000)).keep_alive is None
