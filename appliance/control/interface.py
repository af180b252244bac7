"""What a running program can be asked, and whom its callers think they are talking to.

Results are plain JSON values: the reader may be another program. Addresses are text, times seconds, counters integers since the start.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from appliance.control.messages import Params

Result = dict[str, Any]
Method = Callable[[Params], Result | Awaitable[Result]]
"""Takes its parameters, and raises ControlError for what it can't read; any SoftenaError is told as a refusal."""
Methods = Mapping[str, Method]


@dataclass(frozen=True, slots=True)
class Program:
    """Who answers on a control socket, as error messages say it: its name, how one is started, and where else its socket may be."""

    name: str
    start: str
    find: str
    elsewhere: str


APPLIANCE: Final = Program(
    "appliance",
    "start one with `softena run FILE`",
    "start one with `softena run FILE`, or name its socket with --socket or --config",
    "name another place in the file: `control: {socket: PATH}`",
)
MAX_FLOWS: Final = 1000
"""Flows in one answer; the cursor leads to the rest."""

MAX_DRAIN: Final = 30 * 86400
"""Seconds until a drained target's last flows end, at most."""

ETHTOOL_KINDS: Final = "igklxSc"
"""The letters `ethtool` is asked with: driver, rings, offloads, channels, RSS, statistics, moderation."""


class ControlledAppliance(Protocol):
    """The appliance as its control socket sees it. Methods that answer at once run on the event loop: they must be quick."""

    def status(self) -> Result:
        """How it is going.

        version, config (the file), generation, since (seconds since the epoch), uptime,
        nics:       [{name, tap, zone, mac, addresses, mtu, queues, link, resets, rx: {packets, bytes}, tx: {packets, bytes},
                      counters: {...}, drops: {reason: frames}}]
        services:   [{name, listen: [...], syn-cookies: {mode, under-pressure, half-open, sent, accepted, refused},
                      targets: [{name, address, port, weight, state, phase, up, share, flows, deadline, opened, ejected}]}]
                    state: of health checks; phase: active, lame-duck, draining, drained, unhealthy or ejected; up: it counts as up;
                    share: percent of its weight that counts, less than 100 while it warms up; deadline: when its flows end, seconds since
                    the epoch, or null; opened: {answered, refused, silent} new connections; ejected: {until, why, times}, or null
        forwards:   [{name, line, syn-cookies}]; those that aren't of TCP have none: null
        flows:      {used, limit, and one count for each class}
        totals:     {counter: frames, flows or commands}
        drops:      {reason: frames}, on their way; handed-over: {handled, drops}, of those that were Python's; unanswered: {why: frames}
                    whose senders were not told
        nat-exhausted: [{outside, flows, episodes, active, lasted, idle}], bindings, decisions-failed
        rules:      [{name, line, allow, verdict, audit, applies, packets, bytes, flows, idle, over-limit, connections}]
                    idle: since its last packet, or null; of one under audit, what it would have decided counts
                    applies: false while its schedule doesn't hold, or once it has ended; over-limit: flows refused, and connections: there
                    now, or null without a limit
        nat:        [{name, line, kind, flows, idle}], in the file's order; flows: that it has translated; idle: since the last of
                    them began, or null
        sets:       [{name, file, state, entries, modified, problem}]
                    state: good, kept (what was good before), stale (too old), empty; modified: the file, seconds since the epoch, or null
        neighbours: [{nic, address, mac, state}]
        """

    def flows(self, limit: int, cursor: int) -> Result:
        """Flows from a cursor (start with 0): {flows: [...], next: cursor of the rest, 0 when all were seen}.

        At most `limit`, possibly none. Each: {id, protocol, state, in, out, original, reply, rule, line, service, forward, target,
        generation, packets, bytes, age, idle, expires, reason}. `line`: of the rule in the file, 0 without one. `in` and `out`
        are nics; original and reply are {source, sport, destination, dport} as each direction arrives, reply is None until decided; packets
        and bytes are pairs, original direction first.
        """

    def ethtool(self, nic: str, kind: str) -> Result:
        """One view of a card: {text: as ethtool prints it, data: the same as values}. `kind` is one of ETHTOOL_KINDS.

        UsageError: no such nic.
        """

    def names(self) -> Result:
        """What domain names stand for: {objects: [{name, fqdn, refused, addresses: [{address, of, left}]}]}.

        `of`: the name that was asked for; left: seconds; refused: addresses that found no room.
        """

    def drain_target(self, service: str, target: str, seconds: float | None) -> Result:
        """Have a target take no new flows: as `status` shows it, now. UsageError: there is none.

        Flows left after so many seconds end; None: as the service's `drain` says, and without one they may last.
        """

    def restore_target(self, service: str, target: str) -> Result:
        """Have a target take new flows again. UsageError: there is none, or the file says otherwise."""

    async def reload(self) -> Result:
        """Read the file again and swap it in: {generation, judged, ended, seconds}. ConfigError: its mistakes; what runs is unchanged."""


def methods(appliance: ControlledAppliance) -> Methods:
    """What an appliance's control socket offers."""
    from asyncio import Lock  # callers of a socket need none of it

    reloading = Lock()

    def status(params: Params) -> Result:
        params.finish()
        return appliance.status()

    def names(params: Params) -> Result:
        params.finish()
        return appliance.names()

    def flows(params: Params) -> Result:
        limit, cursor = params.whole("limit", 1, MAX_FLOWS, 100), params.whole("cursor", 0, 2**63 - 1, 0)
        params.finish()
        return appliance.flows(limit, cursor)

    def ethtool(params: Params) -> Result:
        nic, kind = params.text("nic"), params.word("kind", ETHTOOL_KINDS)
        params.finish()
        return appliance.ethtool(nic, kind)

    def drain(params: Params) -> Result:
        service, target, seconds = params.text("service"), params.text("target"), params.whole("seconds", -1, MAX_DRAIN, -1)
        params.finish()
        return appliance.drain_target(service, target, None if seconds < 0 else float(seconds))

    def restore(params: Params) -> Result:
        service, target = params.text("service"), params.text("target")
        params.finish()
        return appliance.restore_target(service, target)

    async def reload(params: Params) -> Result:
        params.finish()
        async with reloading:
            return await appliance.reload()

    return {"status": status, "names": names, "flows": flows, "ethtool": ethtool, "drain": drain, "restore": restore, "reload": reload}
