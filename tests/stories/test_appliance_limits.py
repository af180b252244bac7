"""Limits as people meet them: whom they stop, whom they don't, what is told of it, and what a reload changes."""

from pathlib import Path

import pytest
from scapy.layers.inet import TCP, UDP
from structlog.testing import capture_logs

from tests.support.office import CLIENT, HIDDEN, NICS, OTHER, SERVER, VERSIONS, Office, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

LIMITED = HIDDEN.replace("- out: {from: [home], to: [internet], allow: any}",
                         "- out: {from: [home], to: [internet], allow: any, rate: 10/s per source, connections: [100, 40 per source]}")
SERVED = NICS + """
services:
  web:
    listen: 203.0.113.80:80/tcp
    from: [internet]
    targets: [{name: a, address: 192.168.1.20:80}]
    protect: {new-flows: 4/s per source}
"""


async def opened(o: Office, version: int, source: str, first: int, count: int) -> int:
    """How many of so many new flows of a source reach the server."""
    for port in range(first, first + count):
        o.client.send(ip(version, source, SERVER[version]) / UDP(sport=port, dport=9) / b"x")
    await o.bench.settle(0.2)
    return len(o.server.received(UDP))


async def known(o: Office, version: int) -> None:
    """The server is known to the appliance, and that is forgotten by all limits."""
    await opened(o, version, CLIENT[version], 1999, 1)
    for flow in o.bench.appliance.worker.read(0, 4096)[0]:
        o.bench.appliance.worker.delete(flow.flow, "deleted")
    await o.bench.settle(2.0)


@pytest.mark.parametrize("version", VERSIONS)
async def test_one_source_reaches_its_limit_and_another_does_not_notice(version: int) -> None:
    async with office(LIMITED) as o:
        o.bench.station("lan", OTHER[version])
        await known(o, version)
        assert await opened(o, version, CLIENT[version], 2000, 30) == 10
        other = OTHER[version] if version == 4 else "2001:db8:1::1:9"  # of the same /64: the same source
        assert await opened(o, version, other, 2000, 8) == (8 if version == 4 else 2)
        await o.bench.settle(2.0)
        assert await opened(o, version, CLIENT[version], 3000, 30) == 10
        assert o.bench.drops["over-limit"] == (40 if version == 4 else 46)


async def test_connections_are_bounded_and_the_rule_tells_so() -> None:
    async with office(LIMITED) as o:
        await known(o, 4)
        with capture_logs() as said:
            for second in range(6):
                await opened(o, 4, CLIENT[4], 2000 + 100 * second, 10)
                await o.bench.settle(1.0)
        [row] = [row for row in o.bench.appliance.status()["rules"] if row["name"] == "out"]
        assert (row["over-limit"], row["connections"]) == (20, 40)
        assert row["flows"] == 61  # that the rule has decided
        lines = [(line["rule"], line["refused"]) for line in said if line["event"].startswith("over limit")]
        assert lines == [("out", 10)]  # the next ones with the next line, ten seconds later
        await o.bench.settle(10.0)


async def test_a_reload_changes_limits_and_forgets_no_connection(tmp_path: Path) -> None:
    path = tmp_path / "fw.yaml"
    async with office(LIMITED, path=path) as o:
        await known(o, 4)
        for second in range(4):
            await opened(o, 4, CLIENT[4], 2000 + 100 * second, 10)
            await o.bench.settle(1.0)
        path.write_text(LIMITED.replace("40 per source", "45 per source"))
        await o.bench.appliance.reload()
        assert await opened(o, 4, CLIENT[4], 3000, 10) == 5
        path.write_text(HIDDEN)
        await o.bench.appliance.reload()
        await o.bench.settle(1.0)
        assert await opened(o, 4, CLIENT[4], 4000, 30) == 30


async def test_a_service_is_protected_from_each_of_its_clients() -> None:
    async with office(SERVED) as o:
        web = o.bench.station("lan", "192.168.1.20")
        for client in (9, 10):
            for port in range(2000, 2012):
                o.server.send(ip(4, f"203.0.113.{client}", "203.0.113.80") / TCP(sport=port, dport=80, flags="S"))
        await o.bench.settle()
        assert len(web.received(TCP)) == 8
        [row] = [row for row in o.bench.appliance.status()["rules"] if row["name"] == "service web"]
        assert (row["over-limit"], row["connections"]) == (16, 0)


FORWARDED = HIDDEN + """
  - web: {forward: {on: internet, port: tcp/80, to: 192.168.1.20, protect: {new-flows: 4/s per source, connections: 6}}}
"""


@pytest.mark.parametrize("rule", ["", "\n  - all in: {from: [internet], to: [home], allow: tcp}"])
async def test_a_forward_is_protected_from_each_of_its_clients_whichever_rule_lets_them_in(rule: str) -> None:
    async with office(FORWARDED.replace("policy:", "policy:" + rule)) as o:
        web = o.bench.station("lan", "192.168.1.20")
        for client in (9, 10):
            for port in range(2000, 2012):
                o.server.send(ip(4, f"203.0.113.{client}", "203.0.113.1") / TCP(sport=port, dport=80, flags="S"))
        await o.bench.settle()
        assert len(web.received(TCP)) == 6 and o.bench.drops["over-limit"] == 18
        [row] = [row for row in o.bench.appliance.status()["rules"] if row["name"] == "forward web"]
        assert (row["over-limit"], row["connections"]) == (18, 6)
