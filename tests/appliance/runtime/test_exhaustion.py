"""Episodes of addresses without a port left."""

from ipaddress import ip_address

import structlog

from appliance.runtime.exhaustion import MOST, Exhaustion

OUTSIDE, PEER = int(ip_address("203.0.113.7")), int(ip_address("198.51.100.1"))


def test_an_episode_is_logged_once_for_each_address_and_all_its_flows_are_counted():
    exhaustion = Exhaustion()
    with structlog.testing.capture_logs() as logs:
        for second in range(100):
            exhaustion.refused(4, OUTSIDE, PEER, second / 2)
            exhaustion.refused(4, OUTSIDE + 1, PEER, second / 2)
    assert [(line["outside"], line["to"]) for line in logs] == [("203.0.113.7", "198.51.100.1"), ("203.0.113.8", "198.51.100.1")]
    rows = exhaustion.rows(60.0)
    assert [(row["flows"], row["episodes"], row["active"], row["lasted"]) for row in rows] == [(100, 1, True, 49.5)] * 2


def test_after_a_minute_of_rest_another_episode_begins():
    exhaustion = Exhaustion()
    with structlog.testing.capture_logs() as logs:
        for now in (0.0, 59.0, 118.0, 178.0):
            exhaustion.refused(4, OUTSIDE, PEER, now)
    assert len(logs) == 2
    (row,) = exhaustion.rows(300.0)
    assert (row["flows"], row["episodes"], row["active"], row["idle"]) == (4, 2, False, 122.0)


def test_a_nic_without_an_address_is_named_as_such_and_the_memory_is_bounded():
    exhaustion = Exhaustion()
    with structlog.testing.capture_logs() as logs:
        exhaustion.refused(6, 0, 1, 0.0)
        for address in range(1, MOST + 50):
            exhaustion.refused(4, address, PEER, 1.0)
    assert logs[0]["event"].startswith("no address to leave under")
    assert len(exhaustion.rows(1.0)) == MOST
