"""Every frame that comes in goes out, is heard, or is dropped for a reason of the one list: what scapy can spoil, one frame at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_LSRR, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6PacketTooBig,
    ICMPv6Unknown,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, LLC, Dot1Q, Ether
from scapy.packet import Packet, Raw

from appliance.cli.tables import drops
from appliance.flow.reasons import MEANINGS
from ena_dev.abi.admin import Direction
from ena_dev.device.allowances import Allowances
from ena_dev.device.interfaces import DataFaults
from ena_dev.device.model import Device
from tests.support.appliance_bench import ApplianceBench
from tests.support.hostile import frames
from tests.support.office import CLIENT, LAN, OTHER, SERVER, Office, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

PASSES, HEARD = "passes", "heard"
UDP7 = UDP(sport=5000, dport=7)
UNSUMMED = UDP(sport=5000, dport=7, chksum=0)
JUNK = Raw(b"\xff" * 32)


def v4(**fields: Any) -> Packet:
    return ip(4, **{"source": CLIENT[4], "destination": SERVER[4], **fields})


def v6(**fields: Any) -> Packet:
    return ip(6, **{"source": CLIENT[6], "destination": SERVER[6], **fields})


def having(packet: Packet, **fields: Any) -> Packet:
    for name, value in fields.items():
        setattr(packet, name, value)
    return packet


def chain(*headers: Packet, last: Packet = UDP7) -> Packet:
    packet = v6()
    for header in headers:
        packet = packet / header
    return packet / last


def piece(offset: int, more: int, data: bytes, kind: int = 17, **fields: Any) -> Packet:
    return v6() / IPv6ExtHdrFragment(nh=kind, offset=offset, m=more, id=7, **fields) / Raw(data)


HOP, OPTIONS = IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt()
OFFER = ICMPv6ND_NS(tgt=LAN[6])

#        what comes from the client, as an IP packet or a frame for the card's address; what becomes of it
PACKETS: dict[str, tuple[Packet | bytes, str]] = {
    "a datagram, v4": (v4() / UDP7, PASSES),
    "a datagram, v6": (v6() / UDP7, PASSES),
    "IPv4 of version 5": (having(v4() / UDP7, version=5), "malformed"),
    "IPv4 with a header of 16 bytes": (v4(ihl=4) / UDP7, "malformed"),
    "IPv4 with a header longer than itself": (v4(ihl=15, len=28) / UDP7, "malformed"),
    "IPv4 shorter than its header": (v4(len=19) / UDP7, "malformed"),
    "IPv4 longer than its frame": (v4(len=200) / UDP7, "malformed"),
    "IPv4 that ends within its header": (bytes(v4() / UDP7)[:12], "truncated"),
    "IPv4 with a wrong sum": (v4(chksum=0x1234) / UDP7, "bad-checksum"),
    "IPv4 with options": (v4(options=[IPOption_NOP()]) / UDP7, "ip-options"),
    "IPv4 with a source route": (v4(options=[IPOption_LSRR(routers=["8.8.8.8"])]) / UNSUMMED, "ip-options"),
    "IPv4 to a group": (v4(destination="224.0.0.5") / UDP7, "multicast"),
    "IPv4 to class E": (v4(destination="240.0.0.1") / UDP7, "multicast"),
    "IPv4 from loopback": (v4(source="127.0.0.1") / UDP7, "bad-address"),
    "IPv4 to loopback": (v4(destination="127.0.0.1") / UDP7, "bad-address"),
    "IPv4 from nobody": (v4(source="0.0.0.0") / UDP7, "bad-address"),
    "IPv4 to itself": (v4(source=SERVER[4]) / UDP7, "bad-address"),
    "IPv4 from elsewhere": (v4(source="8.8.8.8") / UDP7, "spoofed"),
    "IPv4 to nowhere": (v4(destination="8.8.8.8") / UDP7, "no-route"),
    "IPv4 without hops": (v4(ttl=0) / UDP7, "ttl"),
    "IPv4 on its last hop": (v4(ttl=1) / UDP7, "ttl"),
    "TCP with a header of 16 bytes": (v4() / TCP(dport=80, flags="S", dataofs=4), "malformed"),
    "TCP with a header longer than itself": (v4() / TCP(dport=80, flags="S", dataofs=15), "malformed"),
    "TCP that ends within its header": (v4(proto=6) / Raw(b"\0" * 12), "truncated"),
    "TCP without flags": (v4() / TCP(dport=80, flags=0), "not-a-start"),
    "TCP with all flags": (v4() / TCP(dport=80, flags=255), "not-a-start"),
    "TCP with SYN and FIN": (v4() / TCP(dport=80, flags="SF"), "not-a-start"),
    "TCP with a wrong sum": (v4() / TCP(dport=80, flags="S", chksum=0x1234), "bad-checksum"),
    "UDP that says 7 bytes": (v4() / UDP(dport=7, len=7), "malformed"),
    "UDP longer than its packet": (v4() / UDP(dport=7, len=64), "malformed"),
    "UDP that ends within its header": (v4(proto=17) / Raw(b"\0" * 6), "truncated"),
    "UDP with a wrong sum": (v4() / UDP(dport=7, chksum=0x1234) / b"?", "bad-checksum"),
    "ICMP that ends within its header": (v4(proto=1) / Raw(b"\x08\0\0"), "truncated"),
    "ICMP of no meaning": (v4() / ICMP(type=200), "not-a-start"),
    "an error that quotes nothing": (v4() / ICMP(type=3, code=1), "unrelated"),
    "an error that quotes junk": (v4() / ICMP(type=11) / JUNK, "unrelated"),
    "an error about no flow": (v4() / ICMP(type=3, code=3) / IP(src=SERVER[4], dst=CLIENT[4]) / UDP7, "unrelated"),
    "a redirect": (v4() / ICMP(type=5) / v4() / UDP7, "unrelated"),
    "an unknown protocol": (v4(proto=253) / JUNK, PASSES),
    "a tiny fragment": (v4(flags="MF", proto=6) / Raw(b"\0" * 8), "fragment-tiny"),
    "an empty fragment": (v4(flags="MF", frag=1, proto=17), "fragment-range"),
    "a fragment of odd length": (v4(flags="MF", frag=1, proto=17) / Raw(b"\0" * 9), "fragment-range"),
    "a fragment beyond all packets": (v4(flags=0, frag=8191, proto=17) / Raw(b"\0" * 64), "fragment-range"),
    "a fragment without its first": (v4(flags=0, frag=1, proto=17) / Raw(b"\0" * 8), "fragment-timeout"),
    "a fragment of an error": (v4(flags="MF") / ICMP(type=3) / Raw(b"\0" * 24), "fragment"),
    "IPv6 of version 4": (having(v6() / UDP7, version=4), "malformed"),
    "IPv6 longer than its frame": (v6(plen=200) / UDP7, "malformed"),
    "IPv6 that ends within its header": (bytes(v6() / UDP7)[:30], "truncated"),
    "IPv6 that says it is empty": (v6(plen=0) / UDP7, "truncated"),
    "IPv6 to a group": (v6(destination="ff02::5") / UDP7, "multicast"),
    "IPv6 from a group": (v6(source="ff02::5") / UDP7, "bad-address"),
    "IPv6 from loopback": (v6(source="::1") / UDP7, "bad-address"),
    "IPv6 to a link's address": (v6(destination="fe80::9") / UDP7, "bad-address"),
    "IPv6 to nowhere": (v6(destination="2001:4860::8") / UDP7, "no-route"),
    "IPv6 on its last hop": (v6(ttl=1) / UDP7, "ttl"),
    "IPv6 with nothing in it": (v6(nh=59), PASSES),
    "hop-by-hop options": (chain(HOP), PASSES),
    "eight headers": (chain(*[OPTIONS] * 8), PASSES),
    "nine headers": (chain(*[OPTIONS] * 9), "malformed"),
    "a hundred headers": (chain(*[OPTIONS] * 100), "malformed"),
    "hop-by-hop options twice": (chain(HOP, HOP), "malformed"),
    "hop-by-hop options behind others": (chain(OPTIONS, HOP), "malformed"),
    "two fragment headers": (chain(IPv6ExtHdrFragment(id=1), IPv6ExtHdrFragment(id=2)), "malformed"),
    "an atomic fragment": (chain(IPv6ExtHdrFragment(id=1)), PASSES),
    "a header that isn't there": (v6(nh=60), "truncated"),
    "half a header": (v6(nh=60) / Raw(b"\x11\0\1"), "truncated"),
    "a header longer than its packet": (v6(nh=60) / Raw(b"\x11\xff\1\4\0\0\0\0"), "truncated"),
    "a header that nothing follows": (v6(nh=60) / Raw(b"\x11\0\1\4\0\0\0\0"), "truncated"),
    "headers beyond what a card looks at": (v6(nh=60) / Raw(b"\x11\x1f" + bytes(254)) / UDP7, PASSES),
    "a routing header": (chain(IPv6ExtHdrRouting(type=0, nh=59, addresses=["2001:db8:2::8"], segleft=1), last=JUNK), "ip-options"),
    "a routing header that is done": (chain(IPv6ExtHdrRouting(type=0, addresses=["2001:db8:2::8"], segleft=0)), PASSES),
    "half a fragment header": (v6(nh=44) / Raw(b"\x11\0\0"), "truncated"),
    "a first fragment without its headers": (piece(0, 1, b"\x06\0\1\4\0\0\0\0", kind=60), "fragment-tiny"),
    "an odd fragment, v6": (piece(1, 1, b"\0" * 9), "fragment-range"),
    "an empty fragment, v6": (piece(1, 1, b""), "fragment-range"),
    "a fragment beyond all packets, v6": (piece(8191, 0, b"\0" * 64), "fragment-range"),
    "a fragment without its first, v6": (piece(1, 0, b"\0" * 8), "fragment-timeout"),
    "ESP": (v6(nh=50) / JUNK, PASSES),
    "an error that quotes junk, v6": (v6() / ICMPv6PacketTooBig(mtu=1280) / JUNK, "unrelated"),
    "an error that quotes nothing, v6": (v6() / ICMPv6DestUnreach(), "unrelated"),
    "an unknown ICMPv6 error": (v6() / ICMPv6Unknown(type=100, msgbody=b"\0" * 8), "not-a-start"),
    "a solicitation": (v6(destination=LAN[6], ttl=255) / OFFER, HEARD),
    "a solicitation from afar": (v6(destination=LAN[6], ttl=64) / OFFER, "neighbour-message"),
    "a solicitation behind options": (v6(destination=LAN[6], ttl=255) / HOP / OFFER, "neighbour-message"),
    "a solicitation in fragments": (piece(0, 1, bytes(OFFER), kind=58), "fragment"),
    "a router's advertisement": (v6(destination="ff02::1", ttl=255) / ICMPv6ND_RA(), "neighbour-message"),
    "a redirect, v6": (v6(destination=CLIENT[6], ttl=255) / ICMPv6ND_Redirect(), "neighbour-message"),
    "a ping to a group": (v6(destination="ff02::1") / ICMPv6EchoRequest(), "multicast"),
}  # fmt: skip

HERE, THERE = "02:00:00:00:00:42", "02:00:00:00:00:77"
FRAMES: dict[str, tuple[Packet | bytes, str]] = {
    "a runt": (b"\x02" * 10, "card-malformed"),
    "nothing but a header": (Ether(src=HERE, type=0x0800), "truncated"),
    "an unknown ethertype": (Ether(src=HERE, type=0x88CC) / JUNK, "ethertype"),
    "IEEE 802.3": (Ether(src=HERE, type=48) / LLC() / JUNK, "ethertype"),
    "a tag": (Ether(src=HERE) / Dot1Q(vlan=7) / v4() / UDP7, "vlan"),
    "two tags": (Ether(src=HERE) / Dot1Q(vlan=7) / Dot1Q(vlan=8) / v4() / UDP7, "vlan"),
    "half a tag": (Ether(src=HERE, type=0x8100) / Raw(b"\0\7"), "truncated"),
    "too long": (Ether(src=HERE) / v4() / UDP7 / bytes(3000), "card-too-long"),
    "for another station": (Ether(src=HERE, dst=THERE) / v4() / UDP7, "card-not-mine"),
    "for all stations": (Ether(src=HERE, dst="ff:ff:ff:ff:ff:ff") / v4() / UDP7, "multicast"),
    "ARP": (Ether(src=HERE) / ARP(op=1, hwsrc=HERE, psrc=OTHER[4], pdst=LAN[4]), HEARD),
    "half of ARP": (Ether(src=HERE, type=0x0806) / Raw(bytes(ARP())[:20]), "neighbour-message"),
    "ARP of another link": (Ether(src=HERE) / ARP(op=1, hwtype=6, psrc=OTHER[4], pdst=LAN[4]), "neighbour-message"),
    "ARP for our address": (Ether(src=HERE) / ARP(op=2, hwsrc=HERE, psrc=LAN[4], pdst=LAN[4]), "neighbour-message"),
    "RARP": (Ether(src=HERE, type=0x8035) / ARP(op=3), "ethertype"),
}


def counted(bench: ApplianceBench) -> Counter[str]:
    return Counter(drops(bench.appliance.status()))


async def fate(o: Office, frame: Packet | bytes) -> dict[str, int]:
    """What a frame of the client's was counted as, and whether it reached the server."""
    before, heard = counted(o.bench), o.bench.appliance.decider.punts.handled
    o.client.send(frame)
    await o.bench.settle()
    if o.bench.counters["parked"]:
        await o.bench.settle(60.0)
    found = dict(counted(o.bench) - before)
    found[PASSES] = len(o.server.received())
    found[HEARD] = o.bench.appliance.decider.punts.handled - heard
    return {name: count for name, count in found.items() if count}


