from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ena_dev.errors import PortError
from ena_dev.port.tap import TapPort
from tests.support.private_network import ip, private_network
from tests.support.tapped import NAME


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    with private_network():
        yield


def test_an_interface_in_use_is_refused_with_its_reason() -> None:
    first = TapPort(NAME)
    with pytest.raises(PortError, match="in use by another process"):
        TapPort(NAME)
    first.close()
    TapPort(NAME).close()


def test_an_interface_of_another_kind_is_refused_with_what_to_do() -> None:
    ip(f"tuntap add {NAME} mode tap")
    with pytest.raises(PortError, match=f"ip tuntap add {NAME} mode tun"):
        TapPort(NAME, tun=True)
    with pytest.raises(PortError, match="mode tap multi_queue"):
        TapPort(NAME, 2)
    TapPort(NAME, 1).close()


def test_a_persistent_interface_with_several_queues_serves_one_too() -> None:
    ip(f"tuntap add {NAME} mode tap multi_queue")
    TapPort(NAME, 1).close()
    port = TapPort(NAME, 4)
    assert len({port.fileno(queue) for queue in range(4)}) == 4
    port.close()


def test_several_queues_are_not_shared_with_another_process() -> None:
    """The kernel would deal frames out to both. It shows its queues in a /sys of this network."""
    program = f"""if True:
        from ena_dev.port.tap import TapPort
        first = TapPort({NAME!r}, 2)
        for queues in (1, 2):
            try:
                TapPort({NAME!r}, queues)
            except Exception as error:
                print(error)
        first.close()
        TapPort({NAME!r}, 3).close()
        print("free again")"""
    fresh = 'mount -t sysfs none /sys && exec "$0" -c "$1"'
    command = ["unshare", "--mount", "--net", "sh", "-c", fresh, sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.stdout == f"TAP {NAME}: in use by another process; end that one, or choose another name\n" * 2 + "free again\n", done.stderr


@pytest.mark.parametrize("name", ["a-name-beyond-fifteen", "", "a/b", "tap%d", "a b", "eth0:1", "tab\t"])
def test_a_bad_name_is_refused_before_the_kernel_is_asked(name: str) -> None:
    with pytest.raises(PortError, match="1 to 15 characters"):
        TapPort(name)


def test_an_unprivileged_user_is_told_what_to_do() -> None:
    """EPERM of the interface itself: /dev/net/tun can be opened, the interface can't be made."""
    program = f"from ena_dev.port.tap import TapPort\ntry: TapPort({NAME!r})\nexcept Exception as e: print(e)"
    command = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "setpriv" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert "grant CAP_NET_ADMIN" in done.stdout


# -- io_uring ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("io_uring", [True, False])
def test_closing_gives_the_interface_back_at_once(io_uring: bool) -> None:
    for _ in range(5):
        port = TapPort(NAME, 4, io_uring=io_uring)
        assert port.io_uring == io_uring
        port.close()
        with pytest.raises(OSError, match=r"(?i)no interface|no such device"):
            socket.if_nametoindex(NAME)
        assert not port.io_uring


def test_where_io_uring_is_forbidden_frames_go_one_by_one() -> None:
    """As in a container whose seccomp profile answers EPERM. Both forms are tested with frames elsewhere."""
    program = f"""if True:
        import ctypes, struct
        from ena_dev.port.tap import TapPort
        steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
        filter = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in steps))
        prctl = ctypes.CDLL(None).prctl
        prctl(38, 1, 0, 0, 0)
        refused = prctl(22, 2, struct.pack("<HxxxxxxQ", len(steps), ctypes.addressof(filter)), 0, 0)
        print(refused, TapPort({NAME!r}, 2).io_uring)"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "0 False\n", done.stderr
