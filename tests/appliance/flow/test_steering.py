"""Where replies arrive: what the worker says is what the hash by its definition and the table say."""

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ena_dev.errors import UsageError
from ena_dev.packet.toeplitz import SYMMETRIC_KEY, Toeplitz
from tests.appliance.flow.bench import Bench
from tests.packet.test_toeplitz import by_definition

TCP, UDP, ICMP, ICMPV6, GRE = 6, 17, 1, 58, 47
QUEUES = 4


@pytest.fixture(scope="module")
def router() -> Iterator[Bench]:
    bench = Bench(queues=QUEUES)
    yield bench
    bench.close()


def queue_of(key: bytes, initial: int, table: list[int], version: int, reply: tuple[int, int, int, int]) -> int:
    size = 4 if version == 4 else 16
    data = reply[0].to_bytes(size) + reply[1].to_bytes(size) + reply[2].to_bytes(2) + reply[3].to_bytes(2)
    return table[(by_definition(key, data) ^ initial) % len(table)]


@settings(max_examples=150)
@given(
    key=st.binary(min_size=40, max_size=40) | st.just(SYMMETRIC_KEY),
    initial=st.integers(0, 2**32 - 1),
    table=st.integers(0, 7).flatmap(lambda log: st.lists(st.integers(0, QUEUES - 1), min_size=1 << log, max_size=1 << log)),
    version=st.sampled_from([4, 6]),
    protocol=st.sampled_from([TCP, UDP]),
    queue=st.integers(0, QUEUES - 1),
    data=st.data(),
)
def test_a_reply_comes_home_if_its_hash_leads_to_the_queue_of_that_number(
    router: Bench, key: bytes, initial: int, table: list[int], version: int, protocol: int, queue: int, data: st.DataObject
) -> None:
    address, port = st.integers(0, 2 ** (32 if version == 4 else 128) - 1), st.integers(0, 65535)
    reply = data.draw(st.tuples(address, address, port, port))
    router.worker.set_steering(0, Toeplitz(SYMMETRIC_KEY), [entry % QUEUES for entry in range(128)])
    router.worker.set_steering(1, Toeplitz(key, initial), table)
    expected = queue_of(key, initial, table, version, reply)
    assert router.worker.comes_home(0, queue, 1, version, protocol, reply) is (expected == queue)


@pytest.mark.parametrize(("version", "protocol", "known"), [(4, UDP, False), (4, ICMP, True), (6, ICMPV6, True), (4, GRE, True)])
def test_where_nothing_is_known_or_hashed_any_reply_is_home(version: int, protocol: int, known: bool) -> None:
    bench = Bench(queues=QUEUES)
    for nic in (0, 1):
        bench.worker.set_steering(nic, Toeplitz(SYMMETRIC_KEY), [entry % QUEUES for entry in range(128)] if known else [])
    there, here = int(ip_address("198.51.100.1")), int(ip_address("203.0.113.7"))
    for port in range(2000, 2016):
        ports = (0, 0) if protocol == GRE else (port, port)
        assert bench.worker.comes_home(0, 3, 1, version, protocol, (there, here, *ports))
    bench.close()


@pytest.mark.parametrize(("nic", "table"), [(5, [0]), (256, [0]), (-1, [0]), (0, [0, 0, 0]), (0, [0] * 256), (0, [QUEUES])])
def test_a_table_that_can_not_be_is_refused(router: Bench, nic: int, table: list[int]) -> None:
    with pytest.raises(UsageError):
        router.worker.set_steering(nic, Toeplitz(SYMMETRIC_KEY), table)


@pytest.mark.parametrize(("nic", "egress"), [(-1, 0), (0, 256)])
def test_a_nic_that_can_not_be_is_refused(router: Bench, nic: int, egress: int) -> None:
    with pytest.raises(UsageError):
        router.worker.comes_home(nic, 0, egress, 4, UDP, (1, 2, 3, 4))
