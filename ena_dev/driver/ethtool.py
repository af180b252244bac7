"""What `ethtool` shows of a card: data under the field's own names, and the text people know.

    view(kind, adapter, name) -> dict of plain values     i g k l x S c, as in `ethtool -i`
    render(kind, data)        -> the same as text

Nothing here asks the card: all numbers are the driver's. Source: ENA interface, `ethtool -S` and other ethtool views.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from ena_dev.abi.features import RxOffload, TxOffload
from ena_dev.driver.adapter import Adapter
from ena_dev.driver.ethtool_text import TEXTS
from ena_dev.driver.host_info import DRIVER_VERSION
from ena_dev.driver.negotiation import CHECKSUM_TX
from ena_dev.errors import UsageError

View = dict[str, Any]
A = TypeVar("A")
R = TypeVar("R")


def view(kind: str, adapter: Adapter, name: str) -> View:
    """The data behind `ethtool -KIND NAME`, JSON-able. Raises UsageError for an unknown kind."""
    return {"name": name, **_lookup(VIEWS, kind)(adapter)}


def render(kind: str, data: View) -> str:
    """The text of a view, without a newline at its end. Raises UsageError for an unknown kind."""
    return _lookup(TEXTS, kind)(data)


def _lookup(table: dict[str, Callable[[A], R]], kind: str) -> Callable[[A], R]:
    found = table.get(kind)
    if found is None:
        raise UsageError(f"there is no view {kind!r}, only {' '.join(table)}")
    return found


def driver_info(adapter: Adapter) -> View:
    return {
        "driver": "ena",
        "version": ".".join(map(str, DRIVER_VERSION)),
        "firmware-version": "",
        "expansion-rom-version": "",
        "bus-info": f"softena-{adapter.nic}",
        "supports-statistics": True,
        "supports-test": False,
        "supports-eeprom-access": False,
        "supports-register-dump": False,
        "supports-priv-flags": False,
    }


def rings(adapter: Adapter) -> View:
    agreed = adapter.capabilities
    return {"max": {"rx": agreed.max_rx_depth, "tx": agreed.max_tx_depth}, "current": {"rx": agreed.rx_depth, "tx": agreed.tx_depth}}


def features(adapter: Adapter) -> View:
    """Offloads in use; large-receive is ours alone and shown as what it is to people: large-receive-offload."""
    tx, rx = adapter.capabilities.tx_offloads, adapter.capabilities.rx_offloads
    tso4, tso6 = bool(tx & TxOffload.TSO_IPV4), bool(tx & TxOffload.TSO_IPV6)
    return {
        "rx-checksumming": bool(rx & (RxOffload.L4_IPV4 | RxOffload.L4_IPV6)),
        "tx-checksumming": {
            "": bool(tx & CHECKSUM_TX),
            "tx-checksum-ipv4": bool(tx & TxOffload.L4_IPV4_PARTIAL),
            "tx-checksum-ipv6": bool(tx & TxOffload.L4_IPV6_PARTIAL),
        },
        "scatter-gather": {"": True, "tx-scatter-gather": True},
        "tcp-segmentation-offload": {
            "": tso4 or tso6,
            "tx-tcp-segmentation": tso4,
            "tx-tcp-ecn-segmentation": bool(tx & TxOffload.TSO_ECN),
            "tx-tcp6-segmentation": tso6,
        },
        "large-receive-offload": adapter.capabilities.large_receive,
        "rx-vlan-offload": False,
        "tx-vlan-offload": False,
        "ntuple-filters": False,
        "receive-hashing": bool(rx & RxOffload.HASH),
        "highdma": True,
    }


def channels(adapter: Adapter) -> View:
    none = {"rx": 0, "tx": 0, "other": 0}
    agreed = adapter.capabilities
    return {"max": none | {"combined": agreed.max_queues}, "current": none | {"combined": agreed.queues}}


def rss(adapter: Adapter) -> View:
    settings, agreed = adapter.rss, adapter.capabilities
    return {
        "rings": agreed.queues,
        "table": list(settings.table),
        "key": settings.key.hex(":") if agreed.hash_configurable else None,
        "function": {"toeplitz": True, "xor": False, "crc32": False},
    }


def coalescing(adapter: Adapter) -> View:
    """Delays in us, as the card applies them."""
    agreed = adapter.capabilities
    rx, tx = (delay * agreed.moderation_resolution for delay in agreed.moderation)
    return {"supported": bool(agreed.moderation_resolution), "adaptive-rx": False, "adaptive-tx": False, "rx-usecs": rx, "tx-usecs": tx}


def statistics(adapter: Adapter) -> View:
    """Every counter, in print order."""
    admin = adapter.control.admin
    counted: dict[str, int] = asdict(adapter.counters) | {
        "admin_q_pause": admin.pauses,
        "rx_drops": adapter.drops.rx_drops,
        "tx_drops": adapter.drops.tx_drops,
        "rx_overruns": adapter.drops.rx_overruns,
        "ena_admin_q_aborted_cmd": admin.aborted,
        "ena_admin_q_submitted_cmd": admin.submitted,
        "ena_admin_q_completed_cmd": admin.completed,
        "ena_admin_q_out_of_space": admin.out_of_space,
        "ena_admin_q_no_completion": admin.no_completion,
        "num_of_active_io_queues": len(adapter.pairs),
    }
    for pair in adapter.pairs:
        lost = {"tx_lost_interrupt": adapter.watchdog.lost_interrupts[pair.index]}
        counted |= {f"queue_{pair.index}_{name}": value for name, value in (lost | pair.statistics()).items()}
    return {"statistics": counted}


VIEWS: dict[str, Callable[[Adapter], View]] = {
    "i": driver_info,
    "g": rings,
    "k": features,
    "l": channels,
    "x": rss,
    "S": statistics,
    "c": coalescing,
}
