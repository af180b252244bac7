"""A network as bad as the file asks for: TCP gets through, whole; and the faults are there, in the amount that was asked.

    client .9 --lossy, disordered-- [fw] --late-- server .9         and two more cards, to look at one fault alone
"""

from __future__ import annotations

import re

import pytest

from tests.e2e.endpoints import Bulk, both_ways, serving
from tests.e2e.lab import Lab, Site

CONFIG = """
version: 1
nics:
  lan: {address: 10.0.1.1/24, faults: {seed: 7, loss: 1%, reorder: 1%, duplicate: 1%}}
  wan: {address: 10.0.2.1/24, queues: 2, faults: {seed: 8, loss: 0.5%, delay: 2ms, jitter: 1ms}}
  far: {address: 10.0.3.1/24, faults: {seed: 9, delay: 20ms}}
  bad: {address: 10.0.4.1/24, faults: {seed: 10, loss: 10%, duplicate: 10%}}
zones: {home: {nics: [lan]}, net: {nics: [wan, far, bad]}}
policy:
  - out: {from: [home], to: [net], allow: any}
  - me:  {from: [net], to: [self], allow: [ping]}
"""
SERVER = "10.0.2.9"


@pytest.fixture(scope="module")
def site(lab: Lab) -> Site:
    lan, wan = (["10.0.1.9/24"], ["10.0.1.1"]), (["10.0.2.9/24"], ["10.0.2.1"])
    site = lab.site(CONFIG, {"lan": lan, "far": (["10.0.3.9/24"], []), "bad": (["10.0.4.9/24"], [])}, {"wan": wan})
    lab.keep(serving(site.server, (Bulk, SERVER, 7000, "tcp")))
    return site


def test_streams_arrive_whole_over_loss_disorder_duplicates_and_delay(site: Site) -> None:
    both_ways(site.client, SERVER, 7000, streams=2, size=1 << 20)
    assert site.client.stack_errors() == site.server.stack_errors() == {}


def test_a_delay_is_in_both_directions_of_every_round_trip(site: Site) -> None:
    out = site.client.output("ping", "-n", "-c5", "-i0.02", "-W10", "10.0.3.1")
    found = re.search(r"min/avg/max/mdev = ([\d.]+)/", out)
    assert found is not None and float(found[1]) >= 40.0, out


def test_loss_and_duplicates_are_about_what_was_asked(site: Site) -> None:
    """Both ways: 19 of 100 are lost, and those that come are doubled on either way. The bounds are five deviations off, and more."""
    out = site.client.output("ping", "-n", "-c400", "-i0.002", "-W1", "10.0.4.1", check=False)
    found = re.search(r"(\d+) packets transmitted, (\d+) received, (?:\+(\d+) duplicates, )?", out)
    assert found is not None, out
    sent, received, doubled = (int(each or 0) for each in found.groups())
    assert sent == 400 and 270 <= received <= 385 and 25 <= doubled <= 140, out
