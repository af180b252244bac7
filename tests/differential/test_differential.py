"""The appliance and the kernel's netfilter agree on every packet of many conversations, or differ on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.differential.compare import Sequence, compare
from tests.differential.deliberate import Deliberate
from tests.differential.differences import DIFFERENCES, known
from tests.differential.kernel import Kernel, missing
from tests.differential.model import Forward, Hide, Model, Rule, Static, nft, yaml
from tests.differential.network import LAN, WAN, packed
from tests.differential.ours import Ours
from tests.differential.packets import Flow, Side, Step, materialize
from tests.differential.run import run
from tests.differential.shrink import told
from tests.differential.state_differences import STATES, explanation
from tests.differential.wire import ACK, ECHO_PROTOCOL, FIN, SYN, TCP, UDP

pytestmark = [pytest.mark.skipif(missing() != "", reason=missing()), pytest.mark.usefixtures("virtual_time")]

OPEN_TO_ALL = Model(
    (Rule(False, ports=(9, 9), protocol="tcp", tells=True), Rule(False, ports=(9, 9), protocol="udp", tells=True), Rule(True)),
    (Hide("home", "dmz", 4, "10.1.7.12/32"), Hide("home", "internet", 4, "10.1.7.12/32"),
     Hide("home", "internet", 6, "2001:db8:1::11/128", "2001:db8:2::40")),
    (Forward(4, "tcp", 443, "10.3.0.20", 8443),),
)  # fmt: skip
HIDDEN = Model(
    (Rule(True, ("home",)),), (Hide("home", "internet", 4), Hide("home", "internet", 6)),
    (Forward(4, "tcp", 443, "10.3.0.20", 8443), Forward(6, "udp", 53, "2001:db8:3::20", 5353)),
)  # fmt: skip
MAPPED = Model(
    (Rule(True),), (), (),
    (
        Static(4, "203.0.113.20/32", "10.1.7.12/32"), Static(4, "10.99.0.0/24", "10.1.0.0/24"),
        Static(6, "2001:db8:aa::/64", "2001:db8:1::/64"),
    ),
)  # fmt: skip
NAMED = {
    4: (("10.1.7.12", "203.0.113.20"), ("10.1.0.10", "10.99.0.10"), ("10.1.0.11", "10.99.0.11")),
    6: (("2001:db8:1::10", "2001:db8:aa::10"), ("2001:db8:1::712", "2001:db8:aa::712")),
}  # fmt: skip
LIFE = (
    Step(flags=SYN, scale=7, sack_permitted=True), Step(back=True, flags=SYN | ACK, ack=1, scale=2), Step(flags=ACK, seq=1, ack=1),
    Step(flags=ACK, seq=1, ack=1, size=500), Step(back=True, flags=ACK, seq=1, ack=501, size=1000),
    Step(flags=ACK, seq=1, ack=1, size=500),
    Step(flags=FIN | ACK, seq=501, ack=1001), Step(back=True, flags=ACK, seq=1001, ack=502),
    Step(back=True, flags=FIN | ACK, seq=1001, ack=502), Step(flags=ACK, seq=502, ack=1002),
)  # fmt: skip
LIVES = ("SYN_SENT", "SYN_RECV", *["ESTABLISHED"] * 4, "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT")
ASKING = (Step(size=20), Step(back=True, size=30), Step(size=5, ttl=2), Step(back=True, size=6))


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with Kernel() as one:
        yield one


@pytest.mark.parametrize("version", [4, 6])
async def test_a_life_of_each_protocol_through_nat_is_the_same(kernel: Kernel, version: int) -> None:
    client, server = ("10.1.0.10", "198.51.100.9") if version == 4 else ("2001:db8:1::10", "2001:db8:9::9")
    kernel.load(nft(HIDDEN))
    async with Ours(yaml(HIDDEN)) as ours:
        for number, (protocol, steps) in enumerate(((TCP, LIFE), (UDP, ASKING), (ECHO_PROTOCOL[version], ASKING))):
            flow = Flow(version, protocol, "lan", client, "wan", server, 53)
            found = await compare(kernel, ours, Sequence((flow,), steps), number)
            assert found is None, told(found)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("inbound", [False, True], ids=["out", "in"])
async def test_static_translation_is_the_kernels_netmap(kernel: Kernel, version: int, inbound: bool) -> None:
    kernel.load(nft(MAPPED))
    peer = "198.51.100.9" if version == 4 else "2001:db8:9::9"
    async with Ours(yaml(MAPPED)) as ours:
        for number, (inside, outside) in enumerate(NAMED[version]):
            for step, (protocol, steps) in enumerate(((TCP, LIFE), (UDP, ASKING), (ECHO_PROTOCOL[version], ASKING))):
                port = 0 if protocol == ECHO_PROTOCOL[version] else 53
                flow = Flow(version, protocol, "lan", inside, "wan", peer, port, low=bool(number))
                if inbound:
                    flow = Flow(version, protocol, "wan", peer, "lan", inside, port, outside, port)
                error = Step(back=True, error=(3, 3) if version == 4 else (1, 4))
                found = await compare(kernel, ours, Sequence((flow,), (*steps, error)), 10 * number + step)
                assert found is None, told(found)


@pytest.mark.parametrize("version", [4, 6])
async def test_a_connection_that_both_ends_have_lost_begins_anew_on_both_sides(kernel: Kernel, version: int) -> None:
    client, server = ("10.1.0.10", "198.51.100.9") if version == 4 else ("2001:db8:1::10", "2001:db8:9::9")
    new = 1 << 20
    begun = (
        Step(flags=SYN, seq=new, scale=7), Step(back=True, flags=SYN | ACK, seq=-new, ack=new + 1, scale=2),
        Step(flags=ACK, seq=new + 1, ack=-new + 1, size=500), Step(back=True, flags=ACK, seq=-new + 1, ack=new + 501, size=900),
        Step(flags=ACK, seq=new + 501, ack=-new + 901),
    )  # fmt: skip
    kernel.load(nft(HIDDEN))
    async with Ours(yaml(HIDDEN)) as ours:
        for number, lived in enumerate((LIFE[:5], LIFE[:7])):
            flow = Flow(version, TCP, "lan", client, "wan", server, 80)
            found = await compare(kernel, ours, Sequence((flow,), (*lived, *begun)), number)
            assert found is None, told(found)


async def test_two_hundred_sequences_by_chance_show_nothing_that_is_not_on_purpose() -> None:
    result = await run(seed=20261124, sequences=200)
    assert not result.failures, "\n\n".join(result.failures)
    assert result.same > 80


@pytest.mark.parametrize("deliberate", DIFFERENCES, ids=lambda each: each.name)
async def test_a_difference_on_purpose_still_occurs(kernel: Kernel, deliberate: Deliberate) -> None:
    kernel.load(nft(OPEN_TO_ALL))
    async with Ours(yaml(OPEN_TO_ALL)) as ours:
        found = await compare(kernel, ours, deliberate.example, 1)
    assert found is not None and found.at == len(deliberate.example.steps) - 1
    assert known(found) is deliberate, told(found)


@pytest.mark.parametrize("deliberate", STATES, ids=lambda each: each.name)
async def test_a_difference_of_tracked_state_still_occurs(kernel: Kernel, deliberate: Deliberate) -> None:
    reached = replace(
        OPEN_TO_ALL, rules=(Rule(False, ("dmz",), protocol="tcp", ports=(7, 7)), *OPEN_TO_ALL.rules),
        forwards=(*OPEN_TO_ALL.forwards, Forward(4, "udp", 53, "10.1.7.12", 53)),
    )  # fmt: skip
    kernel.load(nft(reached))
    async with Ours(yaml(reached)) as ours:
        found = await compare(kernel, ours, deliberate.example, 1)
    assert found is not None and found.states is not None
    assert explanation(found) is deliberate, told(found)


@pytest.mark.parametrize("version", [4, 6])
async def test_what_netfilter_tracks_is_read_with_its_translation_and_state(kernel: Kernel, version: int) -> None:
    client, server, hidden = LAN.hosts[version][0], WAN.beyond[version][0], WAN.address[version]
    kernel.load(nft(HIDDEN))
    ends = packed(client), packed(server), 2000, 53
    assert kernel.tracked(TCP, ends) is None
    flow, side = Flow(version, TCP, "lan", client, "wan", server, 53), Side(244)
    for step, state in zip(LIFE, LIVES, strict=True):
        nic, [frame] = materialize(step, (flow,), side)
        side.note((flow,), step, kernel.pass_through(nic, frame))
        found = kernel.tracked(TCP, ends)
        assert found is not None and found.tcp == state and found.replied == (state != "SYN_SENT")
        assert found.original == ends and found.reply == (packed(server), packed(hidden), 53, 2000)
