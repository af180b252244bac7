"""The card's PTP hardware clock: a request number rung at a doorbell, answered in the driver's memory.

A driver spins, deaf to interrupts, until the answer is there or the expire timeout is over. The answer is written before the doorbell's
write returns; the timeout says how long that may take when the driver's bus is a socket and this process is busy. Where nobody knows
the clock's error, the largest bound there is says so, which drivers read as none. Flagged as wrong is only what is asked beyond the
rate of real cards. Source: ENA interface, PHC_CONFIG.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping

from ena_dev.abi.admin import FeatureCommand
from ena_dev.abi.clocks import PhcConfig, PhcError, PhcResponse
from ena_dev.abi.features import FeatureId
from ena_dev.abi.registers import Register
from ena_dev.device.control_buffer import illegal, unsupported
from ena_dev.device.feature import Feature, payload
from ena_dev.device.host_clock import ClockReading
from ena_dev.device.interfaces import Memory
from ena_dev.errors import BusError

log = logging.getLogger(__name__)

EXPIRE_TIMEOUT = 20_000  # us: an event loop's turn, with a wide margin
BLOCK_TIMEOUT = 20_000  # us without requests after one that failed; drivers take no less than the other
REQUESTS = 125  # a second
SECOND = 1_000_000_000
BOUND_UNKNOWN = 0xFFFFFFFF
ALIGNMENT = 8  # bytes: what a single store of the request id needs


class Phc:
    """The clock of one card, as `clock` tells it."""

    def __init__(self, memory: Memory, clock: Callable[[], ClockReading]) -> None:
        self._memory, self._clock = memory, clock
        self._response = 0  # address; 0: none
        self._asked: deque[int] = deque(maxlen=REQUESTS)  # when the last requests were answered, ns

    def reset(self) -> None:
        """The rate goes on counting: a reset buys no requests."""
        self._response = 0

    def features(self) -> Mapping[FeatureId, Feature]:
        return {FeatureId.PHC_CONFIG: Feature(get=self._get, set=self._set)}

    def ring(self, req_id: int) -> None:
        """The doorbell. Nothing without a place for the answer."""
        if not self._response:
            return
        reading = self._clock()
        data = bytes(self._answer(req_id & 0xFFFF, reading))
        try:
            self._memory.write(self._response + 8, data[8:])
            self._memory.write(self._response, data[:8])  # the request id last
        except BusError as error:
            log.warning("clock not answered any more: %s", error)
            self._response = 0

    def _answer(self, req_id: int, reading: ClockReading) -> PhcResponse:
        if len(self._asked) == REQUESTS and reading.monotonic - self._asked[0] < SECOND:
            return PhcResponse(req_id=req_id, error_flags=PhcError.TIMESTAMP)
        self._asked.append(reading.monotonic)
        bound = BOUND_UNKNOWN if reading.error_bound is None else min(reading.error_bound, BOUND_UNKNOWN)
        return PhcResponse(req_id=req_id, timestamp=reading.utc, error_bound=bound)

    def _get(self, command: FeatureCommand) -> PhcConfig:
        return PhcConfig(
            version=PhcConfig.VERSION, doorbell=Register.PHC_DB.offset, expire_timeout=EXPIRE_TIMEOUT, block_timeout=BLOCK_TIMEOUT
        )

    def _set(self, command: FeatureCommand) -> None:
        choice = payload(command, PhcConfig)
        if choice.version != PhcConfig.VERSION:
            raise unsupported(f"a clock of version {choice.version}")
        address = choice.response.value
        if not address or address % ALIGNMENT or choice.response_length < PhcResponse.size():
            raise illegal(f"a clock's answer of {choice.response_length} bytes at {address:#x}")
        self._response = address
