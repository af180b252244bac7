"""Flow rules as a driver sets them: what is taken, what is refused, and what the engine is told."""

from __future__ import annotations

import struct

import pytest

from ena_dev.abi.features import FeatureId
from ena_dev.device.interfaces import FlowRule
from ena_dev.device.personality import STANDARD_FEATURES, Personality
from tests.device.conftest import MAC, Bench, make_bench

ADD, REMOVE, REMOVE_ALL = 1, 2, 3
IPV4, IPV6, TCP4, TCP6, UDP4, UDP6 = range(1, 7)
ANYWHERE = 0xFFFF
FAILED_ALLOCATION, UNSUPPORTED, MALFORMED, ILLEGAL = 1, 3, 4, 5


class Steered:
    """A bench, and a control buffer to ask by."""

    def __init__(self, rules: int = 128) -> None:
        features = STANDARD_FEATURES | {FeatureId.FLOW_STEERING_CONFIG}
        self.bench: Bench = make_bench(Personality(mac=MAC, max_queues=4, features=features, flow_rules=rules))
        self.buffer = self.bench.memory.allocate(128)
        self.begin()

    def begin(self) -> None:
        self.bench.driver.reset()
        self.bench.driver.set_up_admin()

    def ask(self, action: int, kind: int = 0, queue: int = 0, location: int = 0, *, flags: int = 0, size: int = 128) -> tuple[int, int]:
        """(status, location)."""
        entry = struct.pack("<BBHHHI", action, kind, queue, location, 0, flags)
        answer = self.bench.driver.set(30, entry, buffer=(self.buffer, size))
        return answer.status, answer.u16(8)

    def spec(self, **fields: bytes | int) -> None:
        """Fill the control buffer."""
        addresses = (fields.get(name, b"") for name in ("destination", "destination_mask", "source", "source_mask"))
        numbers = (fields.get(name, 0) for name in ("dport", "dport_mask", "sport", "sport_mask", "tos", "tos_mask"))
        self.bench.memory.poke(self.buffer, struct.pack("<16s16s16s16sHHHHBB54x", *addresses, *numbers))

    @property
    def rules(self) -> tuple[FlowRule, ...]:
        return self.bench.engine.flow_rules


@pytest.fixture
def steered() -> Steered:
    return Steered()


def test_the_table_size_stands_in_the_attributes_only_if_the_feature_is_offered(steered: Steered, bench: Bench) -> None:
    assert steered.bench.driver.get(1).u16(8 + 30) == 128
    assert bench.driver.get(1).u16(8 + 30) == 0
    assert bench.driver.set(30, bytes(12)).status == UNSUPPORTED


def test_a_rule_reaches_the_engine_as_it_was_meant(steered: Steered) -> None:
    steered.spec(
        destination=bytes.fromhex("c0000201ffff"), destination_mask=b"\xff" * 16, source=b"\x0a", source_mask=b"\xff",
        dport=443, dport_mask=0xFFFF, sport=0x1200, sport_mask=0xFF00, tos=0x10, tos_mask=0xFC,
    )  # fmt: skip
    assert steered.ask(ADD, TCP4, queue=3, location=5) == (0, 5)
    zeros = bytes(12)
    assert steered.rules == (
        FlowRule(
            location=5, queue=3, version=4, protocol=6,
            destination=bytes.fromhex("c0000201") + zeros, destination_mask=b"\xff" * 4 + zeros,
            source=b"\x0a\0\0\0" + zeros, source_mask=b"\xff\0\0\0" + zeros,
            destination_port=443, destination_port_mask=0xFFFF, source_port=0x1200, source_port_mask=0xFF00, tos=0x10, tos_mask=0xFC,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "meaning"), [(IPV4, (4, 0)), (IPV6, (6, 0)), (TCP4, (4, 6)), (TCP6, (6, 6)), (UDP4, (4, 17)), (UDP6, (6, 17))]
)
def test_types_name_a_version_and_a_protocol(steered: Steered, kind: int, meaning: tuple[int, int]) -> None:
    assert steered.ask(ADD, kind) == (0, 0)
    assert [(rule.version, rule.protocol) for rule in steered.rules] == [meaning]


def test_rules_are_removed_one_by_one_or_all_at_once(steered: Steered) -> None:
    for location in (1, 2, 3):
        assert steered.ask(ADD, UDP4, location=location) == (0, location)
    assert steered.ask(REMOVE, location=2)[0] == 0
    assert [rule.location for rule in steered.rules] == [1, 3]
    assert steered.ask(REMOVE, location=2)[0] == ILLEGAL
    assert steered.ask(REMOVE_ALL)[0] == 0
    assert steered.rules == ()


def test_a_taken_location_gets_the_new_rule(steered: Steered) -> None:
    steered.ask(ADD, UDP4, queue=1, location=7)
    steered.ask(ADD, TCP6, queue=2, location=7)
    assert [(rule.queue, rule.version) for rule in steered.rules] == [(2, 6)]


def test_the_card_chooses_the_lowest_free_location_until_none_is_left() -> None:
    steered = Steered(rules=3)
    assert steered.ask(ADD, UDP4, location=1) == (0, 1)
    assert [steered.ask(ADD, UDP4, location=ANYWHERE) for _ in range(3)] == [(0, 0), (0, 2), (FAILED_ALLOCATION, 0)]
    assert steered.ask(ADD, UDP4, location=3)[0] == ILLEGAL


def test_a_reset_forgets_all_rules(steered: Steered) -> None:
    steered.ask(ADD, UDP4, location=1)
    steered.begin()
    assert steered.rules == ()
    steered.ask(ADD, UDP4, location=2)
    assert [rule.location for rule in steered.rules] == [2]


def test_what_cannot_be_meant_is_refused_and_changes_nothing(steered: Steered) -> None:
    assert steered.ask(ADD, UDP4, queue=3, location=9) == (0, 9)
    before = steered.rules
    assert [steered.ask(ADD, kind)[0] for kind in (0, 7, 255)] == [ILLEGAL] * 3
    assert [steered.ask(action, UDP4)[0] for action in (0, 4, 255)] == [ILLEGAL] * 3
    assert steered.ask(ADD, UDP4, queue=4)[0] == ILLEGAL
    assert steered.ask(ADD, UDP4, flags=1)[0] == ILLEGAL
    assert steered.ask(ADD, UDP4, location=128)[0] == ILLEGAL
    assert steered.ask(ADD, UDP4, size=127)[0] == MALFORMED
    steered.spec(dport_mask=1)
    assert steered.ask(ADD, IPV4)[0] == ILLEGAL
    assert steered.ask(REMOVE, location=ANYWHERE)[0] == ILLEGAL
    steered.bench.memory.unmap(steered.buffer)
    assert steered.ask(ADD, UDP4)[0] == ILLEGAL
    assert steered.rules == before
    assert steered.bench.driver.get(30).status == UNSUPPORTED
