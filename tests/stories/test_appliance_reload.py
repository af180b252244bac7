"""Reload: the file is read again, flows stay where the new policy lets them, and a file that is wrong changes nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import TCP, UDP

from appliance.config.errors import ConfigError
from appliance.runtime.rejudge import Rejudged, rejudge
from tests.support.office import CLIENT, HIDDEN, NICS, OFFICE, OTHER, SERVER, WAN, Office, back, ip, office
from tests.support.station import Station, who_has

pytestmark = pytest.mark.usefixtures("virtual_time")


class File:
    """The file of a running office."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.write(text)

    def write(self, text: str) -> None:
        self.path.write_text(text)


@asynccontextmanager
async def running(tmp_path: Path, text: str = OFFICE) -> AsyncIterator[tuple[Office, File]]:
    file = File(tmp_path / "office.yaml", text)
    async with office(text, path=file.path) as o:
        yield o, file


async def reload(o: Office, file: File, text: str) -> dict[str, Any]:
    file.write(text)
    result = await o.bench.appliance.reload()
    await o.bench.settle()
    return result


def rules(o: Office) -> set[object]:
    return {flow["rule"] for flow in o.bench.flows}


async def test_flows_stay_when_nothing_speaks_against_them(tmp_path: Path) -> None:
    async with running(tmp_path, HIDDEN) as (o, file):
        last = await o.open_tcp(4)
        await o.open_udp(6)
        before = {flow["id"] for flow in o.bench.flows}
        # Everything moves in the file, and a rule comes before the one that let them begin.
        text = "# moved\n" + HIDDEN.replace("policy:", "policy:\n  - new: {from: [internet], to: [self], allow: [ping]}")
        assert await reload(o, file, text) == {"generation": 2, "judged": 2, "ended": 0, "seconds": 0.0}
        assert {flow["id"] for flow in o.bench.flows} == before
        o.server.send(back(last, b"more", flags="PA", seq=901, ack=101))
        await o.bench.settle()
        assert o.client.only(TCP)[TCP].payload.load == b"more"


async def test_what_is_forbidden_now_ends_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path) as (o, file):
        last = await o.open_tcp(4)
        await o.open_udp(4)
        await o.open_udp(6)
        result = await reload(o, file, OFFICE.replace("policy:", "policy:\n  - stop: {from: [home], deny: [udp]}"))
        assert (result["judged"], result["ended"]) == (3, 2)
        assert [flow["protocol"] for flow in o.bench.flows] == ["tcp"]
        o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=7) / b"again")
        o.server.send(back(last, b"more", flags="PA", seq=901, ack=101))
        await o.bench.settle()
        assert o.server.received() == []
        assert o.client.only(TCP)[TCP].payload.load == b"more"
        assert o.bench.drops == {"policy": 1}


async def test_idle_flows_are_judged_as_well(tmp_path: Path) -> None:
    async with running(tmp_path) as (o, file):
        await o.open_udp(4)
        await o.bench.settle(60.0)
        await o.open_udp(4, port=6000)
        assert (await reload(o, file, NICS))["ended"] == 2
        assert o.bench.flows == []


@pytest.mark.parametrize("broken", ["nics: [", OFFICE.replace("to: [internet]", "to: [interne]"), "", "\0"])
async def test_a_wrong_file_leaves_the_running_one(tmp_path: Path, broken: str) -> None:
    async with running(tmp_path) as (o, file):
        await o.open_udp(4)
        with pytest.raises(ConfigError):
            await reload(o, file, broken)
        assert o.bench.appliance.status()["generation"] == 1
        await o.open_udp(4)
        await o.open_udp(4, port=6000)
        with pytest.raises(ConfigError):
            await o.bench.appliance.reload()
        assert (await reload(o, file, OFFICE))["ended"] == 0


