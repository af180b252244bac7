"""The fuzzing process itself: one target, driven by libFuzzer, over modules that were built for it. Started by `run`.

    python -m tests.fuzz.inside TARGET SECONDS LIBFUZZER...
"""

from __future__ import annotations

import ctypes
import gc
import os
import shlex
import signal
import sys
import time
from contextlib import nullcontext

import atheris  # type: ignore[import-untyped]

from tests.fuzz.targets import TARGETS, function

GROWN = 256  # bytes of one more execution: what is left behind each time counts as a leak
EVERY = 2000  # executions between two looks at memory
REPEATS = 30


def allocated() -> int:
    """Bytes in use: by compiled code, as AddressSanitizer counts them, and by blocks of the interpreter's own."""
    count = ctypes.CDLL(None).__sanitizer_get_current_allocated_bytes
    count.restype = ctypes.c_size_t
    gc.collect()
    return int(count()) + 64 * sys.getallocatedblocks()


def main() -> None:
    name, seconds, count = sys.argv[1], float(sys.argv[2]), 0
    guided = list(TARGETS[name].guided)
    with atheris.instrument_imports(include=guided, enable_loader_override=False) if guided else nullcontext():
        target = function(name)
    target(b"")
    gc.freeze()  # what is there by now stays, and need not be looked at again and again
    begun = time.process_time()
    print(f"started in {begun:.2f} s of CPU", file=sys.stderr, flush=True)

    def once(data: bytes) -> None:
        nonlocal count
        target(data)
        count += 1
        if count % EVERY == 0:
            look_for_leaks(data)
        if time.process_time() - begun > seconds:
            os.kill(os.getpid(), signal.SIGUSR1)  # libFuzzer's word for: end well

    def look_for_leaks(data: bytes) -> None:
        target(data)
        before, files = allocated(), len(os.listdir("/proc/self/fd"))
        for _ in range(REPEATS):
            target(data)
        grown = (allocated() - before) // REPEATS
        assert grown < GROWN, f"{grown} bytes are left behind by each execution"
        assert len(os.listdir("/proc/self/fd")) <= files, "descriptors are left behind"

    again = shlex.join([sys.executable, "-m", "tests.fuzz.inside", *sys.argv[1:3]])  # a merge starts the process anew, by a shell
    atheris.Setup([again, *sys.argv[3:]], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
