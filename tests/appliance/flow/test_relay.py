"""Segments of connections made of two handshakes, as they are counted."""

from __future__ import annotations

from tests.appliance.flow.bench import Bench
from tests.appliance.flow.syn_client import ISN, THEIRS, Client, configure


def test_a_rule_counts_what_its_flow_does(bench: Bench) -> None:
    """The target's SYN+ACK as well, in whose place its originator hears that the window is open."""
    configure(bench)
    client = Client(bench)
    ours = client.connect()
    client.sends("PA", ISN + 1, ours, data=b"hello", window=500)
    client.target("A", THEIRS + 1, ISN + 6, window=65535)
    [flow], _ = bench.worker.read(0, 10)
    counted = bench.worker.rule_counters()[flow.rule]
    assert flow.packets == (3, 2)
    assert counted == (sum(flow.packets), sum(flow.bytes), 1)
