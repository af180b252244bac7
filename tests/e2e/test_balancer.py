"""Balancing over real servers: health checks by the appliance's own stack, one target that dies and returns, the others' connections stay.

    client .9 --10.0.1.0/24-- front [fw] back --10.0.2.0/24-- w1 .11, w2 .12, w3 .13
"""

from __future__ import annotations

import socket
import socketserver
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.endpoints import PIECE, Server, connect, datagrams, echoes, receive, server
from tests.e2e.host import Host, eventually
from tests.e2e.lab import Appliance, Lab

CONFIG = """
version: 1
nics:
  front: {address: [10.0.1.1/24, "fd00:1::1/64"], queues: 2}
  back:  {address: [10.0.2.1/24, "fd00:2::1/64"], queues: 2}
zones: {clients: {nics: [front]}, servers: {nics: [back]}}
services:
  web:
    listen: [10.0.1.100:80/tcp, "[fd00:1::100]:80/tcp"]
    targets:
      - {name: w1, address: 10.0.2.11:8000}
      - {name: w2, address: 10.0.2.12:8000}
      - {name: w3, address: 10.0.2.13:8000}
      - {name: w1-v6, address: "[fd00:2::11]:8000"}
      - {name: w2-v6, address: "[fd00:2::12]:8000"}
    health: {type: tcp, every: 200ms, timeout: 200ms, rise: 2, fall: 5}
  names:
    listen: [10.0.1.100:53/udp]
    targets: [{name: w1, address: 10.0.2.11:5300}, {name: w3, address: 10.0.2.13:5300}]
    health: {type: udp, send: "?", every: 200ms, timeout: 200ms, rise: 1, fall: 5}
  pinged:
    listen: [10.0.1.102:80/tcp, "[fd00:1::102]:80/tcp"]
    targets:
      - {name: w1, address: 10.0.2.11:8000}
      - {name: nobody, address: 10.0.2.99:8000}
      - {name: w1-v6, address: "[fd00:2::11]:8000"}
    health: {type: icmp, every: 200ms, timeout: 150ms, rise: 1, fall: 1}
  hidden:
    listen: [10.0.1.101:80/tcp]
    targets: [{name: w1, address: 10.0.2.11:8000}]
    masquerade: true
"""
SERVICE = ("10.0.1.100", "fd00:1::100")
W1, W2, W3 = (("10.0.2.11", "fd00:2::11"), ("10.0.2.12", "fd00:2::12"), ("10.0.2.13", ""))


class Named(socketserver.BaseRequestHandler):
    """Says who it is and who called, in 64 bytes, and echoes from then on."""

    def handle(self) -> None:
        text = f"{self.request.getsockname()[0]} {self.client_address[0]}"
        self.request.sendall(text.ljust(64).encode())
        while data := self.request.recv(PIECE):
            self.request.sendall(data)


class NamedDatagram(socketserver.BaseRequestHandler):
    """Says who it is."""

    def handle(self) -> None:
        listener: socket.socket = self.request[1]
        listener.sendto(str(listener.getsockname()[0]).encode(), self.client_address)


@dataclass
class Site:
    fw: Appliance
    client: Host
    server: Host
    workers: dict[str, Server]

    def call(self, v: int = 0, address: str = "") -> tuple[socket.socket, str, str]:
        """A connection to the service, the target that took it, and the client that it sees."""
        one = connect(self.client, address or SERVICE[v], 80)
        target, caller = receive(one, 64).decode().split()
        return one, target, caller

    def asked(self, times: int, v: int = 0) -> Counter[str]:
        """Which targets answer so many callers."""
        found: Counter[str] = Counter()
        for _ in range(times):
            one, target, _ = self.call(v)
            one.close()
            found[target] += 1
        return found

    def state(self, target: str) -> str:
        """What the health checks think."""
        web = next(service for service in self.fw.status()["services"] if service["name"] == "web")
        return str(next(each["state"] for each in web["targets"] if each["name"] == target))

    def states(self) -> set[str]:
        web = next(service for service in self.fw.status()["services"] if service["name"] == "web")
        return {each["state"] for each in web["targets"]}

    def listen(self, address: str) -> None:
        self.workers[address] = server(self.server, Named, address, 8000).__enter__()

    def close(self, address: str) -> None:
        self.workers.pop(address).close()


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    client, host = lab.host("client"), lab.host("server")
    fw = lab.appliance("fw", CONFIG)
    fw.host.call(Path("/proc/sys/net/ipv4/ping_group_range").write_text, "0 65535")  # as Docker and most distributions have it
    fw.plug("front", client, ["10.0.1.9/24", "fd00:1::9/64"], ["10.0.1.1", "fd00:1::1"])
    workers = [f"10.0.2.{n}/24" for n in (11, 12, 13)] + [f"fd00:2::{n}/64" for n in (11, 12)]
    fw.plug("back", host, workers, ["10.0.2.1", "fd00:2::1"])
    made = Site(fw, client, host, {})
    for address in (*W1, *W2, W3[0]):
        made.listen(address)
    for address in (W1[0], W3[0]):
        lab.keep(server(host, NamedDatagram, address, 5300, udp=True))
    eventually(lambda: made.states() == {"up"}, "all targets up")
    yield made
    for each in made.workers.values():
        each.close()


