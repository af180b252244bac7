"""Changes to the kernel's network configuration, each with its way back.

    changes = Changes()
    with session() as ip, changes.or_undone():
        changes.make(ip, "bring tun0 up", ("link", "set", {...}), undo=("link", "set", {...}))
    ...
    changes.restore()          newest first; as often as you like

A call is data (an `IPRoute` method, its command, its arguments), so that what undoes a change can be handed to another process.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ena_dev.errors import HostError

Call = tuple[str, str, dict[str, Any]]  # method of IPRoute, command, arguments that JSON can carry

# What undoing meets when the interface went away, or somebody was faster: as good as done.
ALREADY_DONE = frozenset({errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL, errno.EEXIST})

HINTS = {
    errno.EPERM: "it takes CAP_NET_ADMIN: run as root, or give the container --cap-add NET_ADMIN",
    errno.EINVAL: "the kernel or the driver doesn't allow that value",
    errno.EACCES: "IPv6 is switched off here: allow it with the sysctl net.ipv6.conf.all.disable_ipv6=0 (docker run --sysctl)",
    errno.EEXIST: "it is there already: remove it, or choose another name",
    errno.EBUSY: "it is in use: end the program that uses it",
}


def refusal(what: str, error: OSError | NetlinkError, hint: str = "") -> HostError:
    """What the kernel refused, in words. A `hint` given here replaces the one for the error number."""
    code, text = (error.code, error.args[1]) if isinstance(error, NetlinkError) else (error.errno or 0, error.strerror)
    return HostError(f"can't {what}", f"{text} ({errno.errorcode.get(code, code)})", hint or HINTS.get(code, ""))


@contextmanager
def session() -> Iterator[IPRoute]:
    """A netlink session in the calling thread's network namespace."""
    try:
        ip = IPRoute()
    except OSError as error:
        raise refusal("talk to the kernel's network configuration", error) from error
    with ip:
        yield ip


def perform(ip: IPRoute, call: Call) -> None:
    """Make one call; raises NetlinkError."""
    method, command, arguments = call
    getattr(ip, method)(command, **arguments)


@dataclass(slots=True)
class Changes:
    """What was changed, as the calls that undo it, oldest first."""

    undo: list[Call] = field(default_factory=list)

    def make(self, ip: IPRoute, what: str, call: Call, undo: Call | None = None, hint: str = "") -> None:
        """Make a change and remember how to undo it. Raises HostError "can't `what`"."""
        try:
            perform(ip, call)
        except NetlinkError as error:
            raise refusal(what, error, hint) from error
        if undo is not None:
            self.undo.append(undo)

    @contextmanager
    def or_undone(self) -> Iterator[None]:
        """Undo everything if the block fails, so that a failure leaves nothing behind."""
        try:
            yield
        except BaseException:
            self.restore()
            raise

    def restore(self) -> None:
        """Undo, newest first. What is gone already is fine. Raises HostError at the end, if the kernel refused something."""
        if not self.undo:
            return
        refused: list[NetlinkError] = []
        with session() as ip:
            while self.undo:
                try:
                    perform(ip, self.undo.pop())
                except NetlinkError as error:
                    if error.code not in ALREADY_DONE:
                        refused.append(error)
        if refused:
            raise refusal(f"restore {len(refused)} of the network settings", refused[0])
