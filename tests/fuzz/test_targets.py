"""The fuzz targets without a fuzzer: the committed corpus, what once was found, and a few seconds of changed inputs each.

SOFTENA_FUZZ_SECONDS sets the seconds of each target.
"""

from __future__ import annotations

import gc
import os
import random
import sys
import time

import pytest

from tests.fuzz.targets import CORPUS, TARGETS, function

pytestmark = pytest.mark.usefixtures("collected")

SECONDS = float(os.environ.get("SOFTENA_FUZZ_SECONDS", "1.5"))
LONGEST = 1024
BLOCKS = 100  # of the interpreter's memory: what may come and go by itself


def corpus(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


def changed(dice: random.Random, data: bytes) -> bytes:
    """A few bytes replaced, a piece taken out or doubled, or noise at the end."""
    made = bytearray(data)
    for _ in range(dice.randrange(1, 8)):
        at = dice.randrange(len(made) + 1)
        match dice.randrange(4):
            case 0 | 1:
                made[at : at + 1] = dice.randbytes(1)
            case 2:
                del made[at : at + dice.randrange(16)]
            case 3:
                made[at:at] = made[at : at + dice.randrange(16)]
    return bytes(made[:LONGEST]) + dice.randbytes(dice.choice((0, 0, 0, 64)))


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_of_the_corpus_does_harm(target: str) -> None:
    for data in corpus(target):
        function(target)(data)


@pytest.mark.parametrize("target", TARGETS)
def test_no_changed_input_does_harm(target: str) -> None:
    dice, seeds, end = random.Random(target), corpus(target), time.monotonic() + SECONDS
    while time.monotonic() < end:
        data = changed(dice, dice.choice(seeds))
        try:
            function(target)(data)
        except BaseException as error:
            error.add_note(f"{target}(bytes.fromhex({data.hex()!r}))")
            raise


@pytest.mark.parametrize("target", TARGETS)
def test_an_input_leaves_nothing_behind(target: str) -> None:
    data = max(corpus(target), key=len)
    counts = []
    for _ in range(3):
        for _ in range(4):
            function(target)(data)
        gc.collect()
        counts.append((sys.getallocatedblocks(), len(os.listdir("/proc/self/fd"))))
    (_, _), (blocks, files), (blocks_later, files_later) = counts
    assert blocks_later < blocks + BLOCKS
    assert files_later <= files
