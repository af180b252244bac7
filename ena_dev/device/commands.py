"""Admin commands: from a ring entry to a completion, one handler per opcode.

Whatever a driver writes into an entry ends in a completion: a refusal has its status, and even a mistake of ours is answered, as
UNKNOWN_ERROR, and logged.
Source: ENA interface, Opcodes and status.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ena_dev.abi.admin import (
    AdminCompletion,
    CreateCq,
    CreateSq,
    DestroyCq,
    DestroySq,
    FeatureCommand,
    GetStats,
    Opcode,
    RawCommand,
    RawCompletion,
    Status,
)
from ena_dev.device.control_buffer import Refused, unsupported
from ena_dev.device.features import Features
from ena_dev.device.queues import Queues
from ena_dev.device.stats import Stats

log = logging.getLogger(__name__)

Handler = Callable[[bytes], AdminCompletion]


class Commands:
    """Executes the commands of one card."""

    def __init__(self, features: Features, queues: Queues, stats: Stats) -> None:
        self._handlers: dict[int, Handler] = {
            Opcode.CREATE_SQ: lambda entry: queues.create_sq(CreateSq.parse(entry)),
            Opcode.DESTROY_SQ: lambda entry: queues.destroy_sq(DestroySq.parse(entry)),
            Opcode.CREATE_CQ: lambda entry: queues.create_cq(CreateCq.parse(entry)),
            Opcode.DESTROY_CQ: lambda entry: queues.destroy_cq(DestroyCq.parse(entry)),
            Opcode.GET_FEATURE: lambda entry: features.get(FeatureCommand.parse(entry)),
            Opcode.SET_FEATURE: lambda entry: features.set(FeatureCommand.parse(entry)),
            Opcode.GET_STATS: lambda entry: stats.execute(GetStats.parse(entry)),
        }

    def execute(self, entry: bytes) -> AdminCompletion:
        """Execute one 64-byte entry. The completion still lacks what belongs to the ring: id, phase, head."""
        opcode = int(RawCommand.parse(entry).opcode)
        try:
            handler = self._handlers.get(opcode)
            if handler is None:
                raise unsupported(f"opcode {opcode}")
            return handler(entry)
        except Refused as refused:
            log.info("admin command %d refused: %s", opcode, refused)
            return RawCompletion(status=refused.status)
        except Exception:
            log.exception("admin command %d failed", opcode)
            return RawCompletion(status=Status.UNKNOWN_ERROR)
