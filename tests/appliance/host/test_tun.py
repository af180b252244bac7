"""The TUN of the appliance's own traffic, with the test in the appliance's place: it writes and reads packets, the kernel answers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_interface
from typing import Any

import pytest
from pyroute2 import IPRoute
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.packet import Packet, Raw

from appliance.host.namespaces import Namespace
from appliance.host.tun import TABLE, configure_tun
from ena_dev.errors import HostError
from tests.appliance.host.lab import IFF_TUN, Device, settings

OWN = [ip_interface("203.0.113.7/24"), ip_interface("2001:db8:1::2/64"), ip_interface("192.168.10.1/24")]
STRANGER, STRANGER6 = "198.51.100.9", "2001:db8:ffff::9"

Lab = Callable[[str], Namespace]


def packet(data: bytes) -> Packet:
    return IP(data) if data[0] >> 4 == 4 else IPv6(data)


def carries(layer: type[Packet], **fields: Any) -> Callable[[bytes], Packet | None]:
    """Picks packets with a layer that has these values."""

    def look(data: bytes) -> Packet | None:
        found = packet(data)
        return found if found.haslayer(layer) and all(getattr(found[layer], name) == value for name, value in fields.items()) else None

    return look


@pytest.fixture
def inside(lab: Lab) -> Namespace:
    return lab("tun")


@pytest.fixture
def tun(inside: Namespace) -> Iterator[Device]:
    device = inside.call(Device, "tun0", IFF_TUN)
    yield device
    device.close()


@pytest.mark.parametrize("own", ["203.0.113.7", "192.168.10.1"])
@pytest.mark.parametrize("filtering", ["0", "1", "2"])
def test_the_kernel_answers_pings_of_strangers_whatever_the_reverse_path_filter(inside: Namespace, tun: Device, own: str, filtering: str):
    inside.call(set_sysctl, "net/ipv4/conf/all/rp_filter", filtering)
    inside.call(configure_tun, "tun0", OWN, 1500)

    tun.write(IP(src=STRANGER, dst=own) / ICMP(id=7, seq=1) / Raw(b"who is there"))

    reply = tun.read(carries(ICMP, type=0))
    assert (reply.src, reply.dst, reply[ICMP].id, bytes(reply[Raw])) == (own, STRANGER, 7, b"who is there")


def test_the_kernel_answers_ipv6_pings(inside: Namespace, tun: Device):
    inside.call(configure_tun, "tun0", OWN, 1500)

    tun.write(IPv6(src=STRANGER6, dst="2001:db8:1::2") / ICMPv6EchoRequest(id=7, data=b"who"))

    reply = tun.read(carries(ICMPv6EchoReply))
    assert (reply.src, reply.dst, reply[ICMPv6EchoReply].data) == ("2001:db8:1::2", STRANGER6, b"who")


@pytest.mark.parametrize(("own", "stranger"), [("203.0.113.7", STRANGER), ("2001:db8:1::2", STRANGER6)])
def test_a_server_at_an_own_address_answers_through_the_tun(inside: Namespace, tun: Device, own: str, stranger: str):
    inside.call(configure_tun, "tun0", OWN, 1500)
    family = socket.AF_INET6 if ":" in own else socket.AF_INET
    ip = IPv6 if ":" in own else IP
    with inside.call(socket.create_server, (own, 443), family=family):
        tun.write(ip(src=stranger, dst=own) / TCP(sport=5555, dport=443, flags="S", seq=1000))

        answer = tun.read(carries(TCP, sport=443))
        assert (answer.src, answer.dst, str(answer[TCP].flags), answer[TCP].ack) == (own, stranger, "SA", 1001)


@pytest.mark.parametrize(("own", "stranger"), [("203.0.113.7", STRANGER), ("192.168.10.1", "203.0.113.99"), ("2001:db8:1::2", STRANGER6)])
def test_what_is_bound_to_an_own_address_goes_to_the_tun_wherever_it_wants(inside: Namespace, tun: Device, own: str, stranger: str):
    inside.call(configure_tun, "tun0", OWN, 1500)
    with inside.call(socket.socket, socket.AF_INET6 if ":" in own else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((own, 4000))
        sender.sendto(b"probe", (stranger, 53))

    sent = tun.read(carries(UDP, dport=53))
    assert (sent.src, sent.dst, bytes(sent[Raw])) == (own, stranger, b"probe")


def test_without_a_default_route_the_main_table_is_untouched(inside: Namespace, tun: Device):
    before = inside.call(main_table)
    inside.call(configure_tun, "tun0", OWN, 1500)

    assert inside.call(main_table) == before == []
    with inside.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as unbound, pytest.raises(OSError, match="unreachable"):
        unbound.sendto(b"lost", (STRANGER, 53))


@pytest.mark.parametrize(("source", "target"), [("203.0.113.7", STRANGER), ("2001:db8:1::2", STRANGER6)])
def test_with_a_default_route_unbound_sockets_send_from_the_primary_address(inside: Namespace, tun: Device, source: str, target: str):
    inside.call(configure_tun, "tun0", OWN, 1500, default_route=True)
    with inside.call(socket.socket, socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM) as unbound:
        unbound.sendto(b"probe", (target, 53))

    assert tun.read(carries(UDP, dport=53)).src == source


def test_restoring_twice_leaves_what_was_there(inside: Namespace, tun: Device):
    before = inside.call(settings)
    changes = inside.call(configure_tun, "tun0", OWN, 1280, default_route=True)
    assert inside.call(settings) != before

    inside.call(changes.restore)
    inside.call(changes.restore)

    assert inside.call(settings) == before


def test_a_failure_halfway_leaves_what_was_there(inside: Namespace, tun: Device):
    other = inside.call(Device, "other", IFF_TUN)
    inside.call(configure_tun, "other", [ip_interface("10.9.9.9/24")], 1500, table=99, default_route=True)
    before = inside.call(settings)

    with pytest.raises(HostError, match=r"can't make tun0 the IPv4 default route .*EEXIST.* there is one by another interface"):
        inside.call(configure_tun, "tun0", OWN, 1400, default_route=True)

    assert inside.call(settings) == before
    other.close()


def test_restoring_after_the_tun_is_gone_removes_its_rules(inside: Namespace, tun: Device):
    before = inside.call(rules)
    doomed = inside.call(Device, "doomed", IFF_TUN)
    changes = inside.call(configure_tun, "doomed", OWN, 1500)
    doomed.close()

    inside.call(changes.restore)

    assert inside.call(rules) == before


def test_rules_of_a_killed_run_are_replaced(inside: Namespace, tun: Device):
    killed = inside.call(Device, "killed", IFF_TUN)
    inside.call(configure_tun, "killed", [*OWN, ip_interface("10.1.1.1/8")], 1500)
    killed.close()

    inside.call(configure_tun, "tun0", OWN, 1500)

    ours = [source for source, table in inside.call(rules) if table == TABLE]
    assert sorted(ours) == sorted(str(address.ip) for address in OWN)


def test_a_table_in_use_is_refused(inside: Namespace, tun: Device):
    other = inside.call(Device, "other", IFF_TUN)
    inside.call(configure_tun, "other", [ip_interface("10.9.9.9/24")], 1500)

    with pytest.raises(HostError, match=r"can't use routing table 5250: it routes to other; give each appliance .* its own table"):
        inside.call(configure_tun, "tun0", OWN, 1500)
    other.close()


def test_an_address_that_another_interface_has_is_refused_by_that_name(inside: Namespace, tun: Device):
    with pytest.raises(HostError, match=r"can't give tun0 the address 127.0.0.1: it belongs to lo; take over lo"):
        inside.call(configure_tun, "tun0", [*OWN, ip_interface("127.0.0.1/8")], 1500)


def test_switched_off_ipv6_is_named(inside: Namespace, tun: Device):
    inside.call(set_sysctl, "net/ipv6/conf/all/disable_ipv6", "1")

    with pytest.raises(HostError, match=r"can't give tun0 the address 2001:db8:1::2: .* \(EACCES\); IPv6 is switched off here"):
        inside.call(configure_tun, "tun0", OWN, 1500)


def set_sysctl(name: str, value: str) -> None:
    """In the calling thread's namespace: /proc/sys/net follows the thread."""
    with open(f"/proc/sys/{name}", "w") as file:
        file.write(value)


def main_table() -> list[Any]:
    with IPRoute() as ip:
        return [each for family in (2, 10) for each in ip.get_routes(family=family, table=254)]


def rules() -> list[tuple[str | None, int]]:
    with IPRoute() as ip:
        return [(each.get("src"), each.get("table")) for family in (2, 10) for each in ip.get_rules(family=family)]
