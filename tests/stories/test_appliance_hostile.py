"""Frames that nobody should send, in any order, from all sides: nothing raises, nothing is lost track of, the appliance still serves."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.l2 import ARP

from appliance.config.values import mac_of
from tests.support.hostile import frames
from tests.support.office import HIDDEN, LAN, office
from tests.support.station import who_has

pytestmark = pytest.mark.usefixtures("virtual_time")

SIDES = {nic: mac_of(nic).hex(":") for nic in ("lan", "wan", "self")}
TEXT = HIDDEN.replace("lan: {", "lan: {queues: 2, ") + """
services:
  dns:
    listen: [203.0.113.1:53/udp, "[2001:db8:2::1]:53/udp"]
    targets: [{name: a, address: 192.168.1.9:53}, {name: b, address: "[2001:db8:1::9]:53"}]
"""
PROBER = "02:00:00:00:00:42"


@st.composite
def history(draw: st.DrawFn) -> list[tuple[str, bytes]]:
    """(nic, frame) in order."""
    sides = draw(st.lists(st.sampled_from(sorted(SIDES)), min_size=10, max_size=24))
    return [(nic, draw(frames(nic, SIDES[nic]))) for nic in sides]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(history())
async def test_nothing_that_comes_by_a_wire_harms_the_appliance(history: list[tuple[str, bytes]]) -> None:
    async with office(TEXT) as o:  # at its end: no failure, frames and buffers accounted for
        await o.open_udp(4)
        await o.open_udp(6)
        for segment in o.bench.segments.values():
            segment.judging = False
        for number, (nic, frame) in enumerate(history):
            o.bench.send(nic, frame)
            if number % 4 == 0:
                await o.bench.settle(0.002)
        await o.bench.settle(5.0)
        assert all(segment.frames_left < 60 + 20 * len(history) for segment in o.bench.segments.values())
        for segment in o.bench.segments.values():
            segment.judging = True
        o.bench.seen("lan")
        o.bench.send("lan", who_has(LAN[4], PROBER, "192.168.1.66"))
        await o.bench.settle()
        assert [frame[ARP].psrc for frame in o.bench.seen("lan") if frame.haslayer(ARP) and frame.dst == PROBER] == [LAN[4]]
