"""From start to end of one appliance: what it is allowed, what it leaves behind, and how it starts again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.host.lab import settings
from tests.e2e.child import Child
from tests.e2e.endpoints import DATA, Bulk, EchoStream, connect, echoes, serving
from tests.e2e.host import PATIENCE, Host, eventually
from tests.e2e.lab import Lab

CONFIG = """
version: 1
nics:
  lan: {address: [10.0.1.1/24, "fd00:1::1/64"], queues: 2}
  wan: {address: [10.0.2.1/24, "fd00:2::1/64"]}
zones: {home: {nics: [lan]}, net: {nics: [wan]}}
policy:
  - out: {from: [home], to: any, allow: any}
"""
SERVER = "10.0.2.9"
NOBODY = "65532"


class Site:
    """An appliance and its two hosts; it starts and ends several times."""

    def __init__(self, lab: Lab) -> None:
        self.client, self.server = lab.host("client"), lab.host("server")
        self.fw = lab.appliance("fw", CONFIG, start=False)
        self.bare = self.fw.host.call(settings)

    def start(self) -> None:
        """Start, and plug both ends."""
        self.fw.write(CONFIG)
        self.fw.start()
        self.fw.plug("lan", self.client, ["10.0.1.9/24", "fd00:1::9/64"], ["10.0.1.1", "fd00:1::1"])
        self.fw.plug("wan", self.server, ["10.0.2.9/24", "fd00:2::9/64"], ["10.0.2.1", "fd00:2::1"])

    def works(self) -> bool:
        """Whether a connection crosses it."""
        with serving(self.server, (EchoStream, SERVER, 7007, "tcp")), connect(self.client, SERVER, 7007) as one:
            return echoes(one)

    def leftovers(self) -> list[str]:
        """What is there that was not before the first start."""
        found = [f"{host.name}: {link}" for host in (self.client, self.server) for link in host.links() - {"lo"}]
        now = self.fw.host.call(settings)
        found += [f"{name}: {now[name]}, was {self.bare[name]}" for name in self.bare if now[name] != self.bare[name]]
        return found + [f"process {pid}" for pid in processes(self.fw.host)]


def processes(host: Host) -> list[int]:
    """Who lives in a namespace."""
    inode = os.stat(f"/run/netns/{host.name}").st_ino
    found = []
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            if path.stat().st_ino == inode:
                found.append(int(path.parts[2]))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def module_site(lab: Lab) -> Site:
    return Site(lab)


@pytest.fixture
def site(module_site: Site) -> Iterator[Site]:
    """A running one; whatever the test leaves of it ends."""
    module_site.start()
    yield module_site
    module_site.fw.kill()
    eventually(lambda: not module_site.leftovers(), "nothing left")


def test_once_ready_it_is_nobody_and_can_do_nothing_more(site: Site) -> None:
    for task in Path(f"/proc/{site.fw.child.process.pid}/task").iterdir():
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        assert set(status["Uid"].split()) == set(status["Gid"].split()) == {NOBODY}
        assert not status["Groups"].split()
        assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {0}
    assert site.works()


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT), ids=lambda number: number.name)
def test_a_signal_ends_it_in_order_and_nothing_is_left(site: Site, number: signal.Signals) -> None:
    assert site.works()
    assert site.fw.child.end(number) == 0
    events = [entry["event"] for entry in site.fw.child.log]
    assert events.index("draining") < events.index("stopped")
    assert not [entry for entry in site.fw.child.log if entry["level"] in ("error", "critical", "raw")][:-1], site.fw.log()
    assert not site.leftovers()


def test_a_second_signal_ends_it_at_once_and_says_so(site: Site) -> None:
    site.fw.child.process.send_signal(signal.SIGSTOP)
    site.fw.child.process.send_signal(signal.SIGTERM)
    site.fw.child.process.send_signal(signal.SIGINT)  # of one signal twice the second would be lost
    site.fw.child.process.send_signal(signal.SIGCONT)
    assert site.fw.child.ended().process.returncode == 1
    told = [entry["event"] for entry in site.fw.child.log if entry["level"] not in ("info", "debug")]
    assert told == ["ended at once, by a second signal: what was in flight is lost", "<end of log>"], site.fw.log()
    eventually(lambda: not site.leftovers(), "nothing left")


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGHUP), ids=lambda number: number.name)
def test_a_signal_that_comes_while_it_starts_is_heeded_once_it_has(module_site: Site, number: signal.Signals) -> None:
    fw = module_site.fw
    fw.write(CONFIG + "timeouts: {udp: 10s}\n")  # a warning tells that the file was read
    child = Child(fw.host, fw.file)
    try:
        child.wait_for("configuration")
        child.send(number)
        if number == signal.SIGHUP:
            child.wait_for("reloaded")
            child.send(signal.SIGTERM)
        assert child.ended().process.returncode == 0, child.text()
        assert [entry["event"] for entry in child.log if entry["event"] in ("ready", "stopped")] == ["ready", "stopped"]
    finally:
        child.process.kill()
    eventually(lambda: not module_site.leftovers(), "nothing left")


def test_it_ends_in_order_under_full_load(site: Site) -> None:
    with serving(site.server, (Bulk, SERVER, 7000, "tcp")), connect(site.client, SERVER, 7000) as one:
        one.sendall(b"u" + DATA[: 8 << 20])
        one.settimeout(0.2)
        site.fw.child.send(signal.SIGTERM)
        with pytest.raises(OSError):  # its way is gone
            while True:
                one.sendall(DATA[: 1 << 20])
        assert site.fw.child.process.wait(PATIENCE) == 0
    assert not site.leftovers()


def test_after_a_kill_the_next_start_works(site: Site) -> None:
    assert site.works()
    site.fw.child.end(signal.SIGKILL)
    eventually(lambda: not site.leftovers(), "nothing left")
    assert site.fw.socket.exists()
    site.start()
    assert site.works()


def test_a_server_that_remembers_a_connection_nobody_else_does_takes_the_next_one_from_the_same_port(site: Site) -> None:
    """RFC 9293, 3.5.1: it answers the SYN by an ACK, which the client resets. The appliance has to let both through."""
    repair = 19  # TCP_REPAIR of linux/tcp.h: whoever closes it then says nothing
    with serving(site.server, (EchoStream, SERVER, 7007, "tcp")):
        with connect(site.client, SERVER, 7007) as one:
            assert echoes(one)
            source = one.getsockname()
            one.setsockopt(socket.IPPROTO_TCP, repair, 1)
        site.fw.child.end(signal.SIGKILL)
        eventually(lambda: not site.leftovers(), "nothing left")
        site.start()
        with site.client.call(socket.create_connection, (SERVER, 7007), PATIENCE, source) as one:
            assert echoes(one)


def test_a_second_one_is_refused_in_words_and_the_first_goes_on(site: Site) -> None:
    second = Child(site.fw.host, site.fw.file)
    assert second.process.wait(PATIENCE) == 1
    assert "softena: " in second.ended().text()
    assert site.works()


def test_a_file_with_mistakes_ends_with_status_2_and_changes_nothing(module_site: Site) -> None:
    module_site.fw.write(CONFIG.replace("version: 1", "version: 2"))
    child = Child(module_site.fw.host, module_site.fw.file)
    assert child.process.wait(PATIENCE) == 2
    assert f"{module_site.fw.file}:2:" in child.ended().text()
    assert not module_site.leftovers()


def test_a_start_that_fails_half_way_leaves_nothing(module_site: Site) -> None:
    """The second TAP's name is taken by a TUN."""
    module_site.fw.write(CONFIG)
    module_site.fw.host.output("ip", "tuntap", "add", "wan", "mode", "tun")
    try:
        child = Child(module_site.fw.host, module_site.fw.file)
        assert child.process.wait(PATIENCE) == 1
        assert "wan" in child.ended().text()
    finally:
        module_site.fw.host.output("ip", "tuntap", "del", "wan", "mode", "tun")
    assert not module_site.leftovers()


def test_without_a_tun_driver_it_says_what_to_do(module_site: Site) -> None:
    hidden = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh")
    command = module_site.fw.host.inside(*hidden, *Child.command(module_site.fw.file))
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=Child.environment())
    assert result.returncode == 1
    assert "--device /dev/net/tun" in result.stderr
