"""The index against a dict, its bound, and keys that must not meet."""

from mmap import PAGESIZE
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.flow.records import Tuple5
from appliance.flow.table import FlowTable, bytes_of, flows_in
from appliance.flow.wheel import TimerWheel
from ena_dev.errors import UsageError
from tests.appliance.flow.bench import tuple5

Key = tuple[int, int, Tuple5]

ALLOCATOR = 2**20
"""What Python may map meanwhile for itself."""

addresses = st.integers(0, 3)
tuples = st.tuples(addresses, addresses, st.integers(0, 3), st.integers(65533, 65535))
keys = st.tuples(st.sampled_from([4, 6]), st.sampled_from([6, 17]), tuples)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.booleans(), keys), max_size=300), st.binary(min_size=16, max_size=16))
def test_the_table_is_a_dict(operations: list[tuple[bool, Key]], secret: bytes) -> None:
    table, model = FlowTable(64, secret), dict[Key, int]()
    for add, key in operations:
        if add:
            slot = table.add(*key)
            assert bool(slot) == (key not in model and len(model) < table.slots)
            if slot:
                assert slot not in model.values()
                model[key] = slot
        elif key in model:
            table.remove(model.pop(key))
        for known in (key, *model):
            found = table.find(*known)
            assert found == ((model[known], 0) if known in model else None)


def test_every_slot_can_be_filled_and_found_and_emptied_again() -> None:
    table, random = FlowTable(20000, bytes(range(16))), Random(1)
    for _ in range(2):
        keys = {(random.getrandbits(32), random.getrandbits(32), random.getrandbits(16), 443) for _ in range(table.slots)}
        slots = {key: table.add(4, 6, key) for key in keys}
        assert sorted(slots.values()) == list(range(1, table.slots + 1))
        assert table.add(4, 6, (1, 2, 3, 4)) == 0
        assert all(table.find(4, 6, key) == (slot, 0) for key, slot in slots.items())
        for slot in slots.values():
            table.remove(slot)
        assert all(table.find(4, 6, key) is None for key in slots)


def test_the_index_is_at_most_five_eighths_full() -> None:
    for flows in (64, 1000, 20000, 300000):
        table = FlowTable(flows, bytes(16))
        assert 2 * table.slots <= table.buckets * 8 * 5 / 8


def mapped() -> int:
    """Bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * PAGESIZE


@pytest.mark.parametrize("flows", [64, 1024, 100_000, 4_000_000])
def test_a_table_is_told_to_take_what_the_kernel_maps_for_it(flows: int) -> None:
    before = mapped()
    table = FlowTable(flows, bytes(16))
    wheel = TimerWheel(table.slots)
    assert 0 <= mapped() - before - bytes_of(flows) < 4 * PAGESIZE + ALLOCATOR
    del table, wheel


@given(st.integers(1, 4_000_000))
def test_as_many_flows_as_fit_are_in_a_size(flows: int) -> None:
    assert flows_in(bytes_of(flows)) == flows
    assert flows_in(bytes_of(flows) - 1) == flows - 1


def test_too_little_memory_is_for_no_flow_and_too_much_for_the_most() -> None:
    assert (flows_in(0), flows_in(1 << 63)) == (0, 4_000_000)


def test_mapped_ipv4_and_ipv6_never_share_a_key() -> None:
    table = FlowTable(64, bytes(16))
    assert table.add(4, 17, tuple5("192.0.2.1", "192.0.2.2", 1, 2))
    assert table.find(6, 17, tuple5("::ffff:192.0.2.1", "::ffff:192.0.2.2", 1, 2)) is None


def test_another_secret_is_another_order() -> None:
    key = tuple5("192.0.2.1", "192.0.2.2", 1, 2)
    assert FlowTable(64, bytes(16)).hash(4, 17, key) != FlowTable(64, bytes(15) + b"\1").hash(4, 17, key)


@pytest.mark.parametrize("key", [(1 << 32, 1, 1, 1), (1, -1, 1, 1), (1, 1, 65536, 1), (1, 1)])
def test_what_fits_no_packet_is_refused(key: Tuple5) -> None:
    with pytest.raises(UsageError, match="no key of a flow"):
        FlowTable(64, bytes(16)).find(4, 17, key)


def test_a_table_has_bounds_and_a_secret() -> None:
    for flows, secret in ((63, bytes(16)), (4000001, bytes(16)), (64, bytes(15))):
        with pytest.raises(UsageError):
            FlowTable(flows, secret)
    with pytest.raises(UsageError, match="no flow"):
        FlowTable(64, bytes(16)).remove(1)
