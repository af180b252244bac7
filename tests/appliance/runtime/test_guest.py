"""A virtual machine behind a nic, played by a script at the nic's socket: traffic, link, comings and goings."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Ether

from appliance.control.client import ControlClient
from appliance.runtime.appliance import Appliance
from appliance.runtime.card_control import CARD, control_path
from ena_dev.errors import HostError, PortError
from tests.support.appliance_bench import ApplianceBench
from tests.support.scripted_guest import ScriptedGuest
from tests.support.station import Station
from tests.support.vfio_client import GuestRam, VfioClient
from tests.support.waiting import PATIENCE

FILE = """
version: 1
nics:
  vm:  {{vfio-user: {socket}, address: 192.168.50.1/24, mtu: 1600, guest-mac: 02:00:00:00:00:50}}
  wan: {{address: 203.0.113.1/24}}
zones: {{machines: {{nics: [vm]}}, internet: {{nics: [wan]}}}}
policy:
  - out: {{from: [machines], to: [internet], allow: udp/7}}
  - me:  {{from: [machines], to: [self], allow: ping}}
"""
MAC, ADDRESS, SERVER = "02:00:00:00:00:50", "192.168.50.2", "203.0.113.9"


@pytest.fixture
def ram() -> GuestRam:
    return GuestRam()


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "vm.sock"


@pytest.fixture
async def bench(socket: Path) -> AsyncIterator[ApplianceBench]:
    async with ApplianceBench(FILE.format(socket=socket), threaded=True) as bench:
        yield bench


@pytest.fixture
def server(bench: ApplianceBench) -> Station:
    return bench.station("wan", SERVER)


async def boot(socket: Path, ram: GuestRam) -> ScriptedGuest:
    """A machine whose interface is up."""

    def booted() -> ScriptedGuest:
        guest = ScriptedGuest(VfioClient(socket), ram)
        guest.up()
        return guest

    return await asyncio.to_thread(booted)


async def send(bench: ApplianceBench, guest: ScriptedGuest, packet: Any) -> None:
    await asyncio.to_thread(guest.send, bytes(Ether(src=MAC, dst=bench.mac("vm").hex(":")) / packet))
    await bench.settle()


def seen(guest: ScriptedGuest) -> list[Any]:
    """All frames in its buffers."""
    frames = [guest.ram.peek(buffer, 2048) for buffer in guest.buffers]
    return [Ether(frame) for frame in frames if any(frame)]


async def heard(bench: ApplianceBench, guest: ScriptedGuest, wanted: Callable[[Any], bool]) -> Any:
    """The first frame of that kind."""
    async with asyncio.timeout(PATIENCE):
        while not (found := [frame for frame in seen(guest) if wanted(frame)]):
            await bench.settle()
    return found[0]


async def arriving(bench: ApplianceBench, station: Station, count: int) -> list[Any]:
    """The datagrams that a station gets, once there are `count`."""
    found: list[Any] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            await bench.settle()
            found += station.received(UDP)
    return found


def nic(bench: ApplianceBench) -> dict[str, Any]:
    return next(nic for nic in bench.appliance.status()["nics"] if nic["name"] == "vm")


async def until(bench: ApplianceBench, link: bool) -> None:
    async with asyncio.timeout(PATIENCE):
        while nic(bench)["link"] != link:
            await bench.settle()


async def acquainted(bench: ApplianceBench, guest: ScriptedGuest) -> None:
    """The guest asks who the appliance is: both know each other then."""
    question = ARP(op=1, hwsrc=MAC, psrc=ADDRESS, pdst="192.168.50.1")
    await asyncio.to_thread(guest.send, bytes(Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / question))
    answer = await heard(bench, guest, lambda frame: ARP in frame and frame[ARP].op == 2)
    assert answer[ARP].hwsrc == bench.mac("vm").hex(":")


async def test_the_link_is_up_while_a_driver_receives(bench: ApplianceBench, socket: Path, ram: GuestRam) -> None:
    assert (nic(bench)["link"], nic(bench)["tap"]) == (False, "")
    assert nic(bench)["guest"] == {"socket": str(socket), "mac": MAC, "connected": False, "driver": None, "link": True}
    guest = await asyncio.to_thread(lambda: ScriptedGuest(VfioClient(socket), ram))
    assert nic(bench)["guest"]["connected"]
    assert not nic(bench)["link"]
    await asyncio.to_thread(guest.up)
    await until(bench, link=True)
    guest.client.close()
    await until(bench, link=False)
    assert not nic(bench)["guest"]["connected"]


async def test_a_guest_talks_through_the_firewall_and_with_it(
    bench: ApplianceBench, server: Station, socket: Path, ram: GuestRam
) -> None:
    guest = await boot(socket, ram)
    await until(bench, link=True)
    await acquainted(bench, guest)
    await send(bench, guest, IP(src=ADDRESS, dst=SERVER) / UDP(sport=5000, dport=7) / b"question")
    await send(bench, guest, IP(src=ADDRESS, dst=SERVER) / UDP(sport=5000, dport=8) / b"forbidden")
    [question] = await arriving(bench, server, 1)
    assert (question.src, question.ttl, question[UDP].payload.load) == (ADDRESS, 63, b"question")
    server.send(IP(src=SERVER, dst=ADDRESS) / UDP(sport=7, dport=5000) / b"answer")
    answer = await heard(bench, guest, lambda frame: UDP in frame)
    assert (answer.dst, answer[IP].ttl, answer[UDP].payload.load[:6]) == (MAC, 63, b"answer")
    assert bench.drops == {"policy": 1}
    await send(bench, guest, IP(src=ADDRESS, dst="192.168.50.1") / ICMP(id=9))


async def test_the_nics_other_settings_hold_for_a_guest_too(socket: Path, ram: GuestRam) -> None:
    settings = "mtu: 1600, queues: 2, offloads: off, faults: {duplicate: 100%}"
    async with ApplianceBench(FILE.format(socket=socket).replace("mtu: 1600", settings), threaded=True) as bench:
        server = bench.station("wan", SERVER)
        guest = await boot(socket, ram)
        await until(bench, link=True)
        await acquainted(bench, guest)
        await send(bench, guest, IP(src=ADDRESS, dst=SERVER) / UDP(sport=5000, dport=7) / b"twice")
        assert len(await arriving(bench, server, 2)) == 2
        assert await asyncio.to_thread(guest.client.irq_info, 2) == (1, 3)


async def test_a_guest_that_is_killed_is_followed_by_the_next(
    bench: ApplianceBench, server: Station, socket: Path, ram: GuestRam
) -> None:
    for life in range(3):
        guest = await boot(socket, ram)
        await until(bench, link=True)
        await acquainted(bench, guest)
        await send(bench, guest, IP(src=ADDRESS, dst=SERVER) / UDP(sport=5000, dport=7) / bytes([life]))
        [datagram] = await arriving(bench, server, 1)
        assert datagram[UDP].payload.load[:1] == bytes([life])
        assert len(bench.flows) == 1
        guest.client.close()
        await until(bench, link=False)
        for buffer in guest.buffers:
            ram.poke(buffer, bytes(2048))


async def test_the_guests_card_takes_what_the_nic_takes_and_no_more(bench: ApplianceBench, socket: Path, ram: GuestRam) -> None:
    guest = await asyncio.to_thread(lambda: ScriptedGuest(VfioClient(socket), ram))
    attributes = await asyncio.to_thread(guest.driver.get, 1)
    assert attributes.u32(40) == 1600
    assert attributes.payload[24:30].hex(":") == MAC


async def test_its_nic_is_shown_as_ethtool_does(bench: ApplianceBench) -> None:
    for kind in "igklxSc":
        assert bench.appliance.ethtool("vm", kind)["text"]


async def test_its_card_can_be_asked_as_any_served_card(bench: ApplianceBench, socket: Path, ram: GuestRam) -> None:
    guest = await boot(socket, ram)
    told = await asyncio.to_thread(ControlClient(control_path(socket), program=CARD).call, "stats")
    assert (told["mac"], told["connected"]) == (MAC, True)
    guest.client.close()


async def test_who_may_connect_is_the_group_of_the_directory(tmp_path: Path) -> None:
    place = tmp_path / "machines"
    place.mkdir()
    if not os.geteuid():
        os.chown(place, 0, 4321)
    place.chmod(0o2750)
    async with ApplianceBench(FILE.format(socket=place / "vm.sock"), threaded=True):
        status = (place / "vm.sock").stat()
        assert (status.st_mode & 0o777, status.st_gid) == (0o660, place.stat().st_gid)
    assert not (place / "vm.sock").exists()


@pytest.mark.parametrize("place", ["missing/vm.sock", "taken"])
async def test_a_socket_that_cannot_be_made_ends_the_start(tmp_path: Path, place: str) -> None:
    (tmp_path / "taken").write_text("precious")
    bench = ApplianceBench(FILE.format(socket=tmp_path / place), threaded=True)
    appliance = Appliance(bench.config, Path("bench.yaml"), bench.world)
    with pytest.raises((HostError, PortError)) as caught:
        await appliance.start()
    assert str(tmp_path / place) in str(caught.value)
    if place.startswith("missing"):
        assert str(caught.value).startswith("nic vm: no place for the socket")
        assert f"install -d -m 2750 -g GROUP {tmp_path}/missing" in str(caught.value)
    assert appliance.cards == []
    assert (tmp_path / "taken").read_text() == "precious"
