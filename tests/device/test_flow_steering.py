"""Which queue a packet goes to, against a matcher that looks at scapy's fields one by one."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from ena_dev.bus.executor import Executor
from ena_dev.device.flow_steering import FlowSteering
from ena_dev.device.interfaces import FlowRule, RssSpec
from ena_dev.errors import UsageError
from ena_dev.packet.toeplitz import SYMMETRIC_KEY
from tests.support.frames import CARD, PEER, tcp, udp
from tests.support.io_bench import IoBench

QUEUES = 3
FEW = {4: ["192.0.2.1", "192.0.2.129", "10.0.0.1"], 6: ["2001:db8::1", "2001:db8::8000:1", "fe80::1"]}


def rule(location: int = 0, queue: int = 0, version: int = 4, protocol: int = 17, **fields: int | bytes) -> FlowRule:
    nothing = {name: bytes(16) for name in ("destination", "destination_mask", "source", "source_mask")}
    return FlowRule(location, queue, version, protocol, **(nothing | fields))  # type: ignore[arg-type]


@st.composite
def rules(draw: st.DrawFn) -> FlowRule:
    version, protocol = draw(st.sampled_from([4, 6])), draw(st.sampled_from([0, 6, 17]))

    def address() -> bytes:
        return ip_address(draw(st.sampled_from(FEW[version]))).packed.ljust(16, b"\0")

    def mask() -> bytes:
        bits = draw(st.sampled_from([0, 0, 0, 0, 25, 32] + [97, 128] * (version == 6)))
        return (((1 << 128) - 1) ^ ((1 << 128 - bits) - 1)).to_bytes(16, "big")

    ports = st.tuples(st.sampled_from([1000, 1001, 2000]), st.sampled_from([0, 0, 0, 0xFFFF, 0xFFFE])) if protocol else st.just((0, 0))
    (to, to_mask), (source, source_mask) = draw(ports), draw(ports)
    return FlowRule(
        draw(st.integers(0, 127)), draw(st.integers(0, QUEUES)), version, protocol, address(), mask(), address(), mask(),
        to, to_mask, source, source_mask, draw(st.sampled_from([0, 0x10])), draw(st.sampled_from([0, 0, 0xFC])),
    )  # fmt: skip


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    version = draw(st.sampled_from([4, 6]))
    source, destination = (draw(st.sampled_from(FEW[version])) for _ in range(2))
    tos = draw(st.sampled_from([0, 0x10, 0x13]))
    kind = draw(st.sampled_from(["plain", "plain", "plain", "fragment", "extended"]))
    if version == 4:
        header = IP(src=source, dst=destination, tos=tos, flags="MF" if kind == "fragment" else 0)
        if kind == "extended":
            header.options = b"\x01\x01\x01\x00"
    else:
        header = IPv6(src=source, dst=destination, tc=tos)
        header = header / IPv6ExtHdrFragment(m=1) if kind == "fragment" else header / IPv6ExtHdrDestOpt() if kind == "extended" else header
    ports = {name: draw(st.sampled_from([1000, 1001, 2000])) for name in ("sport", "dport")}
    transport = draw(st.sampled_from([UDP(**ports), TCP(**ports), ICMP() if version == 4 else Raw(b"")]))
    link = Ether(src=PEER, dst=CARD) / Dot1Q(vlan=5) if draw(st.booleans()) else Ether(src=PEER, dst=CARD)
    return Ether(bytes(link / header / transport / Raw(bytes(16))))


def matches(one: FlowRule, packet: Packet) -> bool:
    """The rule's meaning, field by field."""
    version, ip = (4, packet[IP]) if packet.haslayer(IP) else (6, packet[IPv6])
    if version != one.version:
        return False
    fragment = bool(ip.flags & 1 or ip.frag) if version == 4 else packet.haslayer(IPv6ExtHdrFragment)
    transport = None if fragment else packet[TCP] if packet.haslayer(TCP) else packet[UDP] if packet.haslayer(UDP) else None
    if one.protocol and (transport is None or {TCP: 6, UDP: 17}[type(transport)] != one.protocol):
        return False

    def number(data: bytes) -> int:
        return int.from_bytes(data, "big")

    def same(address: str, value: bytes, mask: bytes) -> bool:
        return number(ip_address(address).packed.ljust(16, b"\0")) & number(mask) == number(value) & number(mask)

    tos = ip.tos if version == 4 else ip.tc
    return (
        same(ip.dst, one.destination, one.destination_mask)
        and same(ip.src, one.source, one.source_mask)
        and tos & one.tos_mask == one.tos & one.tos_mask
        and (not one.protocol or transport.dport & one.destination_port_mask == one.destination_port & one.destination_port_mask)
        and (not one.protocol or transport.sport & one.source_port_mask == one.source_port & one.source_port_mask)
    )


