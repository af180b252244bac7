"""MSS clamping: what SYNs announce, against scapy's reading of them; everything else of the segment stays as it is."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, in4_chksum
from scapy.layers.inet6 import IPv6, in6_chksum
from scapy.packet import Packet

from appliance.flow.records import Profile
from tests.appliance.flow.bench import PARTIAL, Bench, Sent, profile, pseudo_sum, tuple5

ENDS = {4: ("10.0.0.1", "198.51.100.9"), 6: ("2001:db8:1::9", "2001:db8:2::9")}
FITS = 1


def clamped(mss: int) -> Profile:
    return profile()._replace(mss=mss)


def syn(version: int, options: list[tuple[str, object]], flags: str = "S", *, back: bool = False) -> Packet:
    source, destination = ENDS[version][:: -1 if back else 1]
    outer = IP(src=source, dst=destination) if version == 4 else IPv6(src=source, dst=destination)
    ports: dict[str, Any] = {"sport": 80, "dport": 1} if back else {"sport": 1, "dport": 80}
    return outer / TCP(**ports, flags=flags, seq=100 if not back else 500, ack=101 if back else 0, options=options)


def announced(packet: Packet) -> list[object]:
    return [value for name, value in packet[TCP].options if name == "MSS"]


def right(sent: Sent) -> bool:
    """Whether the segment's checksum is right as it stands on the wire."""
    packet = sent.packet
    if IPv6 in packet:
        return bool(in6_chksum(6, packet[IPv6], sent.data[54:]) == 0)  # type: ignore[no-untyped-call]
    return bool(in4_chksum(6, packet[IP], sent.data[34:]) == 0)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("mss", "largest"), [(0, {4: 8000, 6: 8000}), (FITS, {4: 1452, 6: 1432}), (1300, {4: 1300, 6: 1300})])
def test_syn_and_its_answer_announce_what_fits(version: int, mss: int, largest: dict[int, int]) -> None:
    bench = Bench(mtus=(9000, 1492, 1500))
    bench.worker.set_profiles(profile(), {5: clamped(mss)}, {})
    bench.open(0, syn(version, [("MSS", 8000)]), rule=5)
    bench.receive(1, syn(version, [("MSS", 8000)], "SA", back=True))
    [there], [here] = bench.sent(1), bench.sent(0)
    assert announced(there.packet) == announced(here.packet) == [largest[version]]
    assert right(there) and right(here)
    bench.close()


def test_a_nic_clamps_all_that_passes_it_either_way_and_the_lowest_counts(bench: Bench) -> None:
    pair = [card.pair for card in bench.cards[1]]
    bench.worker.add_nic(1, bench.MACS[1], 1500, pair, mss=1200)
    bench.worker.set_profiles(profile(), {5: clamped(1100), 6: clamped(1300)}, {})
    for sport, (rule, expected) in enumerate([(4, 1200), (5, 1100), (6, 1200)], 1):
        packet = syn(4, [("MSS", 1460)])
        packet[TCP].sport = sport
        bench.open(0, packet, rule=rule)
        assert announced(bench.sent(1)[0].packet) == [expected]


def test_what_announces_less_or_nothing_stays(bench: Bench) -> None:
    bench.worker.set_profiles(clamped(1300), {}, {})
    some: list[list[tuple[str, object]]] = [[("MSS", 1300)], [("MSS", 536)], [("NOP", None), ("SAckOK", b"")], []]
    for sport, options in enumerate(some, 1):
        packet = syn(4, options)
        packet[TCP].sport = sport
        bench.open(0, packet)
        [sent] = bench.sent(1)
        assert bytes(sent.packet[TCP]) == bytes(packet)[20:]


def test_a_checksum_that_a_card_is_to_finish_stays_as_it_is(bench: Bench) -> None:
    bench.worker.set_profiles(clamped(1300), {}, {})
    packet = syn(4, [("MSS", 1460)])
    packet[TCP].chksum = pseudo_sum(*ENDS[4], len(packet[TCP]))
    bench.receive(0, packet, flags=PARTIAL)
    [miss] = bench.misses()
    bench.allow(miss)
    [sent] = bench.sent(1)
    assert sent.partial and sent.packet[TCP].chksum == packet[TCP].chksum and announced(sent.packet) == [1300]


def test_translation_and_clamp_agree_on_the_checksum(bench: Bench) -> None:
    bench.worker.set_profiles(clamped(1300), {}, {})
    bench.open(0, syn(4, [("MSS", 1460)]), reply=tuple5("198.51.100.9", "203.0.113.7", 80, 40000))
    [sent] = bench.sent(1)
    assert announced(sent.packet) == [1300] and sent.packet[IP].src == "203.0.113.7" and right(sent)


KNOWN = [b"\x01", b"\x03\x03\x07", b"\x04\x02", b"\x02\x04\x05\xb4", b"\x02\x04\x23\x00", b"\x08\x0a" + bytes(8)]
OPTIONS = st.lists(st.sampled_from(KNOWN), max_size=8)


@settings(max_examples=150)
@given(options=OPTIONS | st.lists(st.binary(max_size=6), max_size=6), limit=st.integers(88, 9000))
def test_any_options_are_read_within_bounds_and_leave_with_a_right_checksum(options: list[bytes], limit: int) -> None:
    data = b"".join(options)[:40]
    data += bytes(-len(data) % 4)
    bench = Bench()
    bench.worker.set_profiles(clamped(limit), {}, {})
    packet = IP(bytes(IP(src=ENDS[4][0], dst=ENDS[4][1]) / TCP(sport=1, dport=80, flags="S", dataofs=5 + len(data) // 4) / data))
    bench.open(0, packet)
    [sent] = bench.sent(1)
    was, now = bytes(packet[TCP])[20 : 20 + len(data)], sent.data[54 : 54 + len(data)]
    assert now == by_definition(was, limit)
    assert right(sent)
    bench.close()


def by_definition(options: bytes, limit: int) -> bytes:
    """RFC 9293, 3.2: kinds 0 and 1 alone, others with their length."""
    out, rest = b"", options
    while rest:
        kind, size = rest[0], 1 if rest[0] == 1 else rest[1] if len(rest) > 1 else 0
        if kind == 0 or size < 1 or size > len(rest) or (kind != 1 and size < 2):
            break
        option, rest = rest[:size], rest[size:]
        out += b"\x02\x04" + limit.to_bytes(2) if kind == 2 and size == 4 and int.from_bytes(option[2:]) > limit else option
    return out + rest
