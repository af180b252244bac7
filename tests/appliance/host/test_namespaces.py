"""Named network namespaces: made, lived in, deleted, and swept after those who were killed."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from pyroute2 import IPRoute

from appliance.host.links import NAMESPACES
from appliance.host.namespaces import Namespace, sweep
from ena_dev.errors import HostError
from tests.appliance.host.lab import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


def links() -> list[tuple[str, bool]]:
    with IPRoute() as ip:
        return [(each.get("ifname"), bool(each["flags"] & 1)) for each in ip.get_links()]


def test_it_is_there_for_a_block_with_its_loopback_up():
    with Namespace("block", "sh") as namespace:
        assert namespace.call(links) == [("lo", True)]
        assert (NAMESPACES / f"sh-{os.getpid()}-block").exists()
    assert not (NAMESPACES / namespace.name).exists()


def test_a_call_raises_here_what_it_raised_inside_and_leaves_this_thread_where_it_was(lab: Callable[[str], Namespace]):
    here = os.readlink("/proc/thread-self/ns/net")

    with pytest.raises(ZeroDivisionError):
        lab("call").call(lambda: 1 // 0)

    assert os.readlink("/proc/thread-self/ns/net") == here


async def test_programs_run_inside_and_end_with_it():
    with Namespace("run", "sh") as namespace:
        process = await namespace.run("readlink", "/proc/self/ns/net", stdout=asyncio.subprocess.PIPE)
        where, _ = await process.communicate()
        assert where.decode().strip() == f"net:[{os.stat(NAMESPACES / namespace.name).st_ino}]"
        endless = await namespace.run("sh", "-c", "echo in; exec sleep 1000", stdout=asyncio.subprocess.PIPE)
        assert endless.stdout is not None and await endless.stdout.readline() == b"in\n"
    assert await endless.wait() == -signal.SIGKILL


def test_a_socket_stays_where_it_was_made(lab: Callable[[str], Namespace]):
    namespace, other = lab("socket"), lab("other")
    with namespace.call(socket.create_server, ("127.0.0.1", 0)) as server:
        with namespace.call(socket.create_connection, server.getsockname()):
            pass
        with pytest.raises(ConnectionRefusedError):
            other.call(socket.create_connection, server.getsockname())


def test_a_name_in_use_is_refused(lab: Callable[[str], Namespace]):
    lab("twice")
    with pytest.raises(HostError, match=r"can't make network namespace sh-\d+-twice: .*EEXIST"):
        lab("twice")


def test_sweeping_removes_what_a_killed_run_left_and_nothing_of_the_living(lab: Callable[[str], Namespace]):
    ours = lab("living")
    story = (
        "import subprocess; from appliance.host.namespaces import Namespace\n"
        "left = Namespace('left', 'sh').__enter__()\n"
        "print(left.name, flush=True)\n"
        "subprocess.run(['nsenter', f'--net=/run/netns/{left.name}', 'sh', '-c', 'echo $$; exec sleep 1000'])\n"
    )
    with subprocess.Popen([sys.executable, "-c", story], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as run:
        assert run.stdout is not None
        name, left = run.stdout.readline().strip(), os.pidfd_open(int(run.stdout.readline()))
        spared = name not in sweep("sh")
        run.kill()
    assert spared

    assert name in sweep("sh")

    assert not (NAMESPACES / name).exists()
    assert (NAMESPACES / ours.name).exists()
    assert select.select([left], [], [], 10)[0], "it lives"
    os.close(left)


def test_a_private_namespace_has_nothing_but_its_own_loopback():
    story = (
        "from appliance.host.namespaces import private_namespace\n"
        "from tests.appliance.host.test_namespaces import links\n"
        "import asyncio; private_namespace(); print(links(), asyncio.run(asyncio.to_thread(links)))\n"
    )
    done = subprocess.run([sys.executable, "-c", story], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.stdout == "[('lo', True)] [('lo', True)]\n", done.stderr


def test_a_private_namespace_after_threads_is_refused():
    story = (
        "import threading; from appliance.host.namespaces import private_namespace\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start(); private_namespace()\n"
    )
    done = subprocess.run([sys.executable, "-c", story], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert "UsageError: a private network namespace must be made before threads are: there are 2" in done.stderr