class Card:
    """Three Rx queues, at indices that are no queue numbers; the hash sends all to the last of them."""

    def __init__(self) -> None:
        self.bench = IoBench()
        self.rings = [self.bench.rx(index, depth=64) for index in (1, 4, 9)]
        for ring in self.rings:
            ring.post(60)
        self.bench.engine.set_rss(RssSpec(key=SYMMETRIC_KEY, initial=0, table=(9,)))

    def queue_of(self, frame: bytes) -> int:
        assert self.bench.wire.inject(frame)
        self.bench.run()
        [queue] = [number for number, ring in enumerate(self.rings) if ring.receive()]
        self.rings[queue].post(1)
        return queue


TABLES = st.lists(rules(), max_size=6, unique_by=lambda one: one.location)


@pytest.fixture(scope="module")
def card() -> Card:
    return Card()


@given(table=TABLES, burst=st.lists(packets(), min_size=4, max_size=12))
@settings(max_examples=60)
def test_rules_mean_what_a_field_by_field_matcher_finds(card: Card, table: list[FlowRule], burst: list[Packet]) -> None:
    card.bench.engine.set_flow_rules(table)
    for packet in burst:
        found = next((one.queue for one in sorted(table, key=lambda one: one.location) if matches(one, packet)), QUEUES)
        hashed = QUEUES - 1 if is_hashed(packet) else 0
        assert card.queue_of(bytes(packet)) == (found if found < QUEUES else hashed)


def is_hashed(packet: Packet) -> bool:
    fragment = packet[IP].flags & 1 if packet.haslayer(IP) else packet.haslayer(IPv6ExtHdrFragment)
    return bool((packet.haslayer(TCP) or packet.haslayer(UDP)) and not fragment)


def test_the_lowest_location_wins_whatever_came_first() -> None:
    card = Card()
    card.bench.engine.set_flow_rules([rule(9, 0), rule(2, 1)])
    assert card.queue_of(udp(40)) == 1


def test_a_rule_for_a_queue_that_is_gone_leaves_the_packet_to_the_hash() -> None:
    card = Card()
    card.bench.engine.set_flow_rules([rule(0, 2)])
    assert card.queue_of(udp(40)) == 2
    card.rings[0].destroy()
    del card.rings[0]
    assert card.queue_of(udp(40)) == 1, "two queues are left: the rule's is not there, and the table's is the second now"


def test_a_steered_packet_still_tells_its_hash() -> None:
    card = Card()
    card.bench.engine.set_flow_rules([rule(0, 0, protocol=6)])
    assert card.bench.wire.inject(tcp(40))
    card.bench.run()
    [steered] = card.rings[0].receive()
    card.rings[0].post(1)
    card.bench.engine.set_flow_rules([])
    card.bench.wire.inject(tcp(40))
    card.bench.run()
    [hashed] = card.rings[2].receive()
    assert steered.last.hash == hashed.last.hash != 0


def test_a_reset_leaves_no_rule() -> None:
    card = Card()
    card.bench.engine.set_flow_rules([rule(0, 0)])
    card.bench.engine.stop()
    card.rings = [card.bench.rx(index) for index in (0, 1)]
    card.rings[0].post(2)
    card.rings[1].post(2)
    card.bench.engine.set_rss(RssSpec(key=SYMMETRIC_KEY, initial=0, table=(1,)))
    assert card.queue_of(udp(40)) == 1


def test_there_is_an_end_to_rules() -> None:
    steering = FlowSteering(Executor())
    steering.set(rule(n) for n in range(128))
    with pytest.raises(UsageError, match="129 flow rules"):
        steering.set(rule(n) for n in range(129))
