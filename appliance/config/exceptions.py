"""What happens to packets that neither a rule nor a flow decides about: by default they are dropped. Drops are counted by their reasons.

    key              when                                                              reasons                        choices
    state-full       no room for another flow                                          table-full                     drop, reject
    mid-stream       a TCP segment of no flow, which may not begin one                 not-a-start                    drop, reject
    invalid          TCP whose sequence numbers its connection can't have              tcp-window                     drop, pass
    nat-exhausted    no port left for a hidden source, or replies are another flow's   nat-exhausted                  drop, reject
    no-target        a service without a target that takes flows                       no-target                      drop, reject
    decision-failed  an error in deciding: the flow is denied for a second             decision-failed                drop, reject
    malformed        headers that contradict themselves, end too early, don't sum up   malformed, truncated, ...      drop
    reassembly       fragments that overlap, are endless, or too many                  fragment-*                     drop
    overload         decisions lag behind                                              miss-full, pending-full, ...   drop

`reject` tells the sender, by a RST or an ICMP error, within the rate of what rules reject. Nothing passes without state when the table is
full: an answer could not be told from an attack.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from appliance.config.section import Section
from appliance.config.values import only

Told = Annotated[Literal["drop", "reject"], only("drop", "reject")]
Closed = Annotated[Literal["drop"], only("drop")]

TELLABLE: Final = {
    "state_full": "table-full", "mid_stream": "not-a-start", "nat_exhausted": "nat-exhausted", "no_target": "no-target",
    "decision_failed": "decision-failed",
}  # fmt: skip
"""The attributes that may be `reject`, and the reason for which such a packet is dropped."""


class Exceptions(Section):
    """One policy for each exception. Those that can only be closed may be written as well."""

    state_full: Told = "drop"
    mid_stream: Told = "drop"
    invalid: Annotated[Literal["drop", "pass"], only("drop", "pass")] = "drop"
    nat_exhausted: Told = "drop"
    no_target: Told = "drop"
    decision_failed: Told = "drop"
    malformed: Closed = "drop"
    reassembly: Closed = "drop"
    overload: Closed = "drop"

    def told(self) -> frozenset[str]:
        """The drop reasons that senders are told about."""
        return frozenset(reason for key, reason in TELLABLE.items() if getattr(self, key) == "reject")
