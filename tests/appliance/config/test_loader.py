"""Sound files: what their keys mean in the models, and that the shipped ones load."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface
from pathlib import Path

import pytest

from appliance.config.loader import load, loads
from appliance.config.models import Forward, Masquerade, ServiceMatch

SHIPPED = sorted(Path(__file__).parents[3].joinpath("configs").glob("*.yaml"))

BASE = """\
version: 1
nics:
  wan: {address: 203.0.113.7/24}
  lan: {address: 192.168.10.1/24}
zones:
  internet: {nics: [wan]}
  home: {nics: [lan]}
"""

EVERYTHING = """\
version: 1
nics:
  wan:
    tap: wan0
    address: [203.0.113.7/24, "2001:db8:1::2/64"]
    gateway: [203.0.113.1, "fe80::1"]
    mac: 02:00:00:00:00:0A
    mtu: 9000
    queues: 3
    offloads: off
    uplink: eth0
    faults: {seed: 7, loss: 0.1%, duplicate: 0%, delay: 2ms, jitter: 1.5s, reorder: 50%}
  lan: {address: 192.168.10.1/24}
zones:
  internet: {nics: [wan]}
  home: {nics: lan}
routes:
  - {to: 10.0.0.0/8, via: 192.168.10.254}
policy:
  - home out: {from: home, to: [internet], allow: any}
  - odd: {from: any, to: [home, self], source: [198.51.100.0/24], destination: 192.168.10.20, deny: [tcp/445, udp/137-139, ping]}
nat:
  - out: {masquerade: {from: [home], to: [internet]}}
  - web: {forward: {on: internet, port: tcp/443, to: 192.168.10.20:8443}}
services:
  web:
    listen: [203.0.113.10:443/tcp, "[2001:db8::10]:443/udp"]
    from: [internet]
    targets:
      - {name: w1, address: 10.0.1.11:8443, weight: 2}
      - {name: w2, address: "[2001:db8::11]:8443"}
    health: {every: 500ms, timeout: 100ms, rise: 1, fall: 1, port: 80}
    masquerade: on
timeouts: {tcp-established: 2h4m, udp: 2m30s}
limits: {flows: 1024}
host: {tun: tun7}
control: {socket: /tmp/s.sock}
"""


def test_every_key_of_the_file_arrives_in_the_models() -> None:
    config = loads(EVERYTHING)

    wan, lan = config.nics["wan"], config.nics["lan"]
    assert (wan.name, wan.line, wan.tap, wan.mtu, wan.queues, wan.offloads, wan.uplink) == ("wan", 3, "wan0", 9000, 3, False, "eth0")
    assert wan.address == (IPv4Interface("203.0.113.7/24"), IPv6Interface("2001:db8:1::2/64"))
    assert wan.mac == bytes.fromhex("02000000000a")
    assert wan.faults is not None
    assert (wan.faults.seed, wan.faults.loss, wan.faults.delay, wan.faults.jitter, wan.faults.reorder) == (7, 0.001, 0.002, 1.5, 0.5)
    assert (lan.tap, lan.mtu, lan.queues, lan.offloads, lan.gateway) == ("lan", 1500, 1, True, ())
    assert config.zones["home"].nics == ("lan",)
    assert (config.routes[0].to, config.routes[0].via) == (IPv4Network("10.0.0.0/8"), IPv4Address("192.168.10.254"))

    first, odd = config.policy
    assert (first.name, first.line, first.from_zones) == ("home out", 20, ("home",))
    assert (first.verdict, first.services) == ("allow", (ServiceMatch(),))
    assert (odd.from_zones, odd.to_zones, odd.verdict) == (("any",), ("home", "self"), "deny")
    assert odd.destination == (IPv4Network("192.168.10.20/32"),)
    ping = (ServiceMatch(1, None, 8), ServiceMatch(58, None, 128))
    assert odd.services == (ServiceMatch(6, (445, 445)), ServiceMatch(17, (137, 139)), *ping)

    out, web = config.nat
    assert isinstance(out, Masquerade)
    assert (out.name, out.line, out.family, out.source) == ("out", 23, 4, ())
    assert isinstance(web, Forward)
    assert (web.zone, web.protocol, web.ports) == ("internet", 6, (443, 443))
    assert (web.to_address, web.to_port) == (IPv4Address("192.168.10.20"), 8443)

    service = config.services["web"]
    assert [(str(each.address), each.port, each.protocol) for each in service.listen] == [
        ("203.0.113.10", 443, 6),
        ("2001:db8::10", 443, 17),
    ]
    assert [(each.name, str(each.address), each.port, each.weight) for each in service.targets] == [
        ("w1", "10.0.1.11", 8443, 2),
        ("w2", "2001:db8::11", 8443, 1),
    ]
    assert service.health is not None
    assert (service.health.every, service.health.timeout, service.health.port, service.masquerade) == (0.5, 0.1, 80, True)
    assert (config.timeouts.tcp_established, config.timeouts.udp, config.timeouts.icmp) == (7440, 150, 60)
    assert (config.limits.flows, config.host.tun, config.control.socket, config.warnings) == (1024, "tun7", "/tmp/s.sock", ())


def test_nics_keep_the_order_of_the_file() -> None:
    config = loads(BASE)
    assert [config.nic_index(name) for name in ("wan", "lan")] == [0, 1]
    assert [config.zone_of(name) for name in ("wan", "lan")] == ["internet", "home"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_files_load_without_warnings(path: Path) -> None:
    config = load(path)
    assert config.warnings == ()
    assert config.nics
    assert config.policy




def test_yaml_anchors_may_repeat_a_value() -> None:
    config = loads(BASE + "policy:\n  - a: {from: &who [home], allow: ssh}\n  - b: {from: *who, allow: dns}\n")
    assert config.policy[1].from_zones == ("home",)


def test_keys_that_a_running_appliance_may_object_to_have_their_places() -> None:
    text = BASE + "objects:\n  bad:\n    file: /a.txt\n  nas: {v4: 10.0.0.1}\n"
    config = loads(text)
    lines = text.splitlines()
    for path in (("nics",), ("nics", "lan", "address"), ("objects", "bad", "file")):
        line, column = config.place(*path)
        assert lines[line - 1][column - 1 :].startswith(path[-1])
    assert config.place("nics", "lan", "queues") == config.place("nics", "lan")  # not written
    assert config.place("limits", "flows") == (1, 1)
    assert ("objects", "nas") not in config.places
