"""Clashes of forwards against a pairwise look: the first in the file has the ports, whoever comes later is told."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from appliance.config.finding import Scope
from appliance.config.models import Config, Forward, Nic, Zone
from appliance.config.service_checks import check

HOSTS = [IPv4Address("203.0.113.7"), IPv4Address("203.0.113.8")]
WANTED = st.tuples(
    st.sampled_from(["home", "internet"]),
    st.sampled_from([6, 17]),
    st.tuples(st.integers(1, 12), st.integers(1, 12)).map(lambda pair: (min(pair), max(pair))),
    st.sampled_from(HOSTS),
)


@given(st.lists(WANTED, max_size=8))
def test_a_forward_is_told_when_an_earlier_one_has_some_of_its_ports(wanted) -> None:
    nat = tuple(
        Forward(name=f"f{i}", line=i + 1, zone=zone, protocol=protocol, ports=ports, addresses=(host,), to_address=IPv4Address("10.0.0.1"))
        for i, (zone, protocol, ports, host) in enumerate(wanted)
    )
    nics = {name: Nic(name=name, uplink="eth0") for name in ("lan", "wan")}
    zones = {"home": Zone(name="home", nics=("lan",)), "internet": Zone(name="internet", nics=("wan",))}
    told = {finding.path[1] for finding in check(Scope(Config(nics=nics, zones=zones, nat=nat), frozenset()))}

    holders: list[int] = []
    for i, (zone, protocol, (low, high), host) in enumerate(wanted):
        same = [wanted[j][2] for j in holders if (wanted[j][0], wanted[j][1], wanted[j][3]) == (zone, protocol, host)]
        if not any(low <= other_high and other_low <= high for other_low, other_high in same):
            holders.append(i)
    assert told == set(range(len(wanted))) - set(holders)