DMZ = OFFICE.replace("zones:", "  dmz: {address: 10.0.0.1/24}\nzones:").replace("nics: [wan]", "nics: [wan, dmz]")
LAN_LINE, WAN_LINE = OFFICE.splitlines()[3:5]
TURNED = OFFICE.replace(f"{LAN_LINE}\n{WAN_LINE}", f"{WAN_LINE}\n{LAN_LINE}")
ONE_LESS = OFFICE.replace(WAN_LINE + "\n", "").replace("  internet: {nics: [wan]}\n", "").replace("to: [internet]", "to: [home]")
CHANGES = {
    "address": (OFFICE.replace("203.0.113.1/24", "203.0.113.2/24"), 'nic "wan"', "another `address`", (5, 9)),
    "mtu": (OFFICE.replace("lan: {", "lan: {queues: 1, mtu: 1400, "), 'nic "lan"', "another `mtu`", (4, 20)),
    "one more nic": (DMZ, "nics", "`dmz` come or gone", (6, 3)),
    "one less": (ONE_LESS, "nics", "`wan` come or gone", (3, 1)),
    "another order": (TURNED, "nics", "another order", (4, 3)),
    "host": (OFFICE + "host: {tun: other}\n", "host", "another `tun`", (13, 8)),
    "control": (OFFICE + "control:\n  socket: /tmp/other\n", "control", "another `socket`", (14, 3)),
    "limits": (OFFICE + "limits: {flows: 2048}\n", "limits", "another `flows`", (13, 10)),
    "memory": (OFFICE + "limits: {memory: 2MiB}\n", "limits", "another `memory`", (13, 10)),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_only_a_restart_changes_is_refused_by_name(tmp_path: Path, change: str) -> None:
    text, where, found, place = CHANGES[change]
    async with running(tmp_path) as (o, file):
        with pytest.raises(ConfigError) as caught:
            await reload(o, file, text)
        [mistake] = caught.value.mistakes
        assert (mistake.what, mistake.found) == (f"{where}: can't change while it runs", found)
        assert (mistake.line, mistake.column) == place
        assert mistake.hint == "restart softena, or put it back"
        assert o.bench.appliance.generation == 1
        await o.open_udp(4)


async def test_new_timeouts_hold_for_flows_that_are_there(tmp_path: Path) -> None:
    async with running(tmp_path) as (o, file):
        await o.open_udp(4)
        await reload(o, file, OFFICE + "timeouts: {udp-replied: 5s}\n")
        await o.bench.settle(70.0)
        assert o.bench.flows == []


async def test_masquerade_that_goes_leaves_hidden_flows_hidden(tmp_path: Path) -> None:
    async with running(tmp_path, HIDDEN) as (o, file):
        question = await o.open_udp(4)
        await reload(o, file, OFFICE)
        o.server.send(back(question, b"more"))
        await o.bench.settle()
        assert o.client.only(UDP)[UDP].payload.load == b"more"
        o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=6000, dport=7) / b"new")
        await o.bench.settle()
        assert (question.src, o.server.only(UDP).src) == (WAN[4], CLIENT[4])


FORWARD = OFFICE + "nat: [{web: {forward: {on: internet, port: udp/53, to: 192.168.1.9}}}]\n"


async def test_a_forward_that_leads_elsewhere_now_ends_its_flows(tmp_path: Path) -> None:
    """Nobody judged the old destination under the new file."""
    async with running(tmp_path, FORWARD) as (o, file):
        other = o.bench.station("lan", OTHER[4])
        o.server.send(ip(4, SERVER[4], WAN[4]) / UDP(sport=5000, dport=53) / b"q")
        await o.bench.settle()
        assert o.client.only(UDP)
        assert (await reload(o, file, FORWARD.replace("to: 192.168.1.9}", "to: 192.168.1.10}")))["ended"] == 1
        o.server.send(ip(4, SERVER[4], WAN[4]) / UDP(sport=5000, dport=53) / b"q")
        await o.bench.settle()
        assert other.only(UDP) and o.client.received() == []


