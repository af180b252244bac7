"""The image as it ships, in front of real clients and servers in containers of their own."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.docker.lab import CLIENT, OUTSIDE, W1, W2, Container, Lab, eventually

pytestmark = pytest.mark.docker

MEBIBYTE = 1 << 20


def test_the_image_brings_no_compiler_and_no_sources(lab: Lab) -> None:
    look = "for each in gcc cc cython pip make; do command -v $each; done; find /opt -name '*.pyx' -o -name '*.c'; true"
    assert lab.docker("run", "--rm", "--entrypoint", "sh", lab.image, "-c", look) == ""
    size = int(lab.docker("image", "inspect", "--format", "{{.Size}}", lab.image))
    base = int(lab.docker("image", "inspect", "--format", "{{.Size}}", "debian:bookworm-slim"))
    assert size - base < 110 * MEBIBYTE


def test_what_the_policy_allows_arrives_from_its_own_address(firewall: Container, client: Container) -> None:
    assert client.ask("tcp", W1, 8001) == [{"name": "w1", "caller": CLIENT}]
    assert client.ask("udp", W2, 8001) == [{"name": "w2", "caller": CLIENT}]
    assert client.ask("ping", W1) == [{"name": "ping", "caller": W1}]
    assert client.ask("ping", OUTSIDE) == [{"name": "ping", "caller": OUTSIDE}]


def test_what_it_does_not_name_is_denied(firewall: Container, client: Container, w1: Container) -> None:
    assert client.ask("tcp", W1, 8002) == ["TimeoutError"]
    assert client.ask("udp", W1, 8002) == ["TimeoutError"]
    assert w1.ask("udp", CLIENT, 8001) == ["TimeoutError"]


def test_servers_leave_by_the_address_of_the_firewall(firewall: Container, w1: Container) -> None:
    assert w1.ask("tcp", CLIENT, 8001) == [{"name": "client", "caller": OUTSIDE}]


def test_a_forwarded_port_reaches_its_server(firewall: Container, client: Container) -> None:
    assert client.ask("tcp", OUTSIDE, 8443) == [{"name": "w1", "caller": CLIENT}]


def test_a_service_spreads_its_clients_and_outlives_a_target(firewall: Container, client: Container, w1: Container) -> None:
    spread = Counter(each["name"] for each in client.ask("tcp", OUTSIDE, 80, 60))
    assert set(spread) == {"w1", "w2"} and min(spread.values()) >= 10
    w1.stop(1)
    eventually(lambda: client.ask("tcp", OUTSIDE, 80, 20) == [{"name": "w2", "caller": CLIENT}] * 20, "w1 is out")
    w1.start()
    eventually(lambda: {"name": "w1", "caller": CLIENT} in client.ask("tcp", OUTSIDE, 80, 20), "w1 is back")


def test_after_the_start_it_is_nobody_without_capabilities(firewall: Container) -> None:
    status = dict(line.split(":\t", 1) for line in firewall.run("cat", "/proc/1/status").splitlines() if ":\t" in line)
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"65532"}
    assert status["Groups"].split() == []
    assert [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [0, 0, 0, 0]
    assert status["NoNewPrivs"] == "1"


def test_its_own_command_line_reads_it(firewall: Container) -> None:
    status = json.loads(firewall.run("softena", "status", "--json"))["result"]
    assert {nic["name"] for nic in status["nics"]} >= {"outside", "inside"}
    assert "driver: ena" in firewall.run("softena", "ethtool", "-i", "outside")


def test_sigterm_ends_it_with_0(firewall: Container) -> None:  # the last one: the firewall is all tests'
    firewall.stop(15)
    assert firewall.inspect(".State.ExitCode") == "0", firewall.log()
    assert "stopped" in firewall.log()
