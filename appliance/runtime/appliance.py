"""The appliance as a whole: queue coroutines, deciding, reload, and an orderly end; `hardware` is what is around its cards.

    start: ports -> host addresses -> cards up -> data thread -> guests' sockets -> one coroutine a queue pair
    reload: load aside -> compile -> swap one reference -> re-judge flows
    stop: no more receiving -> sends drained -> cards down -> host as it was
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Final

import structlog

from appliance.balancer.history import History
from appliance.config.loader import load
from appliance.config.models import Config
from appliance.flow.program import Worker
from appliance.flow.records import FlowView
from appliance.flow.table import flows_in
from appliance.runtime import report
from appliance.runtime.adjacencies import HOST, Adjacencies
from appliance.runtime.cards import HOST_MAC
from appliance.runtime.circumstances import Circumstances, Compiled
from appliance.runtime.decider import Decider, View
from appliance.runtime.ejections import Ejections
from appliance.runtime.fixed import refuse_changes
from appliance.runtime.hardware import Hardware, undo
from appliance.runtime.health import HealthChecker
from appliance.runtime.limits import Limits
from appliance.runtime.megaflows import Megaflows
from appliance.runtime.neighbours import Neighbourhood
from appliance.runtime.profiles import profile, profiles
from appliance.runtime.punts import Punts
from appliance.runtime.rejudge import Judge, Rejudged, rejudge
from appliance.runtime.resets import Resetter
from appliance.runtime.targets import Targets
from appliance.runtime.world import World
from ena_dev.driver.queue import QueuePair
from ena_dev.packet.toeplitz import Toeplitz

log = structlog.get_logger("appliance")

TICK: Final = 1.0
"""Seconds between looks at what neighbours were used, at most."""


class Appliance:
    """One running configuration. Made inside an event loop; `start`, then `run` until cancelled, then `stop`."""

    def __init__(self, config: Config, path: Path, world: World, *, threaded: bool = True, random: Random | None = None) -> None:
        """`threaded`: the executor has a data thread of its own; otherwise it runs in the event loop, on its clock. `random`: where keys
        and choices come from; by default nobody can foresee them."""
        self.config, self.path = config, path
        self._world, self._threaded = world, threaded
        self.started = time.time()
        self._loop = asyncio.get_running_loop()
        self._random = random or SystemRandom()
        self._seed = self._random.randbytes(32)
        self.hardware = Hardware(config)
        self.memory, self.executor, self.pool = self.hardware.memory, self.hardware.executor, self.hardware.pool
        self.cards, self.guests, self.host = self.hardware.cards, self.hardware.guests, self.hardware.host
        timers = dict(profile(config.timeouts).timeouts)
        bound = flows_in(config.limits.memory) if config.limits.memory else config.limits.flows
        self.worker = Worker(self.executor, self.pool, bound, self._random.randbytes(16), timers)
        self.generation = 0
        self.circumstances = Circumstances(self._loop.time, time.time)
        self._reloading = asyncio.Lock()
        self._group: asyncio.TaskGroup | None = None

    # -- start ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open ports, take over uplinks, bring the cards up. Raises SoftenaError, with everything undone."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self.hardware.open(self.config, self._world)
        self.config = await self._world.adopt(self.config)
        self.hardware.plug(self.config)
        await self.circumstances.prepare(self.config, self.path)
        compiled = self._compile(self.config)
        self.ruleset = compiled.ruleset
        await self._world.connect(self.config, self._local_addresses())
        self.hardware.start(None if self._threaded else self._loop)
        nics = list(self.config.nics.values())
        for card in self.cards:
            await card.start()
            clamp = nics[card.index].mss_clamp if card.index < self.host else 0
            self.worker.add_nic(card.index, card.mac, card.mtu, card.adapter.pairs, card.index == self.host, clamp)
            rss = card.adapter.rss
            self.worker.set_steering(card.index, Toeplitz(rss.key, rss.initial), rss.table)
        self.worker.set_adjacency(HOST, self.host, HOST_MAC)
        self.health = HealthChecker(self._world.probe, self._probe_source, self._target_changed, self._random)
        self._make_decider()
        self._configure(compiled)
        for guest in self.guests.values():
            await guest.start()

    def _make_decider(self) -> None:
        self.adjacencies = Adjacencies(self.worker)
        self.neighbourhoods = {
            card.index: Neighbourhood(card.index, card.mac, self.adjacencies, partial(self.worker.send, card.index), self._random)
            for card in self.cards[: self.host]
        }
        for index, neighbourhood in self.neighbourhoods.items():
            self.cards[index].adapter.link.observers.append(partial(self._link_changed, neighbourhood))
        self.targets = Targets(self.worker, self.health.up, self._number_of_target, self._loop.time)
        self.ejections = Ejections(self.worker, self.targets, self._number_of_target, self._loop.time)
        history = History(self._loop.time, self.targets.flows)
        names = self.circumstances.names
        view = View(self.worker, self.targets.take_flows, self._random, self._loop.time, history, self.targets.share, names.holds)
        punts = Punts(self.worker, self.neighbourhoods, self.host, HOST_MAC, names)
        megaflows = Megaflows(self.worker.megaflows, view)
        self.decider = Decider(self.worker, view, self._loop.time, self.host, self.neighbourhoods, punts, megaflows, str(self.path))
        self.limits = Limits(self.worker.limits)
        self.targets.changed.append(megaflows.target_changed)
        self.targets.resetter = self.decider.resetter = Resetter(self.worker, self.decider, self.host, HOST_MAC)

    def _compile(self, config: Config) -> Compiled:
        self.generation += 1
        return self.circumstances.compile(config, self.generation, self._seed)

    def _configure(self, compiled: Compiled) -> None:
        """Everything that follows from a ruleset, swapped between bursts."""
        ruleset = self.ruleset = compiled.ruleset
        self.circumstances.adopt(compiled)
        self.decider.configure(ruleset)
        self.worker.set_profiles(*profiles(self.config, self.decider.rules.number, self.decider.services.number))
        self.limits.configure(self.config, self.decider.rules.number, self.decider.services.number)
        self.health.configure(ruleset.targets())
        self.targets.configure(self.config.services)
        self.worker.read_dns(bool(self.circumstances.names))
        self.ejections.configure(self.config.services)
        self.decider.megaflows.configure(ruleset, compiled.cuts)
        for index, nic in enumerate(self.config.nics.values()):
            stood_for = report.stood_for(self.config, ruleset, index)
            self.neighbourhoods[index].configure(nic.address, report.answered(self.config, ruleset, index), stood_for)

    def _local_addresses(self) -> list[str]:
        return [report.address(version, value) for version, values in self.ruleset.local_addresses.items() for value in sorted(values)]

    def _probe_source(self, version: int, address: int) -> str | None:
        """The own address that a health probe leaves from: the primary one of the nic that leads to the target."""
        hop = self.ruleset.routes.lookup(version, address)
        primary = None if hop is None else self.ruleset.primary.get((hop.nic, version))
        return None if primary is None else report.address(version, primary)

    # -- run -----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until cancelled. A bug in one coroutine ends all, loudly."""
        async with asyncio.TaskGroup() as self._group:
            for pair in self.hardware.pairs():
                self._group.create_task(self._serve(pair), name=f"queue {pair.nic}.{pair.index}")
            self._group.create_task(self.health.run(), name="health")
            self._group.create_task(self.targets.run(), name="targets")
            self._group.create_task(self.ejections.run(), name="passive checks")
            self._group.create_task(self._tick(), name="neighbours")
            self._group.create_task(self.circumstances.run(self.refresh), name="circumstances")
            for neighbourhood in self.neighbourhoods.values():
                neighbourhood.announce()

    async def _serve(self, pair: QueuePair) -> None:
        """Own one queue pair: lend it to the fast path, decide what it can't."""
        async for work in pair.run(self.worker.program(pair)):
            await self.decider.handle(work)

    async def _tick(self) -> None:
        """Let neighbours age."""
        while True:
            now = self._loop.time()
            self.adjacencies.settle()
            self.limits.look(now)
            self.decider.view.bindings.tick()
            for neighbourhood in self.neighbourhoods.values():
                neighbourhood.tick(now)
            due = [d for n in self.neighbourhoods.values() if (d := n.deadline()) is not None]
            await asyncio.sleep(max(0.01, min([now + TICK, *due]) - now))

    def _link_changed(self, neighbourhood: Neighbourhood, up: bool) -> None:
        """Whoever is at the other end now is told who we are."""
        if up and self._group is not None:
            neighbourhood.announce(again=True)

    def _target_changed(self, service: str, target: str, up: bool) -> None:
        self.targets.health_changed(service, target, up)

    # -- reload --------------------------------------------------------------------------------------------------------

    async def reload(self) -> dict[str, Any]:
        """Load the file again and swap it in; returns when the last flow was judged. Raises ConfigError, with nothing changed."""
        async with self._reloading:
            config = self._world.adopted(await asyncio.to_thread(load, self.path, time.time()))
            for warning in config.warnings:
                log.warning("configuration", warning=str(warning))
            refuse_changes(self.config, config, self.path)
            await self.circumstances.prepare(config, self.path)
            result = await self._swap(config, "reloaded")
        return {"generation": self.generation, "judged": result.judged, "ended": result.ended, "seconds": result.seconds}

    async def refresh(self, why: str) -> None:
        """Compile the rules anew, and judge flows by them, as at a reload: what they hang on besides the file has changed."""
        async with self._reloading:
            await self._swap(self.config, "rules changed", why=why)

    async def _swap(self, config: Config, what: str, **facts: str) -> Rejudged:
        compiled = await asyncio.to_thread(self._compile, config)
        self.config = config
        self._configure(compiled)
        for neighbourhood in self.neighbourhoods.values():
            neighbourhood.announce()
        ruleset, bindings, held = compiled.ruleset, self.decider.view.bindings, self.circumstances.names.held
        judge = Judge(ruleset, compiled.cuts, self.host, self._target_of, bindings, held)
        result: Rejudged = await rejudge(self.worker, judge, ruleset.generation, self._loop.time)
        log.info(what, generation=ruleset.generation, judged=result.judged, ended=result.ended, seconds=round(result.seconds, 3), **facts)
        return result

    def _number_of_target(self, service: str, target: str) -> int:
        return self.decider.services.number(f"{service}/{target}")

    def _target_of(self, flow: FlowView) -> str | None:
        return self.decider.services.names[flow.target].partition("/")[2] or None

    # -- stop ----------------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Receive no more, and let what is in flight leave."""
        await self.hardware.drain()

    async def stop(self) -> None:
        """Cards down, host as it was; what fails on the way is logged, and the rest still done. Idempotent; `run` has ended before."""
        await self.hardware.stop()
        self.worker.close()
        self.hardware.close()
        await undo(self._world.restore(), "restore the host")

    # -- what the control socket shows ---------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Everything at a glance."""
        return report.status(self, self._loop.time())

    def flows(self, limit: int, cursor: int) -> dict[str, Any]:
        """At most `limit` flows from a cursor, and the next cursor: 0 after the last."""
        return report.flows(self, limit, cursor, self._loop.time())

    def names(self) -> dict[str, Any]:
        """What domain names stand for, by what DNS has answered."""
        return {"objects": self.circumstances.names.status(report.address)}

    def drain_target(self, service: str, target: str, seconds: float | None) -> dict[str, Any]:
        """Have a target take no new flows; those left after so many seconds, or what the file says, end. Raises UsageError for others."""
        self.targets.drain(service, target, seconds)
        return report.target(self, service, target)

    def restore_target(self, service: str, target: str) -> dict[str, Any]:
        """Have a target take new flows again, if it is up. Raises UsageError."""
        self.targets.restore(service, target)
        return report.target(self, service, target)

    def ethtool(self, nic: str, kind: str) -> dict[str, Any]:
        """One view of one card, as `ethtool -KIND` shows it. Raises UsageError for an unknown nic or kind."""
        return report.ethtool(self, nic, kind)
