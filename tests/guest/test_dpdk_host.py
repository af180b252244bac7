"""DPDK's unmodified driver for the card, natively on this machine: what testpmd counts is what stood on the wire, frame by frame.

Witnesses: testpmd's own counters, frames parsed and summed by scapy, the RSS hash by its definition. Nothing here says how fast.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from ena_dev.abi.admin import Direction
from ena_dev.abi.features import FeatureId
from ena_dev.abi.registers import ResetReason
from ena_dev.device.faults import Faults
from ena_dev.device.personality import STRANGERS_FEATURES
from tests.guest.testpmd import (
    LARGE,
    MIXED,
    NOT_TO_ASK,
    DpdkBench,
    echo,
    huge_pages,
    mounted_below,
    on_card,
    queue_of,
    say,
    swapped,
)
from tests.guest.witness import right
from tests.support.frames import udp

pytestmark = pytest.mark.guest

ONE = ("--total-num-mbufs=8192", "--nb-cores=1")
FOUR = (*ONE, "--rxq=4", "--txq=4", "--rss-ip", "--rss-udp")


async def swaps(bench: DpdkBench) -> None:
    """Each of a few hundred frames comes back, its addresses swapped."""
    frames = [udp(length, sport=1000 + length) for length in range(18, 218)] + MIXED
    assert sorted(await bench.through(frames)) == sorted(map(swapped, frames))


async def test_frames_come_back_byte_for_byte_and_are_counted_alike_on_both_sides(tmp_path: Path) -> None:
    say("n/a", NOT_TO_ASK)
    async with on_card(tmp_path, *ONE, proves=("probe", "udp", "statistics")) as bench:
        await bench.tell("set fwd macswap", "start")
        out = await bench.through(MIXED)
        assert out == [swapped(frame) for frame in MIXED]
        await bench.tell("stop")
        seen, told = await bench.counters(), bench.engine.statistics()
        size = sum(map(len, MIXED))
        assert [seen[f"{way}_{what}"] for way in ("rx_good", "tx_good") for what in ("packets", "bytes")] == [len(out), size] * 2
        assert (told.rx_packets, told.rx_bytes, told.tx_packets, told.tx_bytes) == (len(out), size) * 2
        assert seen["rx_q0_cnt"] == seen["tx_q0_cnt"] == len(out)
        assert not [name for name, value in seen.items() if value and re.search("error|bad|fail|missed|wd_|exceeded", name)]
        assert {"bw_in_allowance_exceeded", "pps_allowance_exceeded", "conntrack_allowance_available"} <= seen.keys()


async def test_what_it_makes_itself_stands_on_the_wire_and_what_found_no_room_is_counted(tmp_path: Path) -> None:
    async with on_card(tmp_path, *ONE) as bench:
        await bench.tell("set txpkts 64,100,200", "set fwd txonly", "start")
        await asyncio.sleep(0.1)
        await bench.tell("stop")
        frames = await bench.settled()
        seen, told = await bench.counters(), bench.engine.statistics()
        assert right(set(frames)) >= 1
        assert {len(frame) for frame in frames} == {364}
        assert (seen["tx_good_packets"], seen["tx_good_bytes"]) == (len(frames), 364 * len(frames))
        assert seen["tx_q0_cnt"] == told.tx_packets + told.tx_drops


async def test_it_answers_arp_and_pings(tmp_path: Path) -> None:
    asked, answers = echo(50)
    async with on_card(tmp_path, *ONE) as bench:
        await bench.tell("set fwd icmpecho", "start")
        assert await bench.through(asked) == answers


async def test_flows_spread_over_queues_as_key_and_table_say(tmp_path: Path) -> None:
    flows = [udp(100, sport=1000 + n, version=version) for n in range(100) for version in (4, 6)]
    async with on_card(tmp_path, *FOUR, proves=("rss",)) as bench:
        await bench.tell("set fwd rxonly", "start")
        for change in ("rss reta (0,3),(5,3),(17,1),(64,0),(127,2)", f"rss-hash-key ipv4-udp {'6d5a56da' * 10}", "rss reta (1,2)"):
            key = bytes.fromhex((await bench.tell("show port 0 rss-hash key")).split("RSS key:")[1].split()[0])
            shown = await bench.tell("show port 0 rss reta 128 (0xffffffffffffffff,0xffffffffffffffff)")
            table = [int(queue) for queue in re.findall(r"hash index=\d+, queue=(\d+)", shown)]
            before = await bench.counters()
            await bench.through(flows)
            after = await bench.counters()
            wanted = Counter(queue_of(frame, key, table) for frame in flows)
            assert {queue: after[f"rx_q{queue}_cnt"] - before[f"rx_q{queue}_cnt"] for queue in range(4)} == dict(wanted)
            assert len(wanted) == 4
            await bench.tell(f"port config 0 {change}")


async def by_card(bench: DpdkBench, *more: str) -> None:
    """Forward with all checksums left to the card."""
    await bench.tell("port stop 0", *(f"csum set {layer} hw 0" for layer in ("ip", "udp", "tcp")), *more, "port start 0")
    await bench.tell("set fwd csum", "start")


async def test_the_card_fills_checksums_in_and_finds_wrong_ones(tmp_path: Path) -> None:
    async with on_card(tmp_path, *ONE, "--enable-rx-cksum", proves=("checksum-on", "checksum-off")) as bench:
        await by_card(bench)
        out = await bench.through(MIXED)
        assert right(out) == len(MIXED)
        assert [frame[14:] for frame in out] == [frame[14:] for frame in MIXED]
        assert bench.engine.counters(Direction.TX)["summed"] == len(MIXED)
        await bench.tell("stop", "port stop 0", *(f"csum set {layer} sw 0" for layer in ("ip", "udp", "tcp")), "port start 0", "start")
        assert right(await bench.through(MIXED)) == bench.engine.counters(Direction.TX)["summed"] == len(MIXED)
        packet = Ether(udp())
        packet[UDP].chksum ^= 0x101
        wrong_udp, packet[UDP].chksum, packet[IP].chksum = bytes(packet), packet[UDP].chksum ^ 0x101, packet[IP].chksum ^ 0x101
        await bench.through([wrong_udp] * 3 + [bytes(packet)] * 2)
        words = await bench.tell("stop")
        assert re.findall(r"Bad-ipcsum: (\d+)\s+Bad-l4csum: (\d+)", words)[-1] == ("2", "3")
        seen = await bench.counters()
        assert (seen["rx_q0_l3_csum_bad"], seen["rx_q0_l4_csum_bad"]) == (2, 3)


async def test_jumbo_frames_come_in_several_buffers_and_leave_as_segments_or_whole(tmp_path: Path) -> None:
    async with on_card(tmp_path, *ONE, proves=("jumbo", "tso-on", "tso-off")) as bench:
        await bench.tell("port stop 0", "port config mtu 0 9001", "port start 0", "set fwd macswap", "start")
        assert bench.device.mtu == 9001
        assert await bench.through([LARGE]) == [swapped(LARGE)]
        await bench.tell("stop")
        await by_card(bench, "tso set 800 0")
        segments = [Ether(frame) for frame in await bench.through([LARGE])]
        assert right(map(bytes, segments)) == 12
        assert {len(segment[TCP].payload) for segment in segments[:-1]} == {800}
        assert [segment[TCP].seq for segment in segments] == [1000 + 800 * n for n in range(12)]
        assert b"".join(bytes(segment[TCP].payload) for segment in segments) == bytes(Ether(LARGE)[TCP].payload)


async def test_queues_are_made_and_unmade_again_and_again(tmp_path: Path) -> None:
    async with on_card(tmp_path, *ONE, proves=("down-up", "channels", "rings")) as bench:
        await bench.tell("set fwd macswap", "start")
        for queues, depth in ((1, 256), (1, 1024), (4, 512), (2, 128)):
            await swaps(bench)
            await bench.tell("stop", "port stop 0")
            await bench.tell(*(f"port config all {what}" for what in (f"rxq {queues}", f"txq {queues}", f"rxd {depth}", f"txd {depth}")))
            await bench.tell("port start 0", "start")
        await swaps(bench)
        await bench.testpmd.quit()


async def test_a_driver_that_is_killed_leaves_a_card_for_the_next(tmp_path: Path) -> None:
    pages = huge_pages()
    async with on_card(tmp_path, *ONE) as bench:
        for _ in range(2):
            await bench.tell("set fwd macswap", "start")
            await swaps(bench)
            await bench.testpmd.kill()
            await bench.start()
        await bench.tell("set fwd macswap", "start")
        await swaps(bench)
        await bench.testpmd.quit()
        assert bench.card.clients == 3
    assert not mounted_below(tmp_path)
    assert huge_pages() == pages


PLACES = {"Low latency": ("", ("llq",)), "Regular": (",llq_policy=0", ())}


@pytest.mark.parametrize(("place", "devargs", "proves"), [(place, *rest) for place, rest in PLACES.items()], ids=["llq", "host memory"])
async def test_packets_may_begin_in_the_cards_own_memory(tmp_path: Path, place: str, devargs: str, proves: tuple[str, ...]) -> None:
    features = STRANGERS_FEATURES | {FeatureId.LLQ}
    async with on_card(tmp_path, *ONE, devargs=devargs, proves=proves, features=features) as bench:
        for _ in range(2):
            assert f"Placement policy: {place}" in bench.testpmd.said
            await bench.tell("set fwd macswap", "start")
            await swaps(bench)
            await bench.tell("stop")
            await by_card(bench)
            assert right(await bench.through(MIXED)) == len(MIXED)
            await bench.testpmd.kill()
            await bench.start(devargs=devargs)


FAULTS: dict[str, tuple[Callable[[Faults], None], str, ResetReason]] = {
    "fault-rx-id": (lambda faults: faults.spoil_rx_completions(1), "rx_q0_bad_req_id", ResetReason.INV_RX_REQ_ID),
    "fault-tx-id": (lambda faults: faults.spoil_tx_completions(1), "Invalid req id", ResetReason.NORMAL),
}
"""What goes wrong; what the driver counts, or says, then; and why its reset is asked for."""


@pytest.mark.parametrize("name", FAULTS)
async def test_what_the_driver_finds_wrong_a_reset_by_its_application_mends(tmp_path: Path, name: str) -> None:
    go_wrong, sign, reason = FAULTS[name]
    async with on_card(tmp_path, *ONE, proves=(name,)) as bench:
        await bench.tell("set fwd macswap", "start")
        go_wrong(bench.device.faults)
        for _ in range(20):
            await bench.through([udp(100, sport=n) for n in range(1, 500)])
            if (await bench.counters()).get(sign) or sign in bench.testpmd.said:
                break
        else:
            pytest.fail("the driver saw nothing wrong")
        before = len(bench.device.resets)
        await bench.tell("stop", "port stop 0", "port reset 0", "port start 0", "start")
        assert reason in bench.device.resets[before:]
        await swaps(bench)


async def test_the_driver_sees_the_cable_pulled_and_plugged(tmp_path: Path) -> None:
    async with on_card(tmp_path, *ONE, proves=("fault-link",)) as bench:
        await bench.tell("set fwd macswap", "start")
        for state in ("up", "down", "up"):
            bench.device.set_link(state == "up")
            for _ in range(100):
                if f"Link status: {state}" in (words := await bench.tell("show port info 0")):
                    break
                await asyncio.sleep(0.05)
            assert f"Link status: {state}" in words
        await swaps(bench)