@pytest.mark.parametrize(("frame", "end"), [*PACKETS.values(), *FRAMES.values()], ids=[*PACKETS, *FRAMES])
async def test_one_frame_in_is_one_frame_out_or_one_drop_with_its_reason(frame: Packet | bytes, end: str) -> None:
    async with office() as o:
        await o.open_udp(4, port=6000)  # who is where is known
        await o.open_udp(6, port=6000)
        if isinstance(frame, bytes) and len(frame) > 10:
            frame = Ether(src=o.client.mac, dst=o.bench.mac("lan").hex(":"), type=0x0800 if frame[0] >> 4 == 4 else 0x86DD) / Raw(frame)
        elif isinstance(frame, Ether) and frame.dst in (None, "ff:ff:ff:ff:ff:ff") and "dst" not in frame.fields:
            frame.dst = o.bench.mac("lan").hex(":")
        assert await fate(o, frame) == {end: 1}
        assert end in (PASSES, HEARD, *MEANINGS)


LOST: dict[str, tuple[Callable[[Device], None], str]] = {
    "the cable is pulled": (lambda device: device.set_link(False), "card-link-down"),
    "a fault loses all": (lambda device: device.faults.set_data(DataFaults(loss=1.0)), "card-fault"),
    "there are too many connections": (lambda device: device.set_allowances(Allowances(conntrack=1)), "card-allowance"),
}


