"""Cards that misbehave under a running appliance: resets under traffic, lost interrupts, links that fall, frames that go missing.

Flows and buffers survive; what is lost is frames, and each is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP

from appliance.config.models import Config
from ena_dev.abi.registers import ResetReason
from ena_dev.driver.adapter import ResetReport
from ena_dev.errors import PortError
from ena_dev.port.port import Port
from tests.support.appliance_bench import ApplianceBench, WireWorld
from tests.support.office import CLIENT, HIDDEN, OFFICE, OTHER, SERVER, VERSIONS, WAN, Office, back, echo, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")


def watch(o: Office) -> list[ResetReport]:
    """Every reset that a driver of the appliance makes."""
    reports: list[ResetReport] = []
    for card in o.bench.appliance.cards:
        card.adapter.on_reset.append(reports.append)
    return reports


async def exchange(o: Office, count: int = 20, port: int = 5000, pause: float = 0.002) -> int:
    """Questions of one flow, each answered: how many answers came."""
    answers = 0
    for number in range(count):
        o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=port, dport=7) / number.to_bytes(2, "big"))
        await o.bench.settle(pause)
        for question in o.server.received():
            o.server.send(back(question, b"a"))
        await o.bench.settle(pause)
        answers += len(o.client.received())
    return answers


@pytest.mark.parametrize("nic", ["lan", "wan", "self"])
async def test_a_card_is_reset_under_traffic_and_no_flow_notices(nic: str) -> None:
    async with office(HIDDEN) as o:
        reports, last = watch(o), await o.open_tcp(4)
        assert await exchange(o) == 20
        before = {flow["id"] for flow in o.bench.flows}
        for _ in range(3):
            resetting = asyncio.create_task(o.bench.card(nic).adapter.reset(ResetReason.USER_TRIGGER))
            await exchange(o)
            await resetting
        assert await exchange(o) == 20
        assert {flow["id"] for flow in o.bench.flows} == before
        o.server.send(back(last, b"still here", flags="PA", seq=901, ack=101))
        await o.bench.settle()
        assert o.client.only(TCP)[TCP].payload.load == b"still here"
        assert [report.reason for report in reports] == [ResetReason.USER_TRIGGER] * 3
        assert all(report.whole for report in reports)
        assert o.bench.appliance.status()["nics"][o.bench.card(nic).index]["resets"] >= 3


async def test_frames_that_wait_for_a_neighbour_survive_a_reset() -> None:
    async with office() as o:
        o.server.silent = True
        o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=7) / b"patience")
        await o.bench.settle()
        await o.bench.card("wan").adapter.reset()
        await o.bench.card("lan").adapter.reset()
        o.server.silent = False
        await o.bench.settle(2.0)
        assert o.server.only(UDP).payload.load == b"patience"


@pytest.mark.parametrize(
    ("fault", "reason", "within"),
    [
        ("withhold", ResetReason.MISS_TX_CMPL, 8.0),
        ("keep-alive", ResetReason.KEEP_ALIVE_TO, 10.0),
        ("admin", ResetReason.MISSING_ADMIN_INTERRUPT, 10.0),
    ],
)
async def test_the_watchdog_heals_a_card_and_traffic_resumes(fault: str, reason: ResetReason, within: float) -> None:
    async with office() as o:
        reports = watch(o)
        assert await exchange(o) == 20
        faults = o.bench.card("wan").device.faults
        {"withhold": lambda: faults.withhold_tx_completions(1), "keep-alive": lambda: faults.miss_keep_alives(100),
         "admin": lambda: faults.lose_admin_interrupts(1000)}[fault]()  # fmt: skip
        assert await exchange(o) == 20
        await o.bench.settle(within)
        assert [report.reason for report in reports] == [reason]
        assert reports[0].whole
        assert await exchange(o) == 20
        assert len(o.bench.flows) == 1


async def test_a_lost_interrupt_delays_frames_but_loses_none() -> None:
    async with office() as o:
        assert await exchange(o) == 20
        o.bench.card("wan").device.faults.lose_interrupts(1)
        question = ip(4, SERVER[4], CLIENT[4]) / UDP(sport=7, dport=5000) / b"late"
        o.server.send(question)
        await o.bench.settle(0.5)
        early = len(o.client.received())
        await o.bench.settle(4.0)
        assert early + len(o.client.received()) == 1
        assert await exchange(o) == 20


async def test_a_link_that_falls_comes_back_with_its_flows_and_is_told_who_we_are() -> None:
    async with office() as o:
        assert await exchange(o) == 20
        o.bench.card("wan").device.faults.link_flap(5.0)
        await o.bench.settle(1.0)
        assert o.bench.appliance.status()["nics"][1]["link"] is False
        assert await exchange(o) == 0
        o.bench.seen("wan")
        await o.bench.settle(6.0)
        assert [frame.psrc for frame in o.bench.seen("wan") if frame.haslayer(ARP) and frame[ARP].psrc == frame[ARP].pdst] == [WAN[4]]
        assert await exchange(o) == 20
        assert len(o.bench.flows) == 1


FAULTS = "faults: {seed: 7, loss: 10%, duplicate: 5%, delay: 2ms, jitter: 1ms, reorder: 5%}"


async def lossy(seed: int) -> list[bytes]:
    """What reaches the server of 300 datagrams over a bad link."""
    text = OFFICE.replace("wan: {", f"wan: {{{FAULTS.replace('7', str(seed), 1)}, ")
    async with office(text) as o:
        while not (o.server.received() or await exchange(o, 1, pause=0.02)):
            await o.bench.settle(1.0)
        o.server.received()
        for number in range(300):
            o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=7) / number.to_bytes(2, "big"))
            await o.bench.elapse(0.001)
        await o.bench.settle(0.5)
        return [packet[UDP].payload.load for packet in o.server.received(UDP)]


async def test_faults_of_a_nic_are_those_that_the_file_asks_for_and_repeatable() -> None:
    came = await lossy(7)
    assert 240 <= len(set(came)) <= 290
    assert 3 <= len(came) - len(set(came)) <= 30
    assert came != sorted(came)
    assert await lossy(7) == came
    assert await lossy(8) != came


@pytest.mark.parametrize("version", VERSIONS)
async def test_with_several_queues_each_flow_keeps_its_order(version: int) -> None:
    text = HIDDEN.replace("lan: {", "lan: {queues: 4, ").replace("wan: {", "wan: {queues: 2, ")
    async with office(text) as o:
        other = o.bench.station("lan", *OTHER.values())
        await o.open_udp(version, port=4999)
        for number in range(8):
            for port in range(5000, 5020):
                o.client.send(ip(version, CLIENT[version], SERVER[version]) / UDP(sport=port, dport=7) / bytes([number]))
            other.send(echo(version, OTHER[version], SERVER[version], 7, data=bytes([number])))
            await o.bench.settle(0.01)
        packets = o.server.received()
        flows: dict[int, list[int]] = {}
        for packet in packets:
            if packet.haslayer(UDP):
                flows.setdefault(packet[UDP].sport, []).append(packet[UDP].payload.load[0])
                o.server.send(back(packet, packet[UDP].payload.load))
        assert len(flows) == 20 and all(numbers == list(range(8)) for numbers in flows.values())
        await o.bench.settle()
        answers: dict[int, list[int]] = {}
        for packet in o.client.received(UDP):
            answers.setdefault(packet[UDP].dport, []).append(packet[UDP].payload.load[0])
        assert answers == {port: list(range(8)) for port in range(5000, 5020)}
        used = [pair.statistics()["rx_cnt"] for pair in o.bench.card("lan").adapter.pairs]
        assert sum(count > 0 for count in used) >= 3


async def test_what_was_received_before_the_drain_is_sent_and_nothing_after() -> None:
    async with office() as o:
        await o.open_udp(4)
        for number in range(50):
            o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=7) / bytes([number]))
        await o.bench.elapse(0.001)
        await o.bench.appliance.drain()
        o.client.send(ip(4, CLIENT[4], SERVER[4]) / UDP(sport=5000, dport=7) / b"too late")
        await o.bench.settle(1.0)
        assert [packet[UDP].payload.load for packet in o.server.received(UDP)] == [bytes([number]) for number in range(50)]


class BrokenWorld(WireWorld):
    """Something fails while the appliance starts."""

    def __init__(self, where: str) -> None:
        super().__init__(False)
        self.where, self.restored = where, 0

    def host_port(self, config: Config, mac: bytes) -> Port:
        self._fail("host_port")
        return super().host_port(config, mac)

    async def adopt(self, config: Config) -> Config:
        self._fail("adopt")
        return await super().adopt(config)

    async def connect(self, config: Config, own: Sequence[str]) -> None:
        self._fail("connect")

    async def restore(self) -> None:
        self.restored += 1

    def _fail(self, where: str) -> None:
        if where == self.where:
            raise PortError(f"no {where} today")


@pytest.mark.parametrize("where", ["host_port", "adopt", "connect"])
async def test_a_start_that_fails_undoes_all_of_it(where: str, capfd: pytest.CaptureFixture[str]) -> None:
    bench = ApplianceBench(OFFICE)
    bench.world = world = BrokenWorld(where)
    with pytest.raises(PortError, match=f"no {where} today"):
        await bench.__aenter__()
    assert world.restored == 1
    assert bench.appliance.pool.free == bench.appliance.pool.count
    await bench.appliance.stop()  # and once more changes nothing
    assert "Traceback" not in capfd.readouterr().out


async def test_an_appliance_leaves_no_task_behind() -> None:
    async with office() as o:
        await o.open_udp(4)
    await asyncio.sleep(1.0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_neighbours_mac_is_kept_through_a_reset() -> None:
    async with office() as o:
        await o.open_udp(4)
        await o.bench.card("wan").adapter.reset()
        o.server.questions.clear()
        o.client.send(IP(src=CLIENT[4], dst=SERVER[4]) / UDP(sport=5000, dport=7) / b"x")
        await o.bench.settle()
        assert o.server.only(UDP) and o.server.questions == []
