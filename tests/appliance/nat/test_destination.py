"""Doors: where forwards and services listen."""

from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.balancer.services import Pool
from appliance.config.models import Forward, Service
from appliance.nat.destination import Door, Doors, forward_doors, service_doors
from appliance.policy.facts import TCP, UDP
from appliance.policy.rules import Verdict

OWN = [(4, int(ip_address("203.0.113.7"))), (4, int(ip_address("203.0.113.8"))), (6, int(ip_address("2001:db8::7")))]


def number(text):
    return int(ip_address(text))


def test_a_forward_listens_on_every_address_of_its_zone_of_the_targets_family():
    forward = Forward(name="web", zone="internet", protocol=TCP, ports=(443, 443), to_address="10.0.0.2", to_port=8443)
    doors = Doors(forward_doors(forward, 0, [0], OWN))
    assert doors.addresses() == frozenset(OWN[:2])
    door = doors.find(0, 4, TCP, OWN[1][1], 443)
    assert door is not None
    assert (door.address, door.port, door.rule) == (number("10.0.0.2"), 8443, Verdict(True, "forward web", 0))
    for elsewhere in [(1, 4, TCP, OWN[1][1], 443), (0, 4, UDP, OWN[1][1], 443), (0, 4, TCP, OWN[1][1], 444), (0, 4, TCP, 5, 443)]:
        assert doors.find(*elsewhere) is None


def test_a_forward_with_an_address_listens_there_alone_and_a_range_keeps_its_ports():
    forward = Forward(name="games", zone="internet", protocol=UDP, ports=(5000, 5010), addresses=["203.0.113.9"], to_address="10.0.0.2")
    doors = Doors(forward_doors(forward, 2, [2], OWN))
    assert doors.addresses() == {(4, number("203.0.113.9"))}
    found = [port for port in range(4990, 5020) if doors.find(2, 4, UDP, number("203.0.113.9"), port)]
    assert found == list(range(5000, 5011))
    door = doors.find(2, 4, UDP, number("203.0.113.9"), 5005)
    assert door is not None
    assert door.port is None


def test_a_service_listens_on_each_address_in_each_zone_with_the_pool_of_the_family():
    targets = [{"name": name, "address": ip_address(address), "port": 80} for name, address in [("a", "10.0.1.1"), ("b", "2001:db8:1::1")]]
    listen = ["203.0.113.10:80/tcp", "[2001:db8::10]:80/tcp"]
    service = Service(name="web", line=7, listen=listen, targets=targets, masquerade=True)
    pools = {version: Pool("web", version, [], b"", 31) for version in (4, 6)}
    doors = Doors(service_doors(service, [0, 1], pools))
    for zone in (0, 1):
        for version, address in [(4, "203.0.113.10"), (6, "2001:db8::10")]:
            door = doors.find(zone, version, TCP, number(address), 80)
            assert door is not None
            assert door.pool is pools[version]
            assert door.rule == Verdict(True, "service web", 7)
            assert door.masquerade
    assert doors.find(2, 4, TCP, number("203.0.113.10"), 80) is None


def test_of_two_doors_in_one_place_the_first_wins():
    first = Forward(name="range", zone="internet", protocol=TCP, ports=(1, 1000), to_address="10.0.0.1")
    second = Forward(name="one", zone="internet", protocol=TCP, ports=(443, 443), to_address="10.0.0.2", to_port=1)
    doors = Doors([*forward_doors(first, 0, [0], OWN), *forward_doors(second, 0, [0], OWN)])
    door = doors.find(0, 4, TCP, OWN[0][1], 443)
    assert door is not None
    assert door.rule.name == "forward range"


RANGES = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 8)), max_size=10)


@settings(max_examples=100)
@given(RANGES)
def test_the_door_of_each_port_is_the_first_added_that_has_it(ranges):
    listed = [Door(low, low + more, Verdict(True, f"{i}", i)) for i, (low, more) in enumerate(ranges)]
    doors = Doors(((0, 4, TCP, 1), door) for door in listed)
    for port in range(42):
        assert doors.find(0, 4, TCP, 1, port) == next((door for door in listed if door.low <= port <= door.high), None)