@pytest.mark.parametrize(("spoil", "end"), LOST.values(), ids=LOST)
async def test_what_a_card_loses_has_its_reason(spoil: Callable[[Device], None], end: str) -> None:
    async with office() as o:
        await o.open_udp(4, port=6000)
        spoil(o.bench.card("lan").device)
        before = counted(o.bench)
        o.client.send(v4() / UDP(sport=6001, dport=7), v4() / UDP(sport=6002, dport=7))
        await o.bench.settle()
        found, passed = counted(o.bench) - before, len(o.server.received())
        assert found.keys() == {end} and found[end] + passed == 2


@pytest.mark.parametrize(("delay", "end"), [(1.0, "card-no-memory"), (0.0, "card-port-full")])
async def test_what_finds_no_room_while_frames_are_delayed_or_the_far_side_takes_none_is_lost(delay: float, end: str) -> None:
    async with office() as o:
        await o.open_udp(4, port=6000)
        o.server.segment.judging = False
        o.bench.card("lan").device.faults.set_data(DataFaults(delay=delay))
        before, left = counted(o.bench), o.server.segment.frames_left
        frames = [bytes(Ether(src=o.client.mac, dst=o.bench.mac("lan").hex(":")) / v4() / UDP(sport=6000, dport=7))] * 100
        for _ in range(50):
            o.client.send(*frames)
            await o.bench.elapse(0.015)
        await o.bench.elapse(0.05)
        found = counted(o.bench) - before
        await o.bench.settle(2.0)
        assert found.keys() == {end} and found[end] + o.server.segment.frames_left - left == 5000


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
async def test_whatever_comes_by_a_wire_is_counted_at_each_step(data: st.DataObject) -> None:
    async with office() as o:
        o.client.segment.judging = o.server.segment.judging = False
        mac = o.bench.mac("lan").hex(":")
        came = [data.draw(frames("lan", mac)) for _ in range(data.draw(st.integers(5, 20)))]
        lan, program = o.bench.card("lan").engine.counters(Direction.RX), o.bench.counters["received"]
        o.client.send(*came)
        await o.bench.settle(70.0)
        taken = o.bench.card("lan").engine.counters(Direction.RX)
        refused = sum(taken[name] - lan[name] for name in taken if name.startswith("drop_"))
        assert taken["packets"] - lan["packets"] + refused == len(came)
        assert o.bench.counters["received"] - program == taken["packets"] - lan["packets"]
        punts = o.bench.appliance.decider.punts
        assert o.bench.counters["punted"] == punts.handled + sum(punts.drops.values())
        assert set(counted(o.bench)) <= set(MEANINGS) and not o.bench.drops.get("internal")