def test_callers_are_spread_over_all_targets(site: Site) -> None:
    found = site.asked(60)
    assert set(found) == {W1[0], W2[0], W3[0]} and min(found.values()) >= 5
    assert set(site.asked(30, 1)) == {W1[1], W2[1]}


def test_a_target_sees_the_true_client_unless_the_service_masquerades(site: Site) -> None:
    one, _, caller = site.call()
    with one:
        assert caller == "10.0.1.9" == one.getsockname()[0]
        assert one.getpeername() == (SERVICE[0], 80)
    hidden, target, caller = site.call(address="10.0.1.101")
    with hidden:
        assert (target, caller) == (W1[0], "10.0.2.1")


def test_datagrams_of_one_socket_stay_with_one_target_and_answers_come_from_the_service(site: Site) -> None:
    seen = set()
    for _ in range(20):
        with datagrams(site.client, SERVICE[0], 53) as one:
            answers = set()
            for _ in range(3):
                one.send(b"?")
                answers.add(one.recv(100).decode())
            assert len(answers) == 1
            seen |= answers
    assert seen == {W1[0], W3[0]}


def test_probes_by_udp_and_icmp_go_through_the_firewall_as_well(site: Site) -> None:
    def states() -> dict[str, str]:
        services = site.fw.status()["services"]
        return {f"{s['name']}/{t['name']}": t["state"] for s in services for t in s["targets"] if s["name"] in ("names", "pinged")}

    up = {"names/w1": "up", "names/w3": "up", "pinged/w1": "up", "pinged/w1-v6": "up"}
    eventually(lambda: states() == {**up, "pinged/nobody": "down"}, "targets by UDP and ICMP")


def test_the_services_address_is_no_door_to_anything_else(site: Site) -> None:
    with pytest.raises(TimeoutError):
        connect(site.client, SERVICE[0], 81, patience=0.5)


def test_a_dead_target_leaves_and_comes_back_while_the_others_keep_their_connections(site: Site) -> None:
    held = [site.call()[:2] for _ in range(30)]
    assert {target for _, target in held} == {W1[0], W2[0], W3[0]}
    since = len(site.fw.child.log)
    site.close(W2[0])
    site.fw.child.wait_for("target changed", since, target="w2", state="down")
    assert site.state("w2") == "down" and site.state("w1") == "up"
    assert set(site.asked(40)) == {W1[0], W3[0]}
    stayed = [one for one, target in held if target != W2[0]]
    assert all(echoes(one) for one in stayed)
    since = len(site.fw.child.log)
    site.listen(W2[0])
    site.fw.child.wait_for("target changed", since, target="w2", state="up")
    assert W2[0] in site.asked(60)
    assert all(echoes(one) for one in stayed)
    for one, _ in held:
        one.close()


def test_a_connection_to_a_target_that_died_does_not_hang_for_ever(site: Site) -> None:
    """Its flow ends with its target: what it sends next belongs to no flow."""
    held = next(one for one, target, _ in iter(site.call, None) if target == W2[0])
    since = len(site.fw.child.log)
    site.close(W2[0])
    site.fw.child.wait_for("target changed", since, target="w2", state="down")
    port = held.getsockname()[1]
    eventually(lambda: not [flow for flow in site.fw.flows() if flow["original"]["sport"] == port and flow["target"] == "w2"], "flow ended")
    held.close()
    since = len(site.fw.child.log)
    site.listen(W2[0])
    site.fw.child.wait_for("target changed", since, target="w2", state="up")
