"""ARP and ND as bytes: scapy writes them, RFC 4861's validity rules break them one by one, and nothing at all raises."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptMTU, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from appliance.runtime.link_messages import Advertisement, Arp, Solicitation, read_arp, read_nd

MAC, TEXT = b"\x02\0\0\0\0\x09", "02:00:00:00:00:09"
A, B, GROUP = "2001:db8::a", "2001:db8::b", "ff02::1:ff00:a"
LINK = Ether(src=TEXT, dst="02:00:00:00:00:01")


def number(address: str) -> int:
    return int(ip_address(address))


@pytest.mark.parametrize("op", [1, 2])
def test_an_arp_message_says_who_is_where(op: int) -> None:
    frame = bytes(LINK / ARP(op=op, hwsrc=TEXT, psrc="10.0.0.1", pdst="10.0.0.2")) + b"\0" * 18
    assert read_arp(frame) == Arp(op == 1, MAC, number("10.0.0.1"), number("10.0.0.2"))


@pytest.mark.parametrize("wrong", [{"op": 0}, {"op": 3}, {"hwtype": 6}, {"ptype": 0x86DD}, {"hwlen": 8}, {"plen": 16}])
def test_other_arp_is_not_for_us(wrong: dict[str, int]) -> None:
    fields = {"op": 1, **wrong}
    body = bytearray(bytes(ARP(op=1, hwsrc=TEXT, psrc="10.0.0.1", pdst="10.0.0.2")))
    places = {"hwtype": (0, 2), "ptype": (2, 4), "hwlen": (4, 5), "plen": (5, 6), "op": (6, 8)}
    for name, value in fields.items():
        first, last = places[name]
        body[first:last] = value.to_bytes(last - first, "big")
    assert read_arp(bytes(LINK) + bytes(body)) is None


def solicitation(source: str = B, to: str = GROUP, hlim: int = 255, option: Packet | None = None, target: str = A, code: int = 0) -> Packet:
    packet = IPv6(src=source, dst=to, hlim=hlim) / ICMPv6ND_NS(tgt=target, code=code)
    return LINK / (packet / option if option is not None else packet)


def advertisement(to: str = B, solicited: int = 1, override: int = 1, option: Packet | None = None) -> Packet:
    packet = IPv6(src=A, dst=to, hlim=255) / ICMPv6ND_NA(tgt=A, S=solicited, O=override)
    return LINK / (packet / option if option is not None else packet)


VALID = [
    (solicitation(option=ICMPv6NDOptSrcLLAddr(lladdr=TEXT)), Solicitation(number(B), number(A), MAC)),
    (solicitation(), Solicitation(number(B), number(A), None)),
    (solicitation(to=A), Solicitation(number(B), number(A), None)),
    (solicitation(source="::"), Solicitation(0, number(A), None)),
    (solicitation(option=ICMPv6NDOptMTU() / ICMPv6NDOptSrcLLAddr(lladdr=TEXT)), Solicitation(number(B), number(A), MAC)),
    (advertisement(option=ICMPv6NDOptDstLLAddr(lladdr=TEXT)), Advertisement(number(A), MAC, True, True)),
    (advertisement(override=0), Advertisement(number(A), None, True, False)),
    (advertisement(to="ff02::1", solicited=0, option=ICMPv6NDOptDstLLAddr(lladdr=TEXT)), Advertisement(number(A), MAC, False, True)),
]


@pytest.mark.parametrize(("frame", "said"), VALID)
def test_a_valid_nd_message_says_who_asks_and_who_is_where(frame: Packet, said: object) -> None:
    assert read_nd(bytes(frame)) == said
    assert read_nd(bytes(frame) + b"\0" * 7) == said  # padding of the link


INVALID = {
    "from behind a router": solicitation(hlim=254),
    "code": solicitation(code=1),
    "a group as target": solicitation(target="ff02::1"),
    "a group as asker": solicitation(source="ff02::1"),
    "a probe that names a mac": solicitation(source="::", option=ICMPv6NDOptSrcLLAddr(lladdr=TEXT)),
    "a probe to one host": solicitation(source="::", to=A),
    "a solicited answer to a group": advertisement(to="ff02::1"),
    "an option without length": solicitation(option=Raw(b"\x01\x00" + MAC)),
    "an option beyond the end": solicitation(option=Raw(b"\x01\x02" + MAC)),
    "half an option": solicitation(option=Raw(b"\x01")),
    "a bad sum": LINK / IPv6(src=B, dst=GROUP, hlim=255) / ICMPv6ND_NS(tgt=A, cksum=1),
    "another protocol": LINK / IPv6(src=B, dst=GROUP, hlim=255, nh=17) / Raw(bytes(24)),
    "a redirect": LINK / IPv6(src=B, dst=GROUP, hlim=255) / Raw(b"\x89" + bytes(39)),
}


@pytest.mark.parametrize("why", INVALID)
def test_an_invalid_nd_message_says_nothing(why: str) -> None:
    assert read_nd(bytes(INVALID[why])) is None


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_raise_nothing(data: bytes) -> None:
    read_arp(data)
    read_nd(data)


@given(frame=st.sampled_from([bytes(frame) for frame, _ in VALID]), cut=st.integers(0, 120))
def test_a_message_that_is_cut_says_nothing(frame: bytes, cut: int) -> None:
    assert cut >= len(frame) or read_nd(frame[:cut]) is None
