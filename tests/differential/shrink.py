"""The shortest sequence, and the plainest, that still shows a difference."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from tests.differential.compare import Difference, Sequence
from tests.differential.packets import Flow, Step

Try = Callable[[Sequence], Awaitable[Difference | None]]


async def shrink(found: Difference, again: Try, alike: Callable[[Difference], bool]) -> Difference:
    """Leave out steps, then flows, then what is special about each; as long as a difference remains that is `alike`."""
    best = found
    while True:
        for candidate in _simpler(replace(best.sequence, steps=best.sequence.steps[: best.at + 1])):
            difference = await again(candidate)
            if difference is not None and alike(difference):
                best = difference
                break
        else:
            return best


def _simpler(of: Sequence) -> Iterator[Sequence]:
    for size in (4, 2, 1):
        for at in range(len(of.steps) - size, -1, -1):
            yield replace(of, steps=of.steps[:at] + of.steps[at + size :])
    used = sorted({step.flow for step in of.steps})
    if len(used) < len(of.flows):
        yield Sequence(tuple(of.flows[n] for n in used), tuple(replace(step, flow=used.index(step.flow)) for step in of.steps))
    for number, flow in enumerate(of.flows):
        plain: tuple[tuple[str, Any], ...] = (("first", (1000, 5000)), ("low", False))
        for name, value in plain:
            if getattr(flow, name) != value:
                yield replace(of, flows=(*of.flows[:number], replace(flow, **{name: value}), *of.flows[number + 1 :]))
    for at, step in enumerate(of.steps):
        for name, value in _plainer(step):
            yield replace(of, steps=(*of.steps[:at], replace(step, **{name: value}), *of.steps[at + 1 :]))


def _plainer(step: Step) -> Iterator[tuple[str, Any]]:
    """Fields at their default, as far as they are not."""
    for each in fields(Step):
        value = getattr(step, each.name)
        if each.name == "size" and step.pieces:
            continue
        if each.name not in ("flow", "back", "flags", "seq", "ack", "error", "kind") and value != each.default:
            yield each.name, each.default


def told(of: Difference) -> str:
    """A difference in lines for people: the sequence, and what left."""
    lines = [f"  {_short(flow)}" for flow in of.sequence.flows]
    lines += [f"  {at}: {_short(step)}" for at, step in enumerate(of.sequence.steps[: of.at + 1])]
    if of.states:
        return "\n".join(lines + [f"  {who}: {state}" for who, state in zip(("kernel", "ours  "), of.states, strict=True)])
    sides = ("kernel", of.kernel, of.kernel_says), ("ours  ", of.ours, of.we_say)
    return "\n".join(lines + [f"  {who}: {_frames(left) or 'dropped'}  {{{says}}}" for who, left, says in sides])


def _short(thing: Flow | Step) -> str:
    words = [f"{each.name}={getattr(thing, each.name)!r}" for each in fields(thing) if getattr(thing, each.name) != each.default]
    return f"{type(thing).__name__}({', '.join(words)})"


def _frames(left: list[tuple[str, bytes]]) -> str:
    from scapy.layers.l2 import Ether

    return "; ".join(f"{nic} {Ether(frame).summary()} [{frame.hex()}]" for nic, frame in left)
