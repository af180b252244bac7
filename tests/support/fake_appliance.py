"""An appliance without cards: says what it is told to, and remembers what it was asked."""

from __future__ import annotations

import time
from typing import Any

from ena_dev.errors import UsageError

RULE: dict[str, Any] = {
    "name": "home out", "line": 9, "allow": True, "verdict": "allow", "audit": False, "applies": True, "packets": 5, "bytes": 300,
    "flows": 1, "idle": 65.5,
}  # fmt: skip
IDLE_RULE: dict[str, Any] = RULE | {"name": "no games", "line": 10, "allow": False, "verdict": "deny", "audit": True} | {
    "packets": 0, "bytes": 0, "flows": 0, "idle": None,
}  # fmt: skip
NAT: dict[str, Any] = {"name": "behind wan", "line": 12, "kind": "masquerade", "flows": 1234, "idle": 7.5}
IDLE_NAT: dict[str, Any] = {"name": "guests", "line": 13, "kind": "snat", "flows": 0, "idle": None}

STATUS: dict[str, Any] = {
    "version": "0.1.0", "config": "edge.yaml", "generation": 3, "since": 1.7e9, "uptime": 93784.0,
    "nics": [{
        "name": "wan", "tap": "wan0", "guest": None, "zone": "internet", "mac": "02:00:00:00:00:01", "addresses": ["203.0.113.7/24"],
        "mtu": 1500, "queues": 2, "link": True, "resets": 1,
        "rx": {"packets": 1234567, "bytes": 987654321}, "tx": {"packets": 7, "bytes": 420}, "counters": {"rx_cnt": 9},
    }],
    "services": [{
        "name": "web", "listen": ["203.0.113.10:443/tcp"],
        "syn-cookies": {"mode": "under-pressure", "under-pressure": True, "half-open": 5000, "sent": 12345, "accepted": 12, "refused": 3},
        "targets": [{"name": "w1", "address": "10.0.1.11", "port": 8443, "weight": 2, "state": "down", "phase": "unhealthy", "up": False,
                     "flows": 1200, "deadline": None, "share": 100, "ejected": None}],
    }],
    "flows": {"used": 2, "limit": 200000, "limit-bytes": 75222064, "established": 1, "unreplied": 1},
    "drops": {"policy": 12}, "rules": [RULE, IDLE_RULE], "nat": [NAT, IDLE_NAT],
    "sets": [{"name": "bad", "file": "/etc/softena/drop.txt", "state": "kept", "entries": 1234, "modified": 1000.0,
              "problem": "line 3: no"}],
    "neighbours": [{"nic": "wan", "address": "203.0.113.1", "mac": "02:00:00:00:00:99", "state": "reachable"}],
}  # fmt: skip

FLOW: dict[str, Any] = {
    "protocol": "tcp", "state": "established", "in": "lan", "out": "wan", "rule": "home out", "service": "", "target": "",
    "original": {"source": "192.168.10.5", "sport": 40000, "destination": "198.51.100.1", "dport": 443},
    "reply": {"source": "198.51.100.1", "sport": 443, "destination": "203.0.113.7", "dport": 40000},
    "packets": [3, 2], "bytes": [180, 120], "age": 4.0, "idle": 1.0, "expires": 7439.0, "reason": "",
}  # fmt: skip


NAMES: dict[str, Any] = {"objects": [{
    "name": "updates", "fqdn": [".example.org"], "refused": 0,
    "addresses": [{"address": "203.0.113.9", "of": "www.example.org", "left": 29.6}],
}]}  # fmt: skip


class FakeAppliance:
    """Set `error` to have everything fail with it."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.reloads = 0

    def status(self) -> dict[str, Any]:
        self._fail()
        return STATUS

    def flows(self, limit: int, cursor: int) -> dict[str, Any]:
        self._fail()
        following = cursor + limit
        return {"flows": [FLOW] * limit, "next": following if following < 250 else 0}

    def ethtool(self, nic: str, kind: str) -> dict[str, Any]:
        self._fail()
        if nic != "wan":
            raise UsageError(f"no nic is called {nic}")
        return {"text": f"view {kind} of {nic}", "data": {"kind": kind}}

    def names(self) -> dict[str, Any]:
        self._fail()
        return NAMES

    def drain_target(self, service: str, target: str, seconds: float | None) -> dict[str, Any]:
        return self._told(service, target, "lame-duck" if seconds is None else "draining", seconds)

    def restore_target(self, service: str, target: str) -> dict[str, Any]:
        return self._told(service, target, "active", None)

    def _told(self, service: str, target: str, phase: str, seconds: float | None) -> dict[str, Any]:
        self._fail()
        if (service, target) != ("web", "w1"):
            raise UsageError(f"there is no target {service}/{target}")
        deadline = None if seconds is None else time.time() + seconds
        return STATUS["services"][0]["targets"][0] | {"phase": phase, "deadline": deadline}

    async def reload(self) -> dict[str, Any]:
        self._fail()
        self.reloads += 1
        return {"generation": 4, "judged": 10, "ended": 2, "seconds": 0.25}

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error
