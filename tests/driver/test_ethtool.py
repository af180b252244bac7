"""The views against what the driver was told and did; the texts by what parsers of the real tool look for."""

import json
import re
from collections.abc import AsyncIterator

import pytest

from ena_dev.abi.features import RxOffload, TxOffload
from ena_dev.device.personality import Personality
from ena_dev.driver import ethtool
from ena_dev.driver.negotiation import Wishes
from ena_dev.errors import UsageError
from ena_dev.testbed import MAC, Testbed
from tests.support.traffic import answered, echoing

pytestmark = pytest.mark.usefixtures("virtual_time")

# ENA interface, `ethtool -S`: the global counters in print order, typed from the contract.
GLOBAL = [
    "total_resets", "reset_fail", "tx_timeout", "wd_expired", "admin_q_pause", "bad_tx_req_id", "bad_rx_req_id",
    "bad_rx_desc_num", "missing_intr", "suspected_poll_starvation", "missing_tx_cmpl", "rx_desc_malformed", "tx_desc_malformed",
    "invalid_state", "os_netdev_wd", "missing_admin_interrupt", "admin_to", "device_request_reset", "missing_first_intr",
    "suspend", "resume", "interface_down", "interface_up",
]  # fmt: skip
HEALTHY = re.compile(
    r"total_resets|.*_req_id|bad_rx_desc_num|missing_.*|.*_malformed|admin_to|wd_expired|.*lost_interrupt|.*csum_bad|.*no_completion"
)


@pytest.fixture
async def bench(virtual_time: None) -> AsyncIterator[Testbed]:
    async with Testbed(queues=2) as bench:
        yield bench


async def test_every_view_is_json_and_text(bench: Testbed) -> None:
    for kind in "igklxSc":
        data = json.loads(json.dumps(ethtool.view(kind, bench.adapter, "wan0")))
        text = ethtool.render(kind, data)
        assert text and not text.endswith("\n")
        assert "wan0" in text or kind in "iS"


async def test_an_unknown_view_is_refused(bench: Testbed) -> None:
    with pytest.raises(UsageError, match="'z'"):
        ethtool.view("z", bench.adapter, "wan0")
    with pytest.raises(UsageError):
        ethtool.render("", {})


async def test_a_healthy_card_counts_packets_and_nothing_that_is_wrong(bench: Testbed) -> None:
    async with echoing(bench):
        assert await answered(bench, 32) == 32
        await bench.elapse(60.0)
    counted = ethtool.view("S", bench.adapter, "wan0")["statistics"]
    assert list(counted)[: len(GLOBAL)] == GLOBAL
    assert {name: value for name, value in counted.items() if HEALTHY.fullmatch(name) and value} == {}
    for way in ("rx", "tx"):
        assert sum(counted[f"queue_{index}_{way}_cnt"] for index in range(2)) == 32
    assert counted["num_of_active_io_queues"] == 2


async def test_statistics_are_printed_as_name_and_number_a_line(bench: Testbed) -> None:
    text = ethtool.render("S", ethtool.view("S", bench.adapter, "wan0")).splitlines()
    assert text[0] == "NIC statistics:"
    assert all(re.fullmatch(r" {5}\w+: \d+", line) for line in text[1:])


async def test_a_reset_shows_under_its_reason(bench: Testbed) -> None:
    bench.device.faults.miss_keep_alives(100)
    await bench.elapse(10.0)
    counted = ethtool.view("S", bench.adapter, "wan0")["statistics"]
    assert (counted["total_resets"], counted["wd_expired"], counted["missing_tx_cmpl"]) == (1, 1, 0)


async def test_rings_and_channels_show_the_most_and_the_current(bench: Testbed) -> None:
    rings, channels = ethtool.view("g", bench.adapter, "wan0"), ethtool.view("l", bench.adapter, "wan0")
    assert (rings["max"], rings["current"]) == ({"rx": 1024, "tx": 1024}, {"rx": 256, "tx": 256})
    assert (channels["max"]["combined"], channels["current"]["combined"]) == (4, 2)
    assert re.findall(r"^(RX|TX): +(\d+)$", ethtool.render("g", rings), re.M) == [
        ("RX", "1024"),
        ("TX", "1024"),
        ("RX", "256"),
        ("TX", "256"),
    ]
    assert re.findall(r"^Combined: +(\d+)$", ethtool.render("l", channels), re.M) == ["4", "2"]


async def test_the_table_and_the_key_read_back_from_the_text(bench: Testbed) -> None:
    key, table = bytes(range(40)), [number // 3 % 2 for number in range(128)]
    await bench.adapter.set_rss(key=key, table=table)
    text = ethtool.render("x", ethtool.view("x", bench.adapter, "wan0"))
    rows = re.findall(r"^ *\d+: ((?: +\d+)+)$", text, re.M)
    assert [int(entry) for row in rows for entry in row.split()] == table
    assert bytes.fromhex(re.search(r"^RSS hash key:\n(.+)$", text, re.M)[1].replace(":", "")) == key  # type: ignore[index]


@pytest.mark.parametrize("offloads", [True, False])
async def test_features_show_what_was_agreed(offloads: bool) -> None:
    wishes = Wishes(rx_depth=256, tx_depth=256, checksum=offloads, segmentation=offloads, large_receive=offloads)
    async with Testbed(wishes=wishes) as bench:
        data = ethtool.view("k", bench.adapter, "wan0")
    shown = [data["rx-checksumming"], *data["tx-checksumming"].values(), *data["tcp-segmentation-offload"].values()]
    assert {*shown, data["large-receive-offload"]} == {offloads}
    assert ethtool.render("k", data).splitlines()[1] == f"rx-checksumming: {'on' if offloads else 'off'}"


async def test_a_card_that_offers_little_shows_little() -> None:
    poor = Personality(mac=MAC, tx_offloads=TxOffload.L4_IPV4_PARTIAL, rx_offloads=RxOffload(0))
    async with Testbed(personality=poor) as bench:
        data = ethtool.view("k", bench.adapter, "wan0")
    assert data["tx-checksumming"] == {"": True, "tx-checksum-ipv4": True, "tx-checksum-ipv6": False}
    assert not data["tcp-segmentation-offload"][""] and not data["rx-checksumming"] and not data["receive-hashing"]


async def test_delays_are_shown_in_microseconds() -> None:
    wishes = Wishes(rx_depth=256, tx_depth=256, rx_usecs=21, tx_usecs=64)
    async with Testbed(wishes=wishes, personality=Personality(mac=MAC, moderation_resolution=4)) as bench:
        data = ethtool.view("c", bench.adapter, "wan0")
    assert (data["rx-usecs"], data["tx-usecs"]) == (20, 64)
    assert "\nrx-usecs: 20\n" in ethtool.render("c", data)
