"""What one card's driver counts besides packets, under the names that `ethtool -S` prints.

Source: ENA interface, `ethtool -S`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ena_dev.abi.events import KeepAlive
from ena_dev.abi.registers import ResetReason

NAMES = {
    ResetReason.KEEP_ALIVE_TO: "wd_expired",
    ResetReason.ADMIN_TO: "admin_to",
    ResetReason.MISS_TX_CMPL: "missing_tx_cmpl",
    ResetReason.INV_RX_REQ_ID: "bad_rx_req_id",
    ResetReason.INV_TX_REQ_ID: "bad_tx_req_id",
    ResetReason.TOO_MANY_RX_DESCS: "bad_rx_desc_num",
    ResetReason.DRIVER_INVALID_STATE: "invalid_state",
    ResetReason.OS_NETDEV_WD: "os_netdev_wd",
    ResetReason.MISS_INTERRUPT: "missing_intr",
    ResetReason.SUSPECTED_POLL_STARVATION: "suspected_poll_starvation",
    ResetReason.RX_DESCRIPTOR_MALFORMED: "rx_desc_malformed",
    ResetReason.TX_DESCRIPTOR_MALFORMED: "tx_desc_malformed",
    ResetReason.MISSING_ADMIN_INTERRUPT: "missing_admin_interrupt",
    ResetReason.DEVICE_REQUEST: "device_request_reset",
    ResetReason.MISS_FIRST_INTERRUPT: "missing_first_intr",
}


@dataclass(slots=True)
class Counters:
    """Global counters of one card, in the order in which `ethtool -S` prints them. They outlive resets."""

    total_resets: int = 0
    reset_fail: int = 0
    tx_timeout: int = 0
    wd_expired: int = 0
    admin_q_pause: int = 0
    bad_tx_req_id: int = 0
    bad_rx_req_id: int = 0
    bad_rx_desc_num: int = 0
    missing_intr: int = 0
    suspected_poll_starvation: int = 0
    missing_tx_cmpl: int = 0
    rx_desc_malformed: int = 0
    tx_desc_malformed: int = 0
    invalid_state: int = 0
    os_netdev_wd: int = 0
    missing_admin_interrupt: int = 0
    admin_to: int = 0
    device_request_reset: int = 0
    missing_first_intr: int = 0
    suspend: int = 0
    resume: int = 0
    interface_down: int = 0
    interface_up: int = 0

    def count_reset(self, reason: ResetReason) -> None:
        """One more reset, under its reason's own name if it has one."""
        self.total_resets += 1
        name = NAMES.get(reason)
        if name is not None:
            setattr(self, name, getattr(self, name) + 1)


@dataclass(slots=True)
class Drops:
    """What the card dropped, as its keep-alives tell. The card counts from zero after each reset; this goes on."""

    rx_drops: int = 0
    tx_drops: int = 0
    rx_overruns: int = 0
    _base: tuple[int, int, int] = (0, 0, 0)

    def update(self, told: KeepAlive) -> None:
        rx, tx, overruns = self._base
        self.rx_drops, self.tx_drops, self.rx_overruns = rx + told.rx_drops, tx + told.tx_drops, overruns + told.rx_overruns

    def rebase(self) -> None:
        """The card was reset."""
        self._base = self.rx_drops, self.tx_drops, self.rx_overruns
