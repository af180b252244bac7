"""Taking over an interface: a peer on a veth pair, and a card played by the test behind the TAP."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface

import pytest
from pyroute2 import IPRoute
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from appliance.host.namespaces import Namespace
from appliance.host.tun import configure_tun
from appliance.host.uplink import Adopted, announcements, take_over
from ena_dev.errors import HostError
from tests.appliance.host.lab import IFF_TAP, IFF_TUN, Device, settings

PEER4, PEER6 = "192.0.2.1", "2001:db8::1"
OWN4, SECOND4, OWN6 = "192.0.2.10", "192.0.2.11", "2001:db8::10"
CARD = "02:5e:00:00:00:01"


@dataclass
class Card:
    """Answers neighbour requests for its addresses, and datagrams with "card"."""

    tap: Device
    heard: list[Packet] = field(default_factory=list)

    def answer(self, data: bytes) -> bool:
        frame = Ether(data)
        if frame.haslayer(ARP) and frame[ARP].op == 1 and frame[ARP].pdst in (OWN4, SECOND4):
            asked = frame[ARP]
            self.tap.write(Ether(dst=frame.src, src=CARD) / ARP(op=2, hwsrc=CARD, psrc=asked.pdst, hwdst=asked.hwsrc, pdst=asked.psrc))
        elif frame.haslayer(ICMPv6ND_NS) and frame[ICMPv6ND_NS].tgt == OWN6 and frame[IPv6].src != "::":
            said = IPv6(src=OWN6, dst=frame[IPv6].src) / ICMPv6ND_NA(tgt=OWN6, R=1, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=CARD)
            self.tap.write(Ether(dst=frame.src, src=CARD) / said)
        elif frame.haslayer(UDP) and frame[UDP].dport == 7:
            self.heard.append(frame)
            ip = frame[IPv6] if frame.haslayer(IPv6) else frame[IP]
            back = type(ip)(src=ip.dst, dst=ip.src) / UDP(sport=7, dport=frame[UDP].sport) / Raw(b"card")
            self.tap.write(Ether(dst=frame.src, src=CARD) / back)
            return True
        return False


@dataclass
class Site:
    """The appliance's namespace, with eth0 and a TAP, and a peer behind eth0."""

    fw: Namespace
    peer: Namespace
    card: Card
    mac: str  # of eth0
    kept: ExitStack  # closed at the end

    def ask(self, to: str) -> bytes:
        """What the peer gets for a datagram to port 7 of an address, while the card listens."""
        with self.peer.call(socket.socket, family_of(to), socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(b"who?", (to, 7))
            self.card.tap.read(self.card.answer)
            return client.recv(100)


def wire(peer: str) -> None:
    with IPRoute() as ip:
        ip.link("add", ifname="eth0", kind="veth", peer={"ifname": "eth0", "net_ns_fd": peer})


def address(name: str) -> str:
    with IPRoute() as ip:
        return str(ip.get_links(ifname=name)[0].get("address"))


def furnish(peer_link_local: str) -> None:
    """Routes of every kind that an operator may have by eth0."""
    with IPRoute() as ip:
        index = ip.link_lookup(ifname="eth0")[0]
        ip.route("add", dst="default", gateway=PEER4, oif=index, priority=100)
        ip.route("add", dst="default", gateway="192.0.2.99", oif=index, priority=200)
        ip.route("add", dst="10.0.0.0/8", gateway=PEER4, metrics={"mtu": 1400}, table=77)
        ip.route("add", dst="172.16.0.0/12", oif=index, scope="link")
        ip.route("add", dst="172.31.0.0/16", gateway="172.16.0.1")
        ip.route("add", family=10, dst="default", gateway=peer_link_local, oif=index)
        ip.route("add", family=10, dst="2001:db8:aaaa::/48", gateway=PEER6, oif=index)


def link_local(name: str, patience: float = 5.0) -> str:
    """The kernel makes it a moment after the link is up."""
    with IPRoute() as ip:
        index = ip.link_lookup(ifname=name)[0]
        end = time.monotonic() + patience
        while time.monotonic() < end:
            for each in ip.get_addr(index=index, family=10):
                if each["scope"] == 253 and not each["flags"] & 0x40:
                    return str(each.get("address"))
    raise AssertionError(f"{name} got no link-local address in {patience} s")


@pytest.fixture
def site(lab: Callable[[str], Namespace]) -> Iterator[Site]:
    fw, peer = lab("fw"), lab("peer")
    for each in (fw, peer):
        each.call(no_duplicate_detection)
    fw.call(wire, peer.name)
    peer.set_up("eth0", [ip_interface(f"{PEER4}/24"), ip_interface(f"{PEER6}/64")], mtu=1450)
    fw.set_up("eth0", [ip_interface(f"{each}") for each in (f"{OWN4}/24", f"{SECOND4}/24", f"{OWN6}/64")], mtu=1450)
    fw.call(link_local, "eth0")
    fw.call(furnish, peer.call(link_local, "eth0"))
    tap = fw.call(Device, "tap0", IFF_TAP)
    with ExitStack() as kept:
        kept.callback(tap.close)
        yield Site(fw, peer, Card(tap), fw.call(address, "eth0"), kept)


def no_duplicate_detection() -> None:
    """Link-local addresses are there at once, so that nothing has to be waited for."""
    with open("/proc/sys/net/ipv6/conf/default/accept_dad", "w") as file:
        file.write("0")


def test_it_tells_what_the_interface_had(site: Site):
    adopted = site.fw.call(take_over, "eth0", "tap0")

    assert adopted.addresses == tuple(map(ip_interface, (f"{OWN4}/24", f"{SECOND4}/24", f"{OWN6}/64")))
    assert adopted.gateways == (ip_address(PEER4), ip_address(site.peer.call(link_local, "eth0")))
    assert (adopted.mtu, adopted.mac) == (1450, bytes.fromhex(site.mac.replace(":", "")))


@pytest.mark.parametrize("own", [OWN4, SECOND4, OWN6])
def test_the_peer_then_reaches_the_card_and_nobody_else_answers(site: Site, own: str):
    stack = appliance(site)

    assert site.ask(own) == b"card"

    assert site.card.heard[0].dst == CARD
    assert macs(site.peer, own) == {CARD}
    assert heard(stack, own) == []


@pytest.mark.parametrize("own", [OWN4, OWN6])
def test_frames_to_the_uplinks_own_mac_address_do_not_reach_the_stack(site: Site, own: str):
    stack = appliance(site)
    ip = IPv6(src=PEER6, dst=own) if ":" in own else IP(src=PEER4, dst=own)
    with site.peer.call(socket.socket, socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        for mac in (site.mac, "ff:ff:ff:ff:ff:ff"):
            raw.send(bytes(Ether(dst=mac) / ip / UDP(sport=9, dport=7) / Raw(b"around")))
            site.card.tap.read(site.card.answer)

    assert heard(stack, own) == []
    assert [frame.dst for frame in site.card.heard] == [site.mac, "ff:ff:ff:ff:ff:ff"]


def test_announcements_move_the_peers_entries_to_the_card(site: Site):
    server = site.fw.call(socket.create_server, ("::", 7), family=socket.AF_INET6, dualstack_ipv6=True)
    for own in (OWN4, OWN6):
        site.peer.call(socket.create_connection, (own, 7)).close()
        assert macs(site.peer, own) == {site.mac}
    server.close()
    adopted = site.fw.call(take_over, "eth0", "tap0")

    for frame in announcements(bytes.fromhex(CARD.replace(":", "")), adopted.addresses):
        site.card.tap.write(frame)

    assert macs(site.peer, OWN4) == macs(site.peer, OWN6) == {CARD}


def test_both_ends_listen_to_every_mac_address_and_say_nothing_of_themselves(site: Site):
    site.fw.call(take_over, "eth0", "tap0")

    with_eth0, with_tap0 = site.fw.call(ends)
    assert with_eth0 == {"up": True, "promiscuous": True, "addresses": 0, "mtu": 1450, "makes link-local": False}
    assert with_tap0 == {"up": True, "promiscuous": False, "addresses": 0, "mtu": 1450, "makes link-local": False}


def ends() -> list[dict[str, object]]:
    with IPRoute() as ip:
        return [
            {
                "up": bool(link["flags"] & 0x1),
                "promiscuous": bool(link["flags"] & 0x100),
                "addresses": len(list(ip.get_addr(index=link["index"]))),
                "mtu": link.get("mtu"),
                "makes link-local": link.get_nested("IFLA_AF_SPEC", "AF_INET6", "IFLA_INET6_ADDR_GEN_MODE") != 1,
            }
            for name in ("eth0", "tap0")
            for link in ip.get_links(ifname=name)
        ]


def test_restoring_twice_puts_back_what_was_there(site: Site):
    before = site.fw.call(settings)
    adopted = site.fw.call(take_over, "eth0", "tap0")
    taken = site.fw.call(settings)
    assert not any(OWN4 in each or OWN6 in each for each in taken["addresses"])

    site.fw.call(adopted.restore)
    site.fw.call(adopted.restore)

    assert site.fw.call(settings) == before
    for own in (OWN4, SECOND4, OWN6):
        with site.fw.call(socket.create_server, (own, 80), family=family_of(own)):
            site.peer.call(socket.create_connection, (own, 80)).close()


def test_restoring_after_the_tap_is_gone_puts_the_interface_back(site: Site):
    doomed = site.fw.call(Device, "doomed", IFF_TAP)
    before = [each for each in site.fw.call(settings)["addresses"] if "eth0" in each or OWN6 in each]
    adopted = site.fw.call(take_over, "eth0", "doomed")
    doomed.close()

    site.fw.call(adopted.restore)

    after = site.fw.call(settings)
    assert [each for each in after["addresses"] if "eth0" in each or OWN6 in each] == before
    assert after["qdiscs"] == []


def test_a_refusal_leaves_what_was_there(site: Site):
    before = site.fw.call(settings)

    with pytest.raises(HostError, match=r"no interface tap9: in this network namespace there are eth0, lo, tap0"):
        site.fw.call(take_over, "eth0", "tap9")
    with pytest.raises(HostError, match="can't take over lo: it is no Ethernet interface"):
        site.fw.call(take_over, "lo", "tap0")
    assert site.fw.call(settings) == before


def test_an_interface_that_is_redirected_already_is_refused(site: Site):
    site.fw.call(take_over, "eth0", "tap0")
    before = site.fw.call(settings)
    other = site.fw.call(Device, "tap1", IFF_TAP)

    with pytest.raises(HostError, match=r"can't redirect what eth0 receives .*EEXIST.* tc qdisc del dev eth0 ingress"):
        site.fw.call(take_over, "eth0", "tap1")

    other.close()
    assert site.fw.call(settings) == before


def test_a_bridge_port_is_refused(site: Site):
    site.fw.call(enslave)

    with pytest.raises(HostError, match="can't take over eth0: it is a port of a bridge or bond"):
        site.fw.call(take_over, "eth0", "tap0")


def enslave() -> None:
    with IPRoute() as ip:
        ip.link("add", ifname="br0", kind="bridge")
        ip.link("set", index=ip.link_lookup(ifname="eth0")[0], master=ip.link_lookup(ifname="br0")[0])


def appliance(site: Site) -> dict[str, socket.socket]:
    """Take over, give the addresses to a TUN as the appliance does, and let the stack's servers listen on them."""
    adopted: Adopted = site.fw.call(take_over, "eth0", "tap0")
    tun = site.fw.call(Device, "tun0", IFF_TUN)
    site.fw.call(configure_tun, "tun0", adopted.addresses, adopted.mtu, default_route=True)
    site.kept.callback(tun.close)
    servers = {}
    for own in (OWN4, SECOND4, OWN6):
        server = site.kept.enter_context(site.fw.call(socket.socket, family_of(own), socket.SOCK_DGRAM))
        server.bind((own, 7))
        server.setblocking(False)
        servers[own] = server
    return servers


def family_of(own: str) -> int:
    return socket.AF_INET6 if ":" in own else socket.AF_INET


def heard(servers: dict[str, socket.socket], own: str) -> list[bytes]:
    try:
        return [servers[own].recv(100)]
    except BlockingIOError:
        return []


def macs(namespace: Namespace, neighbour: str) -> set[str]:
    """Whom a namespace's kernel believes to have an address."""

    def look() -> set[str]:
        with IPRoute() as ip:
            return {each.get("lladdr") for each in ip.get_neighbours(dst=neighbour) if each.get("lladdr")}

    return namespace.call(look)
