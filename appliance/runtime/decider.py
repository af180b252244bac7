"""Misses become flow entries: facts, decision, command. The Python side of every queue's coroutine.

    Work(misses, punts, refused) --> decide(facts, ruleset, view) --> install | deny
                                 --> punts: ARP, ND, ICMP errors

An exception in a decision denies that flow for a second, is counted and logged, and ends nothing else. A command ring that is full makes
the coroutine wait: meanwhile the queue's own ring fills, and what does not fit there is dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Final

import structlog

from appliance.balancer.history import History
from appliance.balancer.populate import WHOLE
from appliance.decide import decide
from appliance.flow.program import Worker
from appliance.flow.records import Miss, Punt, Refused, Tuple5, Work
from appliance.nat.bindings import Bindings
from appliance.policy.facts import SELF, TCP, Decision, Facts, Reason
from appliance.ruleset import Ruleset
from appliance.runtime.adjacencies import HOST
from appliance.runtime.commands import until_told
from appliance.runtime.errors import RateLimit
from appliance.runtime.exhaustion import Exhaustion
from appliance.runtime.megaflows import Megaflows
from appliance.runtime.neighbours import Neighbourhood
from appliance.runtime.punts import Punts
from appliance.runtime.resets import Resetter
from appliance.runtime.translate import address_of

log = structlog.get_logger("flows")

ATTEMPTS: Final = 8
"""How often a reply tuple that turned out to be taken is chosen anew."""
REMEMBERED: Final = 4096
"""Installs whose decision is kept, in case they are refused."""
TAKEN_FOR: Final = 1.0
"""Seconds for which a tuple that was refused is not chosen again."""
AUDITS_LOGGED: Final = 10.0, 100
"""Flows of rules under audit that are logged, a second and at once."""
SLICE: Final = 32
"""Decisions that the compiled path is woken for, once, and after which other coroutines get their turn."""


class Names:
    """Numbers of rules, services, targets and entries of `nat`, the same for the whole life of the process. 0 is the empty name."""

    def __init__(self, limit: int = 65536) -> None:
        self._numbers: dict[str, int] = {"": 0}
        self.names: list[str] = [""]
        self._limit = limit

    def number(self, name: str | None) -> int:
        """The number of a name, a new one if need be; 0 once there are too many."""
        found = self._numbers.get(name or "")
        if found is None:
            if len(self.names) >= self._limit:
                return 0
            found = self._numbers[name or ""] = len(self.names)
            self.names.append(name or "")
        return found


class View:
    """The running state that a decision asks about."""

    def __init__(
        self, worker: Worker, target_up: Callable[[str, str], bool], random: Random, clock: Callable[[], float], history: History,
        target_share: Callable[[str, str], int] = lambda service, target: WHOLE,
        named: Callable[[tuple[str, ...], int, int], bool] = lambda objects, version, address: False,
    ) -> None:  # fmt: skip
        self.named = named
        self.random, self.target_up, self.target_share, self.history = random, target_up, target_share, history
        self._worker, self._clock = worker, clock
        self._taken: dict[tuple[int, int, Tuple5], float] = {}
        self.bindings = Bindings(self._expected, clock, random)

    def is_free(self, version: int, protocol: int, reply: Tuple5) -> bool:
        """Whether no flow expects packets of this tuple, as far as is known: `install` has the last word."""
        until = self._taken.get((version, protocol, reply))
        return (until is None or until <= self._clock()) and self._worker.is_free(version, protocol, *reply)

    def comes_home(self, facts: Facts, egress: int, reply: Tuple5) -> bool:
        """Whether a reply arrives by the queue that the flow began at. The own stack's has only one."""
        return self._worker.comes_home(facts.nic, facts.queue, egress, facts.version, facts.protocol, reply)

    def _expected(self, version: int, protocol: int, reply: Tuple5) -> bool:
        return not self._worker.is_free(version, protocol, *reply)

    def taken(self, version: int, protocol: int, reply: Tuple5) -> None:
        """An install was refused because of this tuple."""
        now = self._clock()
        while self._taken and (oldest := next(iter(self._taken.items())))[1] <= now:
            del self._taken[oldest[0]]
        self._taken.pop((version, protocol, reply), None)
        self._taken[version, protocol, reply] = now + TAKEN_FOR


