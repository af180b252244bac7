"""From root to nobody: what set-up took is dropped before the first frame is handled.

Open all devices, sockets, files and start the keeper first: afterwards no TAP can be made, no address set, no port under 1024 bound.

    supplementary groups, gid, uid, capabilities     gone for the whole process (libc changes all threads)
    bounding set, no_new_privs                       for the calling thread and those it starts later

So call it on the main thread, before data threads start. What else may run by then (an executor's idle threads) ends up as nobody without
capabilities, too; `drop` makes sure of that. Source: capabilities(7), prctl(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from pathlib import Path

from appliance.host.changes import refusal
from ena_dev.errors import HostError

NOBODY = 65532  # uid and gid, numeric: they need no entry in /etc/passwd
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 24, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x20080522
LAST_POSSIBLE_CAPABILITY = 63

_libc = ctypes.CDLL(None, use_errno=True)


def drop(uid: int = NOBODY, gid: int = NOBODY) -> list[str]:
    """Become `uid` and `gid` without any capability, for good. Returns remarks on what could not be dropped but is harmless.

    Without root there is nothing to drop, and a remark says so. Raises HostError if any privilege is left.
    """
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    if os.geteuid() != 0:
        return [f"not started as root: stays user {os.geteuid()}, nothing to drop"]
    notes = _drop_bounding_set()
    _become(uid, gid)
    _clear_capabilities()
    _verify(uid)
    return notes


def _prctl(option: int, first: int, second: int = 0) -> int:
    """0, or the error number."""
    arguments = (ctypes.c_ulong(value) for value in (first, second, 0, 0))
    return ctypes.get_errno() if _libc.prctl(option, *arguments) else 0


def _drop_bounding_set() -> list[str]:
    for capability in range(LAST_POSSIBLE_CAPABILITY + 1):
        code = _prctl(PR_CAPBSET_DROP, capability)
        if code == errno.EINVAL:  # past the last one that this kernel has
            return []
        if code:
            return ["the bounding set stays, for want of CAP_SETPCAP; no_new_privs makes it useless"]
    return []


def _become(uid: int, gid: int) -> None:
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        hint = "it takes CAP_SETUID and CAP_SETGID: docker run --cap-add SETUID --cap-add SETGID"
        raise refusal(f"become user {uid}, group {gid}", error, hint) from error


def _clear_capabilities() -> None:
    """Leaving uid 0 clears the permitted and effective sets, but neither the inheritable nor, on old kernels, the ambient one."""
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    if _libc.capset(header, bytes(24)):
        raise refusal("clear the capabilities", OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno())))


def _verify(uid: int) -> None:
    """Every thread is `uid` and has no capability: read back, since all that follows relies on it."""
    for status in Path("/proc/self/task").glob("*/status"):
        fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        left = {name: fields[name] for name in ("CapPrm", "CapEff", "CapAmb") if int(fields[name], 16)}
        if left or set(fields["Uid"].split()) != {str(uid)}:
            raise HostError("privileges are left after dropping them", f"thread {status.parent.name}: uid {fields['Uid']}, {left}")
