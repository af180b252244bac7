"""Source ports that are drawn: the replies come in by the queue of the same number as the flow, whoever has decided it.

Which queue a packet takes is the card's word: the counters of its queue pairs.
"""

from collections import Counter
from collections.abc import Iterable

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.packet import Packet

from tests.support.appliance_bench import ApplianceBench
from tests.support.office import CLIENT, OFFICE, OTHER, SERVER, VERSIONS, back, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

FLOWS = tuple((port, 7) for port in range(3000, 3040))
"""Their ports."""
FIRST = 2999, 7
"""A flow before all others: who is not known yet is asked for, and answers that by the first queue."""


def hidden(lan: int, wan: int, how: str) -> str:
    return OFFICE.replace("lan: {", f"lan: {{queues: {lan}, ").replace("wan: {", f"wan: {{queues: {wan}, ") + f"""
nat:
  - four: {{masquerade: {{from: [home], to: [internet]{how}}}}}
  - six:  {{masquerade: {{from: [home], to: [internet], family: v6{how}}}}}
"""


def received(bench: ApplianceBench, nic: str) -> Counter[int]:
    """Packets by the number of their queue, so far."""
    return Counter({pair.index: pair.statistics()["rx_cnt"] for pair in bench.card(nic).adapter.pairs})


def first_packet(version: int, client: str, sport: int, dport: int, protocol: type[Packet]) -> Packet:
    inner = TCP(sport=sport, dport=dport, flags="S", seq=100) if protocol is TCP else UDP(sport=sport, dport=dport) / b"question"
    return ip(version, client, SERVER[version]) / inner


def answer(question: Packet) -> Packet:
    return back(question, flags="SA", seq=900, ack=101) if question.haslayer(TCP) else back(question, b"answer")


async def queues(
    text: str, version: int, protocol: type[Packet], others: bool = False, flows: Iterable[tuple[int, int]] = FLOWS
) -> tuple[Counter[tuple[int, int]], int]:
    """How many flows came in by which queue and had their reply by which other; and how many of them compiled code has decided. `others`:
    a second client has flows with the same ports, and only its flows count."""
    found: Counter[tuple[int, int]] = Counter()
    async with office(text) as o:
        second = o.bench.station("lan", *OTHER.values())
        for station, name in ((o.client, CLIENT), (second, OTHER)) if others else ((o.client, CLIENT),):
            for ports in FIRST, *flows:
                ways: list[int] = []
                for nic in ("lan", "wan"):
                    before = received(o.bench, nic)
                    if nic == "lan":
                        station.send(first_packet(version, name[version], *ports, protocol))
                    else:
                        o.server.send(answer(o.server.only(protocol)))
                    await o.bench.settle(0.02)
                    ways += (received(o.bench, nic) - before).elements()
                    if nic == "wan":
                        assert station.only(protocol)[protocol].dport == ports[0]
                if ports == FIRST:
                    found.clear()
                else:
                    here, there = ways
                    found[here, there] += 1
        return found, o.bench.counters["alike"]


@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize("version", VERSIONS)
async def test_replies_to_random_ports_come_in_by_the_queue_that_their_flow_began_at(version: int, protocol: type[Packet]) -> None:
    found, alike = await queues(hidden(4, 4, ", ports: random"), version, protocol)
    assert all(here == there for here, there in found), found
    assert len(found) >= 3, "flows of several queues"
    assert alike >= len(FLOWS) - 4, "decided without Python"


@pytest.mark.parametrize("version", VERSIONS)
async def test_so_do_replies_to_ports_that_python_chooses(version: int) -> None:
    found, alike = await queues(hidden(4, 4, ", mapping: endpoint-independent, ports: random"), version, UDP)
    assert all(here == there for here, there in found) and len(found) >= 3, found
    assert alike == 0


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_port_that_all_flows_of_an_inside_end_share_brings_all_their_replies_home(version: int) -> None:
    flows = [(port, to) for port in range(3000, 3010) for to in (7, 8, 53, 65535)]
    found, _ = await queues(hidden(4, 4, ", mapping: endpoint-independent, ports: random"), version, UDP, flows=flows)
    assert all(here == there for here, there in found) and len(found) >= 3, found


async def test_so_do_those_to_ports_that_had_to_change() -> None:
    found, _ = await queues(hidden(4, 4, ""), 4, UDP, others=True)
    assert all(here == there for here, there in found) and len(found) >= 3, found


@pytest.mark.parametrize(("lan", "wan"), [(4, 2), (2, 4), (3, 4), (4, 3)])
async def test_between_nics_of_different_numbers_of_queues_the_smaller_counts(lan: int, wan: int) -> None:
    found, _ = await queues(hidden(lan, wan, ", ports: random"), 4, UDP)
    assert all(here % min(lan, wan) == there % min(lan, wan) for here, there in found), found
    assert len({there for _, there in found}) == wan, "replies use all queues of their nic"


async def test_flows_that_came_by_an_only_queue_have_their_replies_spread() -> None:
    found, _ = await queues(hidden(1, 4, ", ports: random"), 4, UDP)
    assert {there for _, there in found} == {0, 1, 2, 3}