def service(a: str, b: str, more: str = "") -> str:
    rows = (("a", 21, a), ("b", 22, b))
    targets = "".join(f"      - {{name: {name}, address: 192.168.1.{host}:53{extra}}}\n" for name, host, extra in rows)
    return OFFICE + f"services:\n  dns:\n    listen: 203.0.113.80:53/udp\n    targets:\n{targets}{more}"


class Dns:
    """A service with two targets at home."""

    def __init__(self, o: Office) -> None:
        self.o, self.targets = o, {host: o.bench.station("lan", f"192.168.1.{host}") for host in (21, 22)}
        for host, station in self.targets.items():
            station.send(who_has("192.168.1.1", station.mac, f"192.168.1.{host}"))

    async def ask(self, ports: range) -> dict[int, int]:
        for port in ports:
            self.o.server.send(ip(4, SERVER[4], "203.0.113.80") / UDP(sport=port, dport=53) / b"q")
        await self.o.bench.settle()
        return {p[UDP].sport: host for host, station in self.targets.items() for p in taken(station)}


def taken(station: Station) -> list[Any]:
    return station.received(UDP)


async def test_a_drained_target_keeps_its_flows_and_takes_no_new_ones(tmp_path: Path) -> None:
    async with running(tmp_path, service("", "")) as (o, file):
        dns = Dns(o)
        before = await dns.ask(range(2000, 2040))
        assert set(before.values()) == {21, 22}
        assert (await reload(o, file, service(", weight: 0", "")))["ended"] == 0
        assert await dns.ask(range(2000, 2040)) == before
        assert set((await dns.ask(range(3000, 3040))).values()) == {22}


async def test_a_target_that_is_gone_takes_its_flows_along(tmp_path: Path) -> None:
    async with running(tmp_path, service("", "")) as (o, file):
        dns = Dns(o)
        before = await dns.ask(range(2000, 2040))
        gone = [port for port, host in before.items() if host == 21]
        text = service("", "").replace("      - {name: a, address: 192.168.1.21:53}\n", "")
        assert (await reload(o, file, text))["ended"] == len(gone)
        assert set((await dns.ask(range(2000, 2040))).values()) == {22}


async def test_what_is_known_of_a_targets_health_outlives_a_reload(tmp_path: Path) -> None:
    text = service("", "", "    health: {type: tcp, every: 1s, timeout: 500ms, rise: 2, fall: 2}\n")
    async with running(tmp_path, text) as (o, file):

        async def probe(address: str, port: int, source: str | None, patience: float) -> str:
            return "" if address.endswith("22") else "dead"

        o.bench.world.probing = probe
        dns = Dns(o)
        await o.bench.settle(5.0)
        await reload(o, file, "# the same\n" + text)
        assert set((await dns.ask(range(2000, 2040))).values()) == {22}


async def test_reloads_at_the_same_time_happen_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slowly(*arguments: Any) -> Rejudged:
        await asyncio.sleep(1.0)
        return await rejudge(*arguments)

    monkeypatch.setattr("appliance.runtime.appliance.rejudge", slowly)
    async with running(tmp_path) as (o, _):
        await o.open_udp(4)

        async def one() -> tuple[int, int]:
            result = await o.bench.appliance.reload()
            return result["generation"], o.bench.appliance.ruleset.generation

        assert await asyncio.gather(*(one() for _ in range(5))) == [(n, n) for n in range(2, 7)]


async def test_an_address_that_a_reload_brings_is_announced_and_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as (o, file):
        o.bench.seen("wan")
        await reload(o, file, service("", ""))
        announced = [frame.psrc for frame in o.bench.seen("wan") if frame.type == 0x0806]
        assert announced == ["203.0.113.80"]
        o.server.send(who_has("203.0.113.80", o.server.mac, SERVER[4]))
        await o.bench.settle()
        assert [frame.psrc for frame in o.bench.seen("wan") if frame.type == 0x0806] == ["203.0.113.80"]
