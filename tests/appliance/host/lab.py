"""What a lab consists of: devices whose far end is the test, in the card's place, and snapshots of the kernel's settings."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_TAP, IFF_NO_PI = 0x1, 0x2, 0x1000


def missing() -> str:
    """What a network lab needs and this machine doesn't have; empty if it can start."""
    if os.geteuid() != 0:
        return "a network lab needs root"
    if not os.path.exists("/dev/net/tun"):
        return "a network lab needs /dev/net/tun (modprobe tun)"
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    for bit, name in ((12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN")):
        if not int(status["CapEff"], 16) >> bit & 1:
            return f"a network lab needs {name}"
    return ""


class Device:
    """A TUN or TAP whose far end is the test."""

    def __init__(self, name: str, kind: int) -> None:
        self.name = name
        self._fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), kind | IFF_NO_PI))

    def write(self, packet: Any) -> None:
        os.write(self._fd, bytes(packet))

    def read(self, wanted: Callable[[bytes], Any], patience: float = 5.0) -> Any:
        """The first true result of `wanted` for what the kernel sends; others are skipped."""
        end = time.monotonic() + patience
        while (left := end - time.monotonic()) > 0:
            if select.select([self._fd], [], [], left)[0] and (found := wanted(os.read(self._fd, 65536))):
                return found
        raise AssertionError(f"{self.name}: what was waited for did not come in {patience} s")

    def close(self) -> None:
        os.close(self._fd)


def settings() -> dict[str, Any]:
    """All links, addresses, routes and rules of the calling thread's namespace, without what changes by itself."""
    with IPRoute() as ip:
        return {
            "links": [(each["index"], each["flags"] & 0x1143, each.get("mtu"), each.get_nested(
                "IFLA_AF_SPEC", "AF_INET6", "IFLA_INET6_ADDR_GEN_MODE")) for each in ip.get_links()],
            "addresses": [_plain(each, "IFA_CACHEINFO", "IFA_FLAGS") for each in ip.get_addr()],
            "routes": sorted(_plain(each, "RTA_CACHEINFO") for each in ip.get_routes()),
            "rules": [_plain(each) for each in ip.get_rules(family=2)] + [_plain(each) for each in ip.get_rules(family=10)],
            "qdiscs": sorted(each.get("kind") for each in ip.get_qdiscs() if each.get("kind") in ("ingress", "clsact")),
        }  # fmt: skip


def _plain(message: Any, *volatile: str) -> str:
    fields = {name: value for name, value in message.items() if name not in ("attrs", "header", "flags")}
    return repr((fields, [each for each in message["attrs"] if each[0] not in volatile]))
