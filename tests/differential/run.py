"""A run: models from one seed, so many sequences each, what was found counted; and shrunk, if nothing explains it."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from appliance.cli import logs
from tests.differential import generate
from tests.differential.compare import Difference, Sequence, compare
from tests.differential.kernel import Kernel
from tests.differential.model import Model, nft, yaml
from tests.differential.ours import Ours
from tests.differential.shrink import shrink, told
from tests.differential.state_differences import explanation
from tests.support.virtual_time import VirtualTimeLoop

EACH: Final = 250
"""Sequences of one model."""
SHRUNK: Final = 10
"""Failures of one run that are made short; others are as long as they came."""


@dataclass(slots=True)
class Result:
    """What a run has seen."""

    sequences: int = 0
    packets: int = 0
    models: int = 0
    states: int = 0
    """Sequences whose packets were the same to the end, so that what was tracked could be compared."""
    explained: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def same(self) -> int:
        """Sequences without any difference."""
        return self.sequences - self.explained.total() - len(self.failures)

    def add(self, other: Result) -> None:
        """What another run has seen, too."""
        self.sequences += other.sequences
        self.packets += other.packets
        self.models += other.models
        self.states += other.states
        self.explained += other.explained
        self.failures += other.failures


async def run(seed: object, sequences: int, tell: Callable[[Result], None] = lambda _: None, first: int = 0) -> Result:
    """So many sequences, from the model `first` on. The same seed gives the same ones."""
    result = Result()
    with Kernel("run") as kernel:
        while result.sequences < sequences:
            number = first + result.models
            random = Random(f"{seed}.{number}")
            of = generate.model(random)
            kernel.load(nft(of))
            async with Ours(yaml(of)) as ours:
                count = min(EACH, sequences - result.sequences)
                await _one_model(kernel, ours, of, random, result, count, f"seed {seed}, model {number}")
            result.models += 1
            tell(result)
    return result


async def _one_model(kernel: Kernel, ours: Ours, of: Model, random: Random, result: Result, count: int, where: str) -> None:
    number = 0

    async def again(sequence: Sequence) -> Difference | None:
        nonlocal number
        number += 1
        kernel.forget()    # a port that it has once given a source, it gives that source's next flows too
        return await compare(kernel, ours, sequence, number)

    for n in range(count):
        sequence = generate.sequence(random, of)
        found = await again(sequence)
        result.sequences += 1
        result.packets += len(sequence.steps) if found is None else found.at + 1
        result.states += found is None or found.states is not None
        if found is None:
            continue
        if (why := explanation(found)) is not None:
            result.explained[why.name] += 1
            continue
        if len(result.failures) < SHRUNK:
            found = await shrink(found, again, lambda other: explanation(other) is None)
        result.failures.append(f"{where}, sequence {n}:\n{told(found)}")


def part_of_run(seed: str, sequences: int, begun: float, first: int = 0) -> Result:
    """One process's share; it tells how far it is. `begun`: by the monotonic clock."""
    logs.configure(level="error")

    def tell(so_far: Result) -> None:
        seconds = time.monotonic() - begun
        line = f"{seed}: {so_far.sequences} sequences, {len(so_far.failures)} unexplained, {seconds:.0f} s"
        print(f"\r{line}", end="", file=sys.stderr, flush=True)

    return VirtualTimeLoop().run_until_complete(run(seed, sequences, tell, first))
