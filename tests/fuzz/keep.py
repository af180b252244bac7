"""What runs have learnt, brought down to a few inputs that take all the same ways, for the committed corpus:
`tests/fuzz/run TARGET --keep`.

Inputs written by hand stay as they are. Those kept are named by libFuzzer, after their SHA-1, and chosen anew each time.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import CORPUS

FILES, BYTES = 200, 200 << 10
"""At most so much of a target."""
NAMED = re.compile(r"[0-9a-f]{40}")


def keep(target: str, tree: Path, environment: dict[str, str], learnt: Path) -> str:
    """Choose from the committed and the learnt inputs of one target; returns what came of it. RuntimeError: what libFuzzer said."""
    committed = CORPUS / target
    with tempfile.TemporaryDirectory(prefix="softena-fuzz-") as folder:
        command = [sys.executable, "-m", "tests.fuzz.inside", target, "inf", "-set_cover_merge=1", folder, str(committed), str(learnt)]
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, check=False)
        chosen = sorted(Path(folder).iterdir(), key=lambda path: path.stat().st_mtime_ns)  # those that add most were written first
        if done.returncode or not chosen:
            raise RuntimeError(done.stderr.decode(errors="replace"))
        by_hand = {path.read_bytes() for path in committed.iterdir() if not NAMED.fullmatch(path.name)}
        kept = [(path.name, data) for path in chosen if (data := path.read_bytes()) not in by_hand][:FILES]
    while sum(len(data) for _, data in kept) > BYTES:
        kept.pop()
    for path in list(committed.iterdir()):
        if NAMED.fullmatch(path.name):
            path.unlink()
    for name, data in kept:
        (committed / name).write_bytes(data)
    return f"{target:10s} {len(by_hand)} inputs by hand, {len(kept)} kept of {len(list(learnt.iterdir()))} learnt"
