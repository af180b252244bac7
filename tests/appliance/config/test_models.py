"""Models built from Python: attribute names only, frozen, checked like the file."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from pydantic import ValidationError

from appliance.config.models import Config, Forward, Limits, Listen, Nic, Rule, Section, Service, ServiceMatch, Target, Timeouts, Zone


def test_python_builds_models_by_attribute_names() -> None:
    forward = Forward(name="web", zone="internet", protocol=6, ports=(443, 443), to_address=IPv4Address("10.0.0.1"), to_port=8443)
    assert (forward.family, forward.addresses, forward.line) == (4, (), 0)
    target = Target(name="w1", address=IPv4Address("10.0.0.1"), port=80)
    service = Service(name="web", listen=(Listen(address=IPv4Address("10.0.0.9"), port=80, protocol=6),), targets=(target,))
    assert (service.from_zones, service.health, service.masquerade, target.weight) == (("any",), None, False, 1)
    rule = Rule(name="a", source=(IPv4Network("10.0.0.0/8"),), verdict="deny")
    assert (rule.from_zones, rule.to_zones, rule.services) == (("any",), ("any",), (ServiceMatch(),))


def test_a_nic_names_its_tap_and_mac_after_itself() -> None:
    nic = Nic(name="wan")
    assert nic.tap == "wan"
    assert nic.mac == Nic(name="wan", mtu=9000).mac
    assert Nic(name="wan", tap="tap0", mac=b"\x02\0\0\0\0\x01").tap == "tap0"


def test_models_do_not_change_and_take_no_unknown_attribute() -> None:
    with pytest.raises(ValidationError):
        Limits().flows = 5  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Limits(floes=5)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Limits(flows=1)


def test_indexes_follow_the_order_of_the_nics() -> None:
    nics = {name: Nic(name=name) for name in ("c", "a", "b")}
    config = Config(nics=nics, zones={"one": Zone(name="one", nics=("a", "c")), "two": Zone(name="two", nics=("b",))})
    assert [config.nic_index(name) for name in ("c", "a", "b")] == [0, 1, 2]
    assert [config.zone_of(name) for name in ("c", "a", "b")] == ["one", "one", "two"]
    with pytest.raises(KeyError):
        config.nic_index("d")


def test_keys_of_the_file_are_those_that_an_operator_may_write() -> None:
    timers = ("tcp-established", "tcp-opening", "tcp-closing", "udp", "udp-replied", "dns", "icmp")
    assert Timeouts.file_keys() == (*timers, "on-expiry", "refresh")
    assert set(Rule.file_keys()) == {
        "from", "to", "source", "destination", "allow", "deny", "reject", "audit", "liberal", "pickup", "rate", "connections", "timeouts",
        "mss-clamp", "when", "until",
    }  # fmt: skip
    assert {"on", "port", "address", "to"} <= set(Forward.file_keys())
    assert "warnings" not in Config.file_keys()


def test_every_attribute_has_one_key() -> None:
    for model in Section.__subclasses__():
        assert all("_" not in key for key in model.file_keys())
