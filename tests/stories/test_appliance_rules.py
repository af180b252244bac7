"""What rules do beside letting pass and refusing: they are tried out, they count, they are lenient with TCP."""

import pytest
from scapy.layers.inet import TCP, UDP
from structlog.testing import capture_logs

from tests.support.office import CLIENT, NICS, SERVER, VERSIONS, Office, back, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

TRIED = NICS + """
policy:
  - no web: {from: [home], to: [internet], deny: [http, udp/80], audit: on}
  - nothing at all: {from: [home], to: [internet], reject: any, audit: on}
  - out: {from: [home], to: [internet], allow: any}
  - too late: {from: [home], to: [internet], deny: any, audit: on}
"""
LENIENT = NICS + """
policy:
  - half: {from: [home], to: [internet], allow: tcp/80, liberal: on}
  - middle: {from: [home], to: [internet], allow: tcp/81, pickup: on}
  - both: {from: [home], to: [internet], allow: tcp/82, pickup: on, liberal: on}
  - out: {from: [home], to: [internet], allow: tcp/83}
"""


def counted(o: Office) -> dict[str, tuple[int, int, int]]:
    return {row["name"]: (row["packets"], row["bytes"], row["flows"]) for row in o.bench.appliance.status()["rules"] if row["packets"]}


# -- rules that are tried out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_rule_under_audit_counts_and_says_what_it_would_decide_and_the_next_one_decides(version: int) -> None:
    async with office(TRIED) as o:
        with capture_logs() as logs:
            await o.open_udp(version, to=80)
        seen = [entry for entry in logs if entry["event"] == "a rule under audit would decide"]
        assert [(entry["rule"], entry["would"], entry["allowed"], entry["by"]) for entry in seen] == [("no web", "deny", True, "out")]
        assert (seen[0]["source"], seen[0]["dport"]) == (CLIENT[version], 80)
        lines = {text.split(":")[0].strip(" -"): number for number, text in enumerate(TRIED.splitlines(), 1)}
        assert (seen[0]["file"], seen[0]["line"], seen[0]["by_line"]) == ("bench.yaml", lines["no web"], lines["out"])
        assert seen[0]["reason"] == "allowed"
        assert counted(o)["no web"] == counted(o)["out"] and counted(o)["out"][::2] == (2, 1)
        assert counted(o).keys() == {"no web", "out"}


async def test_flows_alike_are_counted_for_the_rule_under_audit_without_a_question() -> None:
    async with office(TRIED) as o:
        for port in range(5000, 5010):
            await o.open_udp(4, port=port, to=80)
        assert o.bench.counters["alike"] == 9
        assert counted(o)["no web"][::2] == (20, 10)


async def test_of_two_rules_under_audit_the_first_counts_and_none_behind_the_one_that_decides() -> None:
    async with office(TRIED) as o:
        await o.open_udp(4, to=53)
        assert {name: numbers[::2] for name, numbers in counted(o).items()} == {"nothing at all": (2, 1), "out": (2, 1)}


async def test_a_refused_flow_is_counted_for_both() -> None:
    text = NICS + "\npolicy: [a: {from: [home], to: [internet], allow: any, audit: on}]"
    async with office(text) as o:
        for _ in range(2):
            o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=7))
            await o.bench.settle()
        assert {name: numbers[::2] for name, numbers in counted(o).items()} == {"a": (2, 1), "default deny": (2, 1)}
        assert o.bench.drops == {"policy": 2}


async def test_what_is_logged_of_audits_is_bounded() -> None:
    async with office(TRIED) as o:
        with capture_logs() as logs:
            for port in range(300):
                o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=1000 + port))
            await o.bench.settle()
        assert 1 <= sum("audit" in entry["event"] for entry in logs) <= 110


# -- counting --------------------------------------------------------------------------------------------------------------


async def test_a_rule_tells_how_long_ago_its_last_packet_was() -> None:
    async with office() as o:
        await o.open_udp(4)
        await o.bench.elapse(60)
        idle = {row["name"]: row["idle"] for row in o.bench.appliance.status()["rules"]}
        assert 60 <= idle["out"] < 61 and idle["admin"] is None and idle["default deny"] is None
        o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=7))
        await o.bench.settle()
        assert {row["name"]: row["idle"] for row in o.bench.appliance.status()["rules"]}["out"] < 1


# -- TCP -------------------------------------------------------------------------------------------------------------------


async def tries(o: Office, version: int, port: int, *segments: tuple[str, int, int]) -> list[str]:
    """Segments of the client alone, as (flags, seq, ack): the flags of those that arrive."""
    for flags, seq, ack in segments:
        o.client.send(ip(version, CLIENT[version], SERVER[version]) / TCP(sport=5000, dport=port, flags=flags, seq=seq, ack=ack) / b"")
        await o.bench.settle()
    return [str(packet[TCP].flags) for packet in o.server.received(TCP)]


@pytest.mark.parametrize("version", VERSIONS)
async def test_half_a_connection_passes_where_the_rule_is_liberal(version: int) -> None:
    half = ("S", 100, 0), ("A", 101, 901), ("PA", 1 << 31, 7), ("FA", 500, 901), ("A", 501, 902)
    async with office(LENIENT) as o:
        assert await tries(o, version, 80, *half) == ["S", "A", "PA", "FA", "A"]
        assert [flow["state"] for flow in o.bench.flows] == ["fin-wait"]
        assert await tries(o, version, 83, *half) == ["S"]
        assert o.bench.drops == {"tcp-invalid": 4}


async def test_a_liberal_rule_lets_any_numbers_pass_in_both_directions() -> None:
    async with office(LENIENT) as o:
        last = await o.open_tcp(4)
        o.server.send(back(last, flags="A", seq=1 << 30, ack=5, window=1))
        await o.bench.settle()
        assert o.client.only(TCP)[TCP].seq == 1 << 30
        assert await tries(o, 4, 80, ("A", 3 << 30, 1 << 31)) == ["A"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_connection_is_picked_up_in_the_middle_where_the_rule_says_so(version: int) -> None:
    async with office(LENIENT) as o:
        assert await tries(o, version, 81, ("A", 5000, 9000)) == ["A"]
        assert [flow["state"] for flow in o.bench.flows] == ["established"]
        answer = ip(version, SERVER[version], CLIENT[version]) / TCP(sport=81, dport=5000, flags="PA", seq=9000, ack=5000) / b"data"
        o.server.send(answer)
        await o.bench.settle()
        assert o.client.only(TCP)[TCP].seq == 9000
        assert await tries(o, version, 83, ("A", 5000, 9000)) == []
        assert o.bench.drops == {"not-a-start": 1}


@pytest.mark.parametrize("flags", ["SA", "FA", "R", "RA", ""])
async def test_only_a_plain_segment_is_picked_up(flags: str) -> None:
    async with office(LENIENT) as o:
        assert await tries(o, 4, 81, (flags, 5000, 9000)) == []
        assert o.bench.drops == {"not-a-start": 1}


async def test_flows_alike_are_picked_up_and_begun_each_in_its_own_way() -> None:
    async with office(LENIENT) as o:
        for port in range(5000, 5004):
            for flags in ("A", "S", "FA"):
                source = port + 100 * (flags == "S") + 200 * (flags == "FA")
                o.client.send(ip(4, CLIENT[4], SERVER[4]) / TCP(sport=source, dport=82, flags=flags, seq=1, ack=2 if "A" in flags else 0))
                await o.bench.settle()
        assert sorted(str(packet[TCP].flags) for packet in o.server.received(TCP)) == ["A"] * 4 + ["S"] * 4
        assert o.bench.counters["alike"] == 9
