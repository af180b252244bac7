"""Bringing interfaces up and moving them, and what the kernel's refusals are told as."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from ipaddress import ip_interface
from typing import Any

import pytest
from pyroute2 import IPRoute

from appliance.host.links import bring_up, move
from appliance.host.namespaces import Namespace
from ena_dev.errors import HostError
from tests.appliance.host.lab import IFF_TAP, Device

Lab = Callable[[str], Namespace]


def shape(name: str) -> tuple[int, bool]:
    with IPRoute() as ip:
        link = ip.get_links(ifname=name)[0]
        return link.get("mtu"), bool(link["flags"] & 1)


def names() -> set[Any]:
    with IPRoute() as ip:
        return {link.get("ifname") for link in ip.get_links()}


def test_a_tap_comes_up_with_its_mtu(lab: Lab):
    inside = lab("up")
    tap = inside.call(Device, "lan0", IFF_TAP)

    inside.call(bring_up, "lan0", 9000)

    assert inside.call(shape, "lan0") == (9000, True)
    tap.close()


def test_a_moved_tap_still_carries_frames_to_who_opened_it(lab: Lab):
    here, there = lab("here"), lab("there")
    tap = here.call(Device, "lan0", IFF_TAP)

    here.call(move, "lan0", there.name)
    there.set_up("lan0", [ip_interface("192.168.10.50/24"), ip_interface("2001:db8:10::50/64")], [])

    assert (here.call(names), there.call(names)) == ({"lo"}, {"lo", "lan0"})
    asked = tap.read(lambda frame: frame if frame[12:14] == b"\x86\xdd" else None)  # IPv6 greets its new link by itself
    assert asked[:2] == b"\x33\x33"
    tap.close()


def test_an_unknown_interface_is_told_with_those_that_are_there(lab: Lab):
    with pytest.raises(HostError, match=r"no interface eth7: in this network namespace there are lo; name one of them"):
        lab("none").call(bring_up, "eth7", 1500)


def test_an_impossible_mtu_is_refused(lab: Lab):
    inside = lab("mtu")
    tap = inside.call(Device, "lan0", IFF_TAP)
    with pytest.raises(HostError, match=r"can't set the MTU of lan0 to 20: .*EINVAL"):
        inside.call(bring_up, "lan0", 20)
    tap.close()


def test_an_unknown_namespace_is_told_with_those_that_are_there(lab: Lab):
    inside = lab("from")
    with pytest.raises(HostError, match=rf"can't open network namespace nowhere: .*there are: .*{inside.name}"):
        inside.call(move, "lo", "nowhere")


def test_without_privileges_the_capability_is_named(lab: Lab):
    story = "from appliance.host.privileges import drop; from appliance.host.links import bring_up; drop(); bring_up('lo', 65536)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    done = lab("nobody").call(subprocess.run, [sys.executable, "-c", story], capture_output=True, text=True, env=environment, check=False)
    assert "can't set the MTU of lo to 65536: Operation not permitted (EPERM); it takes CAP_NET_ADMIN: run as root" in done.stderr