class Decider:
    """Decides for all queues of one worker. `host`: the nic of the appliance's own stack; `file`: where its rules are written."""

    def __init__(
        self, worker: Worker, view: View, clock: Callable[[], float], host: int, neighbourhoods: Mapping[int, Neighbourhood], punts: Punts,
        megaflows: Megaflows, file: str = "",
    ) -> None:
        self._worker, self.view, self._clock, self._host, self._file = worker, view, clock, host, file
        self.neighbourhoods, self.punts, self.megaflows = neighbourhoods, punts, megaflows
        self.ruleset: Ruleset
        self.resetter: Resetter
        """Who tells the ends of connections that were idle for too long. Set before the first `handle`."""
        self.rules, self.services, self.nat = Names(), Names(), Names()
        self.failures = 0
        self.exhaustion = Exhaustion()
        self._chosen: OrderedDict[int, tuple[int, Decision]] = OrderedDict()
        self._audits = RateLimit(*AUDITS_LOGGED)

    def configure(self, ruleset: Ruleset) -> None:
        """Decide by this ruleset from the next frame on."""
        self.ruleset = self.punts.ruleset = ruleset
        self.view.bindings.keep(ruleset.sources.binding, ruleset.stands)

    async def handle(self, work: Work) -> None:
        """Decide all that one queue has to be decided. Neighbours first: flows wait for them."""
        for punt in work.punts:
            self._punted(punt)
        for flow in work.ended:
            await self.resetter.tell(flow, self._clock())
        for refused in work.refused:
            await until_told(partial(self._answer, refused.miss, *self._refused(refused)))
        for number, miss in enumerate(work.misses, 1):
            await until_told(partial(self._answer, miss, 1))
            if number % SLICE == 0:
                self._worker.flush()
                await asyncio.sleep(0)
        self._worker.flush()

    def _answer(self, miss: Miss, attempt: int, reason: str = "") -> bool:
        """Tell the compiled path what becomes of a flow; False while it has no room to hear it. With a `reason` it is decided already."""
        if reason:
            return self._deny(miss, "", reason)
        try:
            return self._decide(miss, attempt)
        except Exception:
            self._failed("a decision failed: the flow is denied", miss=miss)
            return self._deny(miss, "", "decision-failed")

    def _failed(self, what: str, **facts: object) -> None:
        self.failures += 1
        if self.failures <= 10 or self.failures % 1000 == 0:
            log.exception(what, failures=self.failures, **facts)

    # -- misses --------------------------------------------------------------------------------------------------------

    def facts(self, miss: Miss) -> Facts:
        """What the decision engine is told of a miss."""
        nic = SELF if miss.nic == self._host else miss.nic
        return Facts(nic, miss.version, miss.protocol, miss.source, miss.destination, miss.sport, miss.dport, miss.icmp_type,
                     miss.tcp_flags, miss.queue)

    def _decide(self, miss: Miss, attempt: int) -> bool:
        facts = self.facts(miss)
        decision = decide(facts, self.ruleset, self.view)
        alike, pool = self.megaflows.alike(facts, decision)
        audit = self._audit(facts, decision) if decision.audited else 0
        if decision.reason == Reason.NAT_EXHAUSTED:
            self.exhaustion.refused(facts.version, decision.outside, facts.destination, self._clock())
        if not decision.allow:
            return self._deny(miss, decision.rule, decision.reason, audit, alike, pool)
        now = self._clock()
        egress = self._host if decision.egress == SELF else decision.egress
        forward = self._adjacency(egress, miss.version, decision.next_hop, now, miss.nic)
        back = self._adjacency(miss.nic, miss.version, decision.reply_hop, now, miss.nic)
        if forward is None or back is None:
            return self._deny(miss, decision.rule, "no-neighbour")
        self._chosen[miss.flow] = attempt, decision
        if len(self._chosen) > REMEMBERED:
            self._chosen.popitem(last=False)
        target = self.services.number(f"{decision.service}/{decision.target}") if decision.target else 0
        return self._worker.install(
            miss.flow, miss.version, miss.protocol, decision.reply, egress, forward, back, self.rules.number(decision.rule),
            self.ruleset.generation, self.services.number(decision.service), target, decrement=self._host not in (egress, miss.nic),
            liberal=decision.liberal, audit=audit, alike=alike, pool=pool, guard=decision.guard, proxy=decision.proxy,
            nat=(self.nat.number(decision.dnat), self.nat.number(decision.snat)),
        )  # fmt: skip

    def _audit(self, facts: Facts, decision: Decision) -> int:
        """The number of the rule under audit that would have decided. Of its flows one in a while is logged."""
        if self._audits.take(self._clock()):
            source, destination = (str(address_of(facts.version, address)) for address in (facts.source, facts.destination))
            log.info(
                "a rule under audit would decide", file=self._file, line=self._line(decision.audited), rule=decision.audited,
                would=decision.would, allowed=decision.allow, reason=str(decision.reason), by=decision.rule, by_line=decision.line,
                protocol=facts.protocol, source=source, sport=facts.sport, destination=destination, dport=facts.dport,
            )  # fmt: skip
        return self.rules.number(decision.audited)

    def _line(self, rule: str) -> int:
        return next((each.line for each in self.ruleset.rules if each.name == rule), 0)

    def _deny(self, miss: Miss, rule: str, reason: str, audit: int = 0, alike: int = 0, pool: tuple[int, int] | None = None) -> bool:
        number, generation = self.rules.number(rule), self.ruleset.generation
        tell = reason in self.ruleset.told and (reason != Reason.NOT_A_START or miss.protocol == TCP)
        return self._worker.deny(miss.flow, number, generation, str(reason), audit=audit, tell=tell, alike=alike, pool=pool)

    def _refused(self, refused: Refused) -> tuple[int, str]:
        """The next attempt at a flow whose install was refused, or why there is none."""
        attempt, decision = self._chosen.pop(refused.flow, (ATTEMPTS, None))
        if refused.reason != "taken":
            return attempt, refused.reason
        if decision is not None:
            self.view.taken(refused.miss.version, refused.miss.protocol, decision.reply)
            if attempt >= ATTEMPTS:
                outside = decision.outside or refused.miss.source
                self.exhaustion.refused(refused.miss.version, outside, refused.miss.destination, self._clock())
        return attempt + 1, Reason.NAT_EXHAUSTED if attempt >= ATTEMPTS else ""

    def _adjacency(self, nic: int, version: int, next_hop: int, now: float, asker: int) -> int | None:
        if nic == self._host:
            return HOST
        return self.neighbourhoods[nic].adjacency(version, next_hop, now, asker)

    # -- punts ---------------------------------------------------------------------------------------------------------

    def _punted(self, punt: Punt) -> None:
        try:
            self.punts.handle(punt, self._clock())
        except Exception:
            self._failed("a frame handed over could not be handled: dropped", reason=punt.reason)
