"""Large TCP packets: taken whole from a port that has them, left whole to one that takes them, cut for one that doesn't."""

from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, in4_pseudoheader
from scapy.layers.inet6 import IPv6, in6_pseudoheader
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import checksum

from ena_dev.port.meta import FrameMeta
from tests.support.office import CLIENT, HIDDEN, OFFICE, SERVER, VERSIONS, WAN, Office, back, ip, office

pytestmark = pytest.mark.usefixtures("virtual_time")

DATA = bytes(range(256)) * 80  # 20,480 bytes
MSS = {4: 1448, 6: 1428}


def large(version: int, packet: Packet, segment: int) -> tuple[bytes, FrameMeta]:
    """A TCP packet as Linux hands it to a TAP: not segmented, the checksum begun with the pseudo header's sum."""
    raw = bytearray(bytes(packet))
    l3 = 20 if version == 4 else 40
    parsed: Any = IP(bytes(raw)) if version == 4 else IPv6(bytes(raw))
    pseudo = (in4_pseudoheader if version == 4 else in6_pseudoheader)(6, parsed, len(raw) - l3)
    raw[l3 + 16 : l3 + 18] = (checksum(bytes(pseudo)) ^ 0xFFFF).to_bytes(2, "big")
    header = 14 + l3 + parsed[TCP].dataofs * 4
    meta = FrameMeta(partial=True, csum_start=14 + l3, csum_offset=16, segment=segment, version=version, header_length=header)
    return bytes(raw), meta


async def send_large(o: Office, version: int, segment: int, data: bytes = DATA) -> None:
    packet = ip(version, CLIENT[version], SERVER[version]) / TCP(sport=5000, dport=80, flags="PA", seq=101, ack=901) / data
    raw, meta = large(version, packet, segment)
    frame = bytes.fromhex(o.client.segment.mac.replace(":", "")) + bytes.fromhex(o.client.mac.replace(":", ""))
    o.client.send(frame + (b"\x08\x00" if version == 4 else b"\x86\xdd") + raw, meta=meta)
    await o.bench.settle()


@pytest.mark.parametrize("text", [OFFICE, HIDDEN], ids=["plain", "hidden"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_large_packet_leaves_as_one_where_the_port_takes_it(version: int, text: str) -> None:
    async with office(text, capable=True) as o:
        await o.open_tcp(version)
        o.server.segment.seen()
        await send_large(o, version, MSS[version])
        [meta] = o.server.segment.metas
        assert (meta.segment, meta.partial, meta.version) == (MSS[version], True, version)
        packet = o.server.only(TCP)
        assert packet.src == (WAN if text is HIDDEN else CLIENT)[version]
        assert (packet[TCP].seq, packet[TCP].payload.load) == (101, DATA)


@pytest.mark.parametrize("text", [OFFICE, HIDDEN], ids=["plain", "hidden"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_large_packet_is_cut_for_a_port_without(version: int, text: str) -> None:
    async with office(text) as o:
        await o.open_tcp(version)
        await send_large(o, version, MSS[version])
        segments = o.server.received(TCP)
        assert len(segments) == -(-len(DATA) // MSS[version])
        at = 101
        for number, segment in enumerate(segments):
            assert segment[TCP].seq == at
            assert ("P" in segment[TCP].flags) is (number == len(segments) - 1)
            at += len(segment[TCP].payload)
        assert b"".join(bytes(segment[TCP].payload) for segment in segments) == DATA
        if version == 4:
            assert len({segment.id for segment in segments}) == len(segments)


@pytest.mark.parametrize("capable", [True, False])
@pytest.mark.parametrize("one", ["lan", "wan"])
async def test_where_one_card_has_no_offloads_large_packets_still_arrive(one: str, capable: bool) -> None:
    async with office(OFFICE.replace(f"{one}: {{", f"{one}: {{offloads: off, "), capable=capable) as o:
        await o.open_tcp(4)
        await send_large(o, 4, 1448)
        assert b"".join(bytes(segment[TCP].payload) for segment in o.server.received(TCP)) == DATA
        assert o.bench.drops == {}


@pytest.mark.parametrize("version", VERSIONS)
async def test_segments_that_do_not_fit_the_way_out_are_told_to_the_sender(version: int) -> None:
    async with office(OFFICE.replace("wan: {", "wan: {mtu: 1280, "), capable=True) as o:
        await o.open_tcp(version)
        await send_large(o, version, 1400)
        assert o.server.received() == []
        error = bytes(o.client.only())
        assert error[20 if version == 4 else 40] == (3 if version == 4 else 2)
        await send_large(o, version, 1200)
        assert o.server.only(TCP)[TCP].payload.load == DATA


@pytest.mark.parametrize("capable", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_checksum_left_to_the_card_is_right_in_the_end(version: int, capable: bool) -> None:
    """Of an ordinary segment; the other direction, and translated."""
    async with office(HIDDEN, capable=capable) as o:
        last = await o.open_tcp(version)
        packet = back(last, b"answer", flags="PA", seq=901, ack=101)
        raw, meta = large(version, packet, 0)
        o.server.send(bytes(Ether(src=o.server.mac, dst=o.server.segment.mac) / packet)[:14] + raw, meta=meta)
        await o.bench.settle()
        assert o.client.only(TCP)[TCP].payload.load == b"answer"
