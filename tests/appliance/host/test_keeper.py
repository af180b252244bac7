"""The keeper undoes what its appliance changed, however the appliance ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from ipaddress import ip_interface

import pytest

from appliance.host.changes import Changes
from appliance.host.keeper import Keeper
from appliance.host.namespaces import Namespace
from appliance.host.tun import configure_tun
from ena_dev.errors import HostError
from tests.appliance.host.lab import IFF_TUN, Device, settings

OWN = [ip_interface("203.0.113.7/24"), ip_interface("2001:db8:1::2/64")]

STORY = """
import sys, time
from ipaddress import ip_interface
from appliance.host.keeper import Keeper
from appliance.host.privileges import drop
from appliance.host.tun import configure_tun
keeper = Keeper()
keeper.keep(configure_tun("tun0", [ip_interface("203.0.113.7/24"), ip_interface("2001:db8:1::2/64")], 1280, default_route=True))
drop()
print(keeper.pid, flush=True)
sys.stdin.readline()
keeper.finish()
print("finished", flush=True)
"""


@pytest.mark.parametrize("end", ["finish", "killed"])
def test_an_appliance_without_privileges_leaves_what_was_there(lab: Callable[[str], Namespace], end: str):
    inside = lab("keeper")
    tun = inside.call(Device, "tun0", IFF_TUN)
    before = inside.call(settings)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    command = [sys.executable, "-c", STORY]
    with inside.call(
        subprocess.Popen, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as run:
        assert run.stdin is not None and run.stdout is not None
        keeper = os.pidfd_open(int(run.stdout.readline()))
        assert inside.call(settings) != before
        if end == "killed":
            run.kill()
        else:
            run.stdin.write("\n")
            run.stdin.flush()
            assert run.stdout.readline() == "finished\n"
    assert select.select([keeper], [], [], 10)[0], "the keeper has not ended"
    os.close(keeper)

    assert inside.call(settings) == before
    tun.close()


def test_signals_to_the_group_do_not_end_it(lab: Callable[[str], Namespace]):
    inside = lab("keeper")
    tun = inside.call(Device, "tun0", IFF_TUN)
    before = inside.call(settings)
    changes = inside.call(configure_tun, "tun0", OWN, 1500)
    keeper = inside.call(Keeper)
    keeper.keep(changes)
    assert changes.undo == []

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(keeper.pid, each)
    keeper.finish()
    keeper.finish()

    assert inside.call(settings) == before
    tun.close()


def test_what_the_kernel_refuses_is_told(lab: Callable[[str], Namespace]):
    unknown_target = ("route", "add", {"dst": "10.0.0.0/8", "gateway": "192.0.2.1"})  # ENETUNREACH
    keeper = lab("keeper").call(Keeper)
    keeper.keep(Changes([unknown_target]))
    with pytest.raises(HostError, match="could not all be restored: their keeper ended with status 1"):
        keeper.finish()


def test_it_ends_quietly_when_there_was_nothing_to_keep(lab: Callable[[str], Namespace], capfd: pytest.CaptureFixture[str]):
    lab("keeper").call(Keeper).finish()
    assert capfd.readouterr() == ("", "")


def test_a_keeper_whose_appliance_ended_before_it_began_says_nothing():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-m", "appliance.host.keeper"], **pipes) as keeper:
        assert keeper.stdin is not None and keeper.stdout is not None and keeper.stderr is not None
        keeper.stdout.close()
        keeper.stdin.close()
        assert keeper.stderr.read() == b""
    assert keeper.returncode == 0
