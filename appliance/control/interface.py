"""What a running appliance can be asked. Results are plain JSON values: the reader may be another program.

Addresses are text, times seconds, counters integers since the start.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

Result = dict[str, Any]

ETHTOOL_KINDS: Final = "igklxSc"
"""The letters `ethtool` is asked with: driver, rings, offloads, channels, RSS, statistics, moderation."""


class ControlledAppliance(Protocol):
    """The appliance as its control socket sees it. Methods that answer at once run on the event loop: they must be quick."""

    def status(self) -> Result:
        """How it is going.

        version, config (the file), generation, since (seconds since the epoch), uptime,
        nics:       [{name, tap, zone, mac, addresses, mtu, queues, link, resets, rx: {packets, bytes}, tx: {packets, bytes},
                      counters: {...}}]
        services:   [{name, listen: [...], targets: [{name, address, port, weight, state}]}]
        flows:      {used, limit, and one count for each class}
        drops:      {reason: frames}
        rules:      [{name, line, allow, packets, bytes, flows}]
        neighbours: [{nic, address, mac, state}]
        """

    def flows(self, limit: int, cursor: int) -> Result:
        """Flows from a cursor (start with 0): {flows: [...], next: cursor of the rest, 0 when all were seen}.

        At most `limit`, possibly none. Each: {protocol, in, out, original, reply, state, rule, service, target, packets, bytes, age, idle,
        expires, reason}. `in` and `out` are nics; original and reply are {source, sport, destination, dport} as each direction arrives,
        reply is None until decided; packets and bytes are pairs, original direction first.
        """

    def ethtool(self, nic: str, kind: str) -> Result:
        """One view of a card: {text: as ethtool prints it, data: the same as values}. `kind` is one of ETHTOOL_KINDS.

        UsageError: no such nic.
        """

    async def reload(self) -> Result:
        """Read the file again and swap it in: {generation, judged, ended, seconds}. ConfigError: its mistakes; what runs is unchanged."""
