"""What becomes of a frame of a decided flow; scapy is the oracle for every header and checksum."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from tests.appliance.flow.bench import L4_BAD, PARTIAL, Bench, pseudo_sum, tuple5

V4 = {"src": "192.168.10.5", "dst": "198.51.100.9"}
V6 = {"src": "2001:db8:a::5", "dst": "2001:db8:b::9"}


def finished(packet: Packet) -> Packet:
    """The packet with lengths and checksums as scapy computes them."""
    for layer in (packet.__class__, TCP, UDP, ICMP, ICMPv6EchoRequest, ICMPv6EchoReply):
        if packet.haslayer(layer):
            for field in ("chksum", "cksum", "len", "plen"):
                if field in packet[layer].fields:
                    delattr(packet[layer], field)
    return packet.__class__(bytes(packet))


def test_a_decided_flow_passes_with_one_hop_less_and_new_link_addresses(bench: Bench) -> None:
    packet = IP(**V4, ttl=64, id=7) / UDP(sport=4000, dport=53) / b"question"
    bench.open(0, packet)
    [sent] = bench.sent(1)
    assert sent.data[:6] == bench.HOSTS[1] and sent.data[6:12] == bench.MACS[1]
    assert bytes(sent.packet[IP]) == bytes(IP(**V4, ttl=63, id=7) / UDP(sport=4000, dport=53) / b"question")


def test_replies_find_their_way_back(bench: Bench) -> None:
    bench.open(0, IP(**V4) / UDP(sport=4000, dport=53))
    bench.receive(1, IP(src=V4["dst"], dst=V4["src"]) / UDP(sport=53, dport=4000) / b"answer")
    [sent] = bench.sent(0)
    assert sent.data[:6] == bench.HOSTS[0] and sent.packet[UDP].payload.load == b"answer"
    assert bench.misses(1) == []


CASES = {
    "tcp": (TCP(sport=4000, dport=443, flags="S", seq=9, options=[("MSS", 1460)]), TCP(sport=443, dport=4000, flags="SA", seq=1, ack=10)),
    "udp": (UDP(sport=4000, dport=443) / b"odd", UDP(sport=443, dport=4000) / b"answer!"),
}


def test_a_frame_of_the_control_plane_is_dropped_where_there_is_no_nic_or_no_buffer() -> None:
    bench = Bench(buffers=256)
    bench.open(0, IP(**V4) / UDP(sport=4000, dport=53))
    frame = bytes(Ether(dst=bench.HOSTS[1], src=bench.MACS[1]) / IP(**V4) / UDP(sport=4000, dport=53))
    assert bench.worker.send(3, frame)
    bench.round()
    assert bench.drops() == {"no-nic": 1}
    while bench.pool.free:
        bench.receive(0, IP(**V4) / UDP(sport=4000, dport=53))
    assert bench.worker.send(1, frame)
    bench.round()
    assert bench.drops() == {"no-nic": 1, "no-buffer": 1}
    for _ in range(5):
        bench.cards[1][0].sent()
        bench.round()
    bench.close()


@pytest.mark.parametrize("transport", CASES)
@pytest.mark.parametrize("version", [4, 6])
def test_translation_is_what_scapy_computes_in_both_directions(bench: Bench, transport: str, version: int) -> None:
    there, back = CASES[transport]
    layer, own, names = (IP, "203.0.113.7", V4) if version == 4 else (IPv6, "2001:db8:1::2", V6)
    target = "10.0.1.11" if version == 4 else "2001:db8:c::11"
    bench.open(0, layer(**names) / there, tuple5(target, own, 8443, 50001))
    [sent] = bench.sent(1)
    expected = finished(sent.packet[layer].copy())
    assert (sent.packet[layer].src, sent.packet[layer].dst) == (own, target)
    assert (sent.packet[transport.upper()].sport, sent.packet[transport.upper()].dport) == (50001, 8443)
    assert bytes(sent.packet[layer]) == bytes(expected)

    answer = layer(src=target, dst=own) / back
    answer[transport.upper()].sport, answer[transport.upper()].dport = 8443, 50001
    bench.receive(1, answer)
    [sent] = bench.sent(0)
    assert (sent.packet[layer].src, sent.packet[layer].dst) == (names["dst"], names["src"])
    assert (sent.packet[transport.upper()].sport, sent.packet[transport.upper()].dport) == (443, 4000)
    assert bytes(sent.packet[layer]) == bytes(finished(sent.packet[layer].copy()))


@pytest.mark.parametrize("version", [4, 6])
def test_an_echo_is_translated_with_its_identifier(bench: Bench, version: int) -> None:
    if version == 4:
        there, back = IP(**V4) / ICMP(type=8, id=77, seq=3) / b"xxxxx", IP(src=V4["dst"], dst="203.0.113.7") / ICMP(type=0, id=999, seq=3)
        bench.open(0, there, tuple5(V4["dst"], "203.0.113.7", 999, 999))
        layer, echo, request = IP, ICMP, ICMP
    else:
        there, back = IPv6(**V6) / ICMPv6EchoRequest(id=77, data=b"xyz"), IPv6(src=V6["dst"], dst="2001:db8:1::2") / ICMPv6EchoReply(id=999)
        bench.open(0, there, tuple5(V6["dst"], "2001:db8:1::2", 999, 999))
        layer, echo, request = IPv6, ICMPv6EchoReply, ICMPv6EchoRequest
    [sent] = bench.sent(1)
    assert sent.packet[request].id == 999
    assert bytes(sent.packet[layer]) == bytes(finished(sent.packet[layer].copy()))
    bench.receive(1, back)
    [sent] = bench.sent(0)
    assert sent.packet[echo].id == 77 and sent.packet[layer].dst == (V4 if version == 4 else V6)["src"]
    assert bytes(sent.packet[layer]) == bytes(finished(sent.packet[layer].copy()))


def test_an_echo_request_the_other_way_is_no_reply(bench: Bench) -> None:
    bench.open(0, IP(**V4) / ICMP(type=8, id=77))
    bench.receive(1, IP(src=V4["dst"], dst=V4["src"]) / ICMP(type=8, id=77))
    [miss] = bench.misses(1)
    assert miss.icmp_type == 8


def test_a_datagram_without_checksum_stays_without(bench: Bench) -> None:
    bench.open(0, IP(**V4) / UDP(sport=4000, dport=53, chksum=0) / b"x", tuple5(V4["dst"], "203.0.113.7", 53, 50001))
    [sent] = bench.sent(1)
    assert sent.packet[UDP].chksum == 0 and sent.packet[UDP].sport == 50001


@pytest.mark.parametrize("version", [4, 6])
def test_a_large_frame_with_a_partial_checksum_leaves_as_the_segments_it_was(bench: Bench, version: int) -> None:
    layer, names, own = (IP, V4, "203.0.113.7") if version == 4 else (IPv6, V6, "2001:db8:1::2")
    target = names["dst"]
    bench.open(0, layer(**names) / TCP(sport=4000, dport=80, flags="S"), tuple5(target, own, 80, 50001))
    bench.receive(1, layer(src=target, dst=own) / TCP(sport=80, dport=50001, flags="SA", ack=1))
    bench.sent(0), bench.sent(1)
    payload = bytes(range(256)) * 40
    big = layer(**names) / TCP(sport=4000, dport=80, flags="A", chksum=pseudo_sum(names["src"], target, 20 + len(payload))) / payload
    bench.receive(0, big, flags=PARTIAL, segment=1428)
    [sent] = bench.sent(1)
    assert sent.tso and sent.mss == 1428 and len(sent.data) == 14 + len(bytes(big))
    assert sent.packet[TCP].chksum == pseudo_sum(own, target, 20 + len(payload))
    assert sent.packet[TCP].payload.load == payload
    if version == 4:
        assert sent.packet[IP].chksum == finished(IP(bytes(sent.packet[IP])))[IP].chksum


def test_the_last_hop_is_punted_as_it_came(bench: Bench) -> None:
    miss = bench.open(0, IP(**V4, ttl=64) / UDP(sport=4000, dport=53), tuple5(V4["dst"], "203.0.113.7", 53, 50001))
    packet = IP(**V4, ttl=1) / UDP(sport=4000, dport=53)
    bench.receive(0, packet)
    [punt] = bench.punts()
    assert (punt.reason, punt.flow, punt.nic) == ("ttl", miss.flow, 0)
    assert punt.frame == bench.frame(0, packet) and bench.drops() == {"ttl": 1}


def test_traffic_of_the_appliance_itself_keeps_its_hops(bench: Bench) -> None:
    bench.open(2, IP(**V4, ttl=1) / UDP(sport=4000, dport=53), egress=1, decrement=False)
    [sent] = bench.sent(1)
    assert sent.packet[IP].ttl == 1


def test_what_the_egress_cannot_carry_is_punted_with_its_mtu(bench: Bench) -> None:
    bench.worker.set_mtu(1, 1400)
    miss = bench.open(0, IP(**V4) / UDP(sport=4000, dport=53))
    bench.receive(0, IP(**V4, flags="DF") / UDP(sport=4000, dport=53) / bytes(1373))
    [punt] = bench.punts()
    assert (punt.reason, punt.mtu, punt.flow) == ("too-big", 1400, miss.flow) and bench.drops() == {"too-big": 1}
    bench.receive(0, IP(**V4, flags="DF") / UDP(sport=4000, dport=53) / bytes(1372))
    assert [len(sent.data) for sent in bench.sent(1)] == [14 + 28, 14 + 1400]


def test_a_large_frame_is_judged_by_its_segments(bench: Bench) -> None:
    bench.open(0, IP(**V4) / TCP(sport=4000, dport=80, flags="S"))
    bench.receive(1, IP(src=V4["dst"], dst=V4["src"]) / TCP(sport=80, dport=4000, flags="SA", ack=1))
    bench.sent(1)
    bench.receive(0, IP(**V4) / TCP(sport=4000, dport=80, flags="A") / bytes(3000), flags=PARTIAL, segment=1461)
    assert [punt.reason for punt in bench.punts()] == ["too-big"]
    bench.receive(0, IP(**V4) / TCP(sport=4000, dport=80, flags="A") / bytes(3000), flags=PARTIAL, segment=1460)
    assert len(bench.sent(1)) == 1


def test_a_frame_from_another_nic_than_its_flow_is_dropped(bench: Bench) -> None:
    bench.open(0, IP(**V4) / UDP(sport=4000, dport=53))
    bench.receive(2, IP(**V4) / UDP(sport=4000, dport=53))
    bench.receive(0, IP(src=V4["dst"], dst=V4["src"]) / UDP(sport=53, dport=4000))
    assert bench.drops() == {"wrong-nic": 2}


def test_padding_is_cut_off(bench: Bench) -> None:
    packet = IP(**V4) / UDP(sport=4000, dport=53)
    bench.open(0, packet)
    bench.receive(0, bench.frame(0, packet) + bytes(18))
    assert [len(sent.data) for sent in bench.sent(1)] == [42, 42]


def test_the_egress_queue_is_that_of_the_ingress_as_far_as_there_are_some() -> None:
    bench = Bench(queues=2)
    bench.receive(0, IP(**V4) / UDP(sport=4000, dport=53), queue=1)
    [miss] = bench.misses(0, 1)
    assert miss.queue == 1
    bench.allow(miss)
    assert (len(bench.sent(1, 0)), len(bench.sent(1, 1))) == (0, 1)
    bench.close()


def test_a_full_egress_drops_and_counts(bench: Bench) -> None:
    packet = IP(**V4) / UDP(sport=4000, dport=53)
    bench.open(0, packet)
    card = bench.cards[1][0]
    for _ in range(20):
        bench.receive(0, *[packet] * 64)
    assert bench.drops()["tx-full"] == 1281 - 63 - 512  # ring of 64 and backlog of 512 are full
    sent = 0
    for _ in range(20):
        sent += len(card.sent())
        bench.receive(0, packet)
    assert sent >= 63 + 512


@pytest.mark.parametrize(
    ("reason", "frame", "flags"),
    [
        ("bad-checksum", Ether(dst=Bench.MACS[0]) / IP(**V4) / UDP(), L4_BAD),
        ("truncated", b"\x00" * 13, 0),
        ("truncated", Ether(dst=Bench.MACS[0]) / Raw(b"\x45\x00\x00\x14"), 0),
        ("malformed", Ether(dst=Bench.MACS[0], type=0x0800) / IP(**V4, len=900) / UDP(), 0),
        ("vlan", bytes(Ether(dst=Bench.MACS[0], type=0x8100)) + b"\x00\x05\x08\x00" + bytes(IP(**V4) / UDP()), 0),
        ("ethertype", Ether(dst=Bench.MACS[0], type=0x88CC) / b"lldp", 0),
        ("other-host", Ether(dst="02:00:00:00:00:99") / IP(**V4) / UDP(), 0),
        ("multicast", Ether(dst=Bench.MACS[0]) / IP(src=V4["src"], dst="224.0.0.5") / UDP(), 0),
        ("multicast", Ether(dst="ff:ff:ff:ff:ff:ff") / IP(**V4) / UDP(), 0),
        ("multicast", Ether(dst=Bench.MACS[0]) / IPv6(src=V6["src"], dst="ff02::1") / UDP(), 0),
    ],
)
def test_what_may_not_be_forwarded_has_its_reason(bench: Bench, reason: str, frame: Packet | bytes, flags: int) -> None:
    if reason == "truncated" and isinstance(frame, Packet):
        frame.type = 0x0800
    bench.receive(0, bytes(frame), flags=flags)
    assert bench.drops() == {reason: 1}
    assert bench.misses() == []


def test_arp_neighbour_discovery_and_icmp_errors_are_punted(bench: Bench) -> None:
    frames = [
        Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(pdst="192.168.10.1"),
        Ether(dst="33:33:ff:00:00:01") / IPv6(src="fe80::5", dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt="fe80::1"),
        Ether(dst=bench.MACS[0]) / IP(**V4) / ICMP(type=3, code=4) / IP(**V4) / UDP(),
        Ether(dst=bench.MACS[0]) / IPv6(**V6) / ICMPv6PacketTooBig() / IPv6(**V6) / UDP(),
    ]
    for frame in frames:
        bench.receive(0, bytes(frame))
    punts = bench.punts()
    assert [punt.reason for punt in punts] == ["arp", "nd", "icmp-error", "icmp-error"]
    assert [punt.frame for punt in punts] == [bytes(frame) for frame in frames]


def test_a_routing_header_with_segments_left_is_dropped_and_one_that_is_done_passes(bench: Bench) -> None:
    bench.receive(0, IPv6(**V6) / IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(addresses=["2001:db8::1"], segleft=1) / UDP(sport=1, dport=2))
    bench.receive(0, IP(**V4, options=[b"\x94\x04\x00\x00"]) / UDP())
    assert bench.drops() == {"ip-options": 2}
    bench.receive(0, IPv6(**V6) / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=2))
    assert len(bench.misses()) == 1
