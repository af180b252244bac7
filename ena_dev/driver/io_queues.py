"""The IO side of a bring-up and its end: queues made, spread over, started; and destroyed again.

Source: ENA interface, Interface up and Interface down.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ena_dev.abi.admin import Direction
from ena_dev.abi.features import FeatureId, LargeReceiveChoice, LargeReceiveFlag, Mtu
from ena_dev.driver.commands import Commands, IoQueue
from ena_dev.driver.negotiation import Capabilities
from ena_dev.driver.queue import QueuePair
from ena_dev.driver.rss import RssSettings, configure

log = logging.getLogger(__name__)

TX_COMPLETION_WORDS = 2


@dataclass(frozen=True, slots=True)
class PairQueues:
    """The card's queues of one pair."""

    tx: IoQueue
    rx: IoQueue


async def interface_up(commands: Commands, capabilities: Capabilities, pairs: Sequence[QueuePair], rss: RssSettings) -> list[PairQueues]:
    """Create all queues, spread over them, post buffers, unmask. Raises AdminError."""
    if capabilities.large_receive:
        await commands.set(FeatureId.LARGE_RECEIVE, LargeReceiveChoice(enabled_flags=LargeReceiveFlag.SEGMENT_SIZE))
    sends = [await _create(commands, pair, Direction.TX) for pair in pairs]
    receives = [await _create(commands, pair, Direction.RX) for pair in pairs]
    await configure(commands, rss, capabilities, [rx.sq_index for rx in receives])
    if capabilities.features & FeatureId.MTU.mask:
        await commands.set(FeatureId.MTU, Mtu(mtu=capabilities.mtu))
    for pair, tx, rx in zip(pairs, sends, receives, strict=True):
        pair.start(rx.doorbell, tx.doorbell, tx.unmask, capabilities.tx_buffers, capabilities.moderation)
    return [PairQueues(tx, rx) for tx, rx in zip(sends, receives, strict=True)]


async def _create(commands: Commands, pair: QueuePair, direction: Direction) -> IoQueue:
    """One direction of a pair; both share vector 1 + index."""
    sends, rings = direction is Direction.TX, pair.rings
    return await commands.create_queue(
        direction,
        depth=pair.tx_depth if sends else pair.rx_depth,
        sq_ring=rings.tx_sq if sends else rings.rx_sq,
        cq_ring=rings.tx_cq if sends else rings.rx_cq,
        entry_words=TX_COMPLETION_WORDS if sends else pair.rx_completion_words,
        vector=1 + pair.index,
    )


async def interface_down(commands: Commands, queues: Sequence[PairQueues]) -> None:
    """Destroy all queues, Tx first. Raises AdminError; what is left then, a reset takes."""
    for queue in [pair.tx for pair in queues] + [pair.rx for pair in queues]:
        await commands.destroy_queue(queue)
