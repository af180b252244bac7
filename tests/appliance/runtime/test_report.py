"""What is shown of a running appliance: plain data, whole, in pages."""

import json

import pytest
from scapy.layers.inet import UDP

from ena_dev.errors import UsageError
from tests.support.office import CLIENT, HIDDEN, SERVER, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")


async def test_everything_that_is_shown_is_json() -> None:
    async with office(HIDDEN) as o:
        await o.open_udp(4)
        await o.open_tcp(6)
        status = json.loads(json.dumps(o.bench.appliance.status()))
        assert [nic["name"] for nic in status["nics"]] == ["lan", "wan", "self"]
        assert {row["address"] for row in status["neighbours"]} >= {CLIENT[4], SERVER[4], CLIENT[6], SERVER[6]}
        assert [(row["name"], row["flows"]) for row in status["rules"]] == [("out", 2), ("admin", 0), ("default deny", 0)]
        assert status["flows"]["used"] == 2
        flows = json.loads(json.dumps(o.bench.appliance.flows(100, 0)))
        assert {flow["protocol"] for flow in flows["flows"]} == {"udp", "tcp"}
        assert {(flow["rule"], HIDDEN.splitlines()[flow["line"] - 1].strip()[:5]) for flow in flows["flows"]} == {("out", "- out")}
        assert all(flow["age"] >= flow["idle"] >= 0 and flow["expires"] > 0 for flow in flows["flows"])


async def test_flows_come_in_pages_and_each_once() -> None:
    async with office() as o:
        for port in range(2000, 2100):
            o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=port, dport=7))
        await o.bench.settle()
        seen, cursor, pages = [], 0, 0
        while True:
            page = o.bench.appliance.flows(7, cursor)
            assert len(page["flows"]) <= 7
            seen += [flow["original"]["sport"] for flow in page["flows"]]
            cursor, pages = page["next"], pages + 1
            if not cursor:
                break
        assert sorted(seen) == list(range(2000, 2100)) and pages >= 15


@pytest.mark.parametrize("kind", ["i", "g", "k", "l", "x", "S", "c"])
async def test_each_card_is_shown_as_ethtool_does(kind: str) -> None:
    async with office() as o:
        for nic in ("lan", "wan", "self"):
            shown = o.bench.appliance.ethtool(nic, kind)
            assert json.dumps(shown["data"]) and shown["text"].count("\n") >= 2


async def test_an_unknown_card_is_named_with_those_that_are_there() -> None:
    async with office() as o:
        with pytest.raises(UsageError, match="no nic is called eth0; there are lan, wan, self"):
            o.bench.appliance.ethtool("eth0", "S")
