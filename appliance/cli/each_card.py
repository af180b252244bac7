"""Options of several cards in one command: `--vfio-user A --tap t0 --vfio-user B --tap t1`.

The arguments are cut before each --vfio-user or --polled and every piece is parsed apart, by the same options, so that help and errors
stay those of one card. What stands before the first of them holds for each card, and options of the process (--log-*) do wherever they
stand.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

FIRST, PROCESS = ("--vfio-user", "--polled"), "--log-"
CARDS = "appliance.cli.cards"


def pieces(arguments: list[str]) -> list[list[str]]:
    """The arguments of each card; all of them in one piece if none is named."""
    shared: list[str] = []
    cards: list[list[str]] = []
    left = iter(arguments)
    for argument in left:
        if argument.startswith(PROCESS):
            shared.append(argument)
            shared += [] if "=" in argument else [value for _, value in zip(range(1), left, strict=False)]
        elif argument.partition("=")[0] in FIRST:
            cards.append([argument])
        else:
            (cards[-1] if cards else shared).append(argument)
    return [[*shared, *card] for card in cards] or [shared]


class EachCard(TyperCommand):
    """A command that is called for each card. What to do with all of them is its heir's `invoke`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first, *others = pieces(args)
        ctx.meta[CARDS] = [self.make_context(ctx.info_name, other, parent=ctx.parent) for other in others]
        return super().parse_args(ctx, first)

    def each(self, ctx: Any) -> list[Any]:
        """What the command returns for each card, in order."""
        contexts: list[typer.Context] = [ctx, *ctx.meta[CARDS]]
        return [super(EachCard, self).invoke(one) for one in contexts]
