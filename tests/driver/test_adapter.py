"""Bring-up, reset and tear-down against a scripted card: what it is told, in which order, and what happens when it misbehaves."""

import asyncio
import struct
from typing import Any

import pytest

from ena_dev.abi.registers import ResetReason
from ena_dev.driver.adapter import Adapter, State
from ena_dev.driver.negotiation import Wishes
from ena_dev.errors import AdminError, DeviceError, ResetTimeout, SoftenaError, UsageError
from tests.support.host import Host
from tests.support.scripted_card import MAC, SET

WISHES = Wishes(queues=2, rx_depth=256, tx_depth=256)


def adapter_on(host: Host, wishes: Wishes = WISHES, **options: Any) -> Adapter:
    return Adapter(host.memory, host.bar, host.vectors, host.pool, host.executor, wishes, **options)


async def up(host: Host, wishes: Wishes = WISHES, **options: Any) -> Adapter:
    adapter = adapter_on(host, wishes, **options)
    await adapter.bring_up()
    return adapter


@pytest.mark.parametrize("readless", [False, True])
async def test_bring_up_follows_the_contracts_order(host: Host, readless: bool) -> None:
    adapter = await up(host, readless=readless)
    assert [told.name for told in host.card.commands] == (
        ["SET 28", "GET 1", "GET 7", "GET 26", "GET 11", "GET 20", "GET 12", "GET 10", "SET 26"]
        + ["CQ", "SQ"] * 4
        + ["SET 12", "SET 10", "SET 14"]
    )
    registers = [(offset, value) for offset, value in host.card.writes if offset < 0x1000 and offset not in (0x5C, 0x2C)]
    assert [offset for offset, _ in registers] == [
        *(0x60, 0x64, 0x54, 0x60, 0x64, 0x54),  # answer buffer, reset begins, answer buffer again, reset ends
        *(0x10, 0x14, 0x20, 0x24, 0x18, 0x28, 0x38, 0x3C, 0x34),  # admin rings, then event ring
        *(0x4C, 0x4C, 0x40),  # polling; then vector 0, and events may come
    ]
    assert [value for offset, value in registers if offset == 0x4C] == [1, 0]
    assert host.card.resets == [ResetReason.NORMAL]
    assert adapter.mac == MAC and adapter.state is State.UP


async def test_queues_are_created_with_shared_vectors_and_their_own_rings(host: Host) -> None:
    adapter = await up(host)
    created = [told.raw for told in host.card.commands if told.name == "CQ"]
    words = [(raw[5] & 0x1F, struct.unpack_from("<HI", raw, 6)) for raw in created]
    assert words == [(2, (256, 1)), (2, (256, 2)), (4, (256, 1)), (4, (256, 2))]
    addresses = [low | high << 32 for low, high in (struct.unpack_from("<IH", raw, 12) for raw in created)]
    assert addresses == [
        adapter.pairs[0].rings.tx_cq,
        adapter.pairs[1].rings.tx_cq,
        adapter.pairs[0].rings.rx_cq,
        adapter.pairs[1].rings.rx_cq,
    ]
    assert [told.raw[4] >> 5 for told in host.card.commands if told.name == "SQ"] == [1, 1, 2, 2]


async def test_rss_is_told_as_rx_sq_indices_and_a_reversed_key(host: Host) -> None:
    key = bytes(range(40))
    await up(host, Wishes(queues=2, rx_depth=256, tx_depth=256, rss_key=key))
    table, function = (next(told for told in host.card.commands if told.name == name) for name in ("SET 12", "SET 10"))
    sqs = [6, 8]  # the third and fourth pair of commands made the Rx queues
    assert [struct.unpack_from("<HH", table.buffer, 4 * n) for n in range(128)] == [(sqs[n % 2], 0) for n in range(128)]
    assert struct.unpack_from("<H", table.raw, 24) == (7,)
    assert function.buffer == struct.pack("<II", 10, 0) + key[::-1]
    assert struct.unpack_from("<III", function.raw, 20) == (0, 2, 0)


async def test_groups_and_mtu_are_set_as_agreed(host: Host) -> None:
    await up(host, Wishes(mtu=9000))
    told = {told.feature: told.raw for told in host.card.commands if told.opcode == SET}
    assert struct.unpack_from("<II", told[26], 20) == (0, 1 << 0 | 1 << 3 | 1 << 4 | 1 << 7)
    assert struct.unpack_from("<I", told[14], 20) == (9000,)


async def test_the_card_is_told_who_drives_it(host: Host) -> None:
    await up(host)
    low, high = struct.unpack_from("<IH", next(told.raw for told in host.card.commands if told.name == "SET 28"), 20)
    page = host.memory.read(low | high << 32, 196)
    assert struct.unpack_from("<I", page) == (1,) and page[4:12] == b"softena\0"
    assert page[172] == 2  # major version: cards read it
    assert struct.unpack_from("<H", page, 184) == (0x0200,)
    assert struct.unpack_from("<I", page, 192) == (1 << 1 | 1 << 2 | 1 << 4 | 1 << 7,)


async def test_the_large_receive_feature_is_turned_on_before_queues_of_wide_completions(host: Host) -> None:
    attributes = bytearray(host.card.features[1])
    attributes[8:12] = struct.pack("<I", struct.unpack_from("<I", attributes, 8)[0] | 1 << 24)
    host.card.features |= {1: bytes(attributes), 24: struct.pack("<II", 1, 65550)}
    await up(host)
    names = [told.name for told in host.card.commands]
    assert names.index("SET 24") < names.index("CQ")
    assert [told.raw[5] & 0x1F for told in host.card.commands if told.name == "CQ"] == [2, 2, 8, 8]


async def test_link_and_keep_alives_are_told_by_events(host: Host) -> None:
    adapter = await up(host)
    seen: list[bool] = []
    adapter.link.observers.append(seen.append)
    waiter = asyncio.create_task(adapter.wait_for_link())
    await asyncio.sleep(0.1)
    assert not waiter.done() and not adapter.link_up
    host.card.post(0, struct.pack("<I", 1))
    host.card.post(0, struct.pack("<I", 1))  # told again, as some cards do: nothing changed
    host.card.post(4, struct.pack("<3Q", 5, 6, 7))
    await waiter
    assert (adapter.drops.rx_drops, adapter.drops.tx_drops, adapter.drops.rx_overruns) == (5, 6, 7)
    host.card.post(0, struct.pack("<I", 0))
    await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    assert seen == [True, False]


async def test_a_card_that_asks_for_a_reset_gets_one(host: Host) -> None:
    adapter = await up(host)
    host.card.post(7)
    await asyncio.sleep(1.5)
    assert host.card.resets == [ResetReason.NORMAL, ResetReason.DEVICE_REQUEST, ResetReason.NORMAL]
    assert (adapter.counters.total_resets, adapter.counters.device_request_reset) == (1, 1)


async def test_a_silent_card_is_reset_after_six_seconds_again_and_again(host: Host) -> None:
    adapter = await up(host)
    await asyncio.sleep(22.5)
    assert host.card.resets[1:] == [ResetReason.KEEP_ALIVE_TO, ResetReason.NORMAL] * 3
    assert adapter.counters.wd_expired == 3 and adapter.state is State.UP


async def test_drops_go_on_counting_through_resets(host: Host) -> None:
    adapter = await up(host)
    host.card.post(4, struct.pack("<3Q", 0, 0, 7))
    await asyncio.sleep(0.1)
    await adapter.reset()
    host.card.post(4, struct.pack("<3Q", 0, 0, 2))
    await asyncio.sleep(0.1)
    assert adapter.drops.rx_overruns == 9


async def test_a_reset_keeps_pairs_settings_and_buffers(host: Host) -> None:
    adapter = await up(host)
    key, table = bytes(range(40)), [1] * 128
    await adapter.set_rss(key=key, table=table)
    await adapter.set_mtu(4000)
    pairs, posted, reports = list(adapter.pairs), host.pool.census()["posted"], []
    adapter.on_reset.append(reports.append)
    host.card.commands.clear()
    await adapter.reset(ResetReason.OS_TRIGGER)
    assert adapter.pairs == pairs and all(pair.running for pair in pairs)
    assert [report.reason for report in reports] == [ResetReason.OS_TRIGGER]
    assert reports[0].whole and reports[0].census["pool"] == host.pool.count
    assert host.pool.census()["posted"] == posted
    told = {told.name: told for told in host.card.commands}
    assert told["SET 10"].buffer[8:] == key[::-1]
    assert set(struct.unpack("<256H", told["SET 12"].buffer)[::2]) == {8}
    assert struct.unpack_from("<I", told["SET 14"].raw, 20) == (4000,)


async def test_a_card_that_forgot_where_answers_go_is_reset_all_the_same(host: Host) -> None:
    adapter = await up(host, readless=True)
    host.bar.write(0x60, 0)
    host.bar.write(0x64, 0)
    await adapter.reset(ResetReason.USER_TRIGGER)
    assert adapter.state is State.UP


@pytest.mark.parametrize("change", ["mac", "max_mtu", "queues"])
async def test_another_card_after_a_reset_is_not_driven(host: Host, change: str) -> None:
    adapter = await up(host)
    before = dict(host.card.features)
    if change == "queues":
        host.card.features[7] = struct.pack("<B3x9I2H", 1, 1, 1, 1, 1, 1024, 1024, 1024, 1024, 128, 19, 17)
    else:
        mac, mtu = (bytes(6), 9216) if change == "mac" else (MAC, 1000)
        host.card.features[1] = before[1][:24] + struct.pack("<6sHI", mac, 0, mtu)
    with pytest.raises(SoftenaError):
        await adapter.reset()
    assert adapter.state is State.FAILED and not any(pair.running for pair in adapter.pairs)
    host.card.features = before
    await asyncio.sleep(3.0)
    assert adapter.state is State.UP
    assert adapter.counters.reset_fail == 1


async def test_a_card_that_does_not_answer_is_left_alone_until_it_does(host: Host) -> None:
    adapter = await up(host)
    host.card.dead = True
    await asyncio.sleep(12.0)
    assert host.card.resets == [ResetReason.NORMAL]
    assert adapter.counters.reset_fail > 0
    host.card.dead = False
    await asyncio.sleep(10.0)
    assert host.card.resets[:3] == [ResetReason.NORMAL, ResetReason.KEEP_ALIVE_TO, ResetReason.NORMAL]
    assert adapter.counters.total_resets == adapter.counters.wd_expired == len(host.card.resets) // 2


async def test_an_unanswered_command_ends_in_a_reset_for_that_reason(host: Host) -> None:
    adapter = await up(host)
    host.card.mute.add("SET 14")
    with pytest.raises(AdminError, match="no answer"):
        await adapter.set_mtu(1400)
    host.card.mute.clear()
    await asyncio.sleep(1.5)
    assert host.card.resets[1] == ResetReason.ADMIN_TO
    assert adapter.capabilities.mtu == 1500
    await adapter.set_mtu(1400)


async def test_hints_of_the_card_move_the_limits(host: Host) -> None:
    adapter = await up(host)
    host.card.post(3, struct.pack("<6H", 50, 30000, 1000, 0, 700, 0), syndrome=2)
    await asyncio.sleep(20.0)
    assert host.card.resets == [ResetReason.NORMAL]
    assert (adapter.watchdog.limits.keep_alive, adapter.watchdog.limits.tx_completion) == (30.0, 1.0)
    assert (adapter.control.admin.timeout, adapter.control.registers.read_timeout) == (0.7, 0.05)


async def test_tear_down_destroys_shuts_down_and_frees_everything(host: Host) -> None:
    before = host.memory.allocated
    adapter = await up(host)
    host.card.commands.clear()
    await adapter.tear_down()
    assert [told.name for told in host.card.commands] == ["-SQ", "-CQ"] * 4
    assert [told.raw[6] >> 5 for told in host.card.commands if told.name == "-SQ"] == [1, 1, 2, 2]
    assert host.card.resets == [ResetReason.NORMAL, ResetReason.SHUTDOWN]
    assert host.memory.allocated == before and host.pool.free == host.pool.count
    assert not asyncio.get_running_loop().remove_reader(host.vectors[0].eventfd_sink())  # nobody listens any more
    await adapter.tear_down()
    with pytest.raises(UsageError):
        await adapter.bring_up()


@pytest.mark.parametrize("name", ["GET 1", "GET 7", "GET 26", "SET 26", "CQ", "SQ", "SET 10"])
@pytest.mark.parametrize("how", ["refuse", "mute"])
async def test_a_bring_up_that_fails_lets_go_of_everything(host: Host, name: str, how: str) -> None:
    before = host.memory.allocated
    adapter = adapter_on(host)
    if how == "refuse":
        host.card.refuse[name] = 6
    else:
        host.card.mute.add(name)
    with pytest.raises(AdminError):
        await adapter.bring_up()
    assert host.card.resets == [ResetReason.NORMAL, ResetReason.INIT_ERR]
    assert host.memory.allocated == before and host.pool.free == host.pool.count


async def test_memory_that_a_card_out_of_control_may_reach_is_not_freed(host: Host) -> None:
    adapter = await up(host)
    held = host.memory.allocated
    host.card.stuck = "begin"
    await adapter.tear_down()
    assert host.memory.allocated == held and adapter.state is State.CLOSED


async def test_a_card_without_optional_features_is_driven_all_the_same(host: Host) -> None:
    attributes = bytearray(host.card.features[1])
    attributes[8:16] = struct.pack("<II", 1 << 7 | 1 << 11 | 1 << 26, 0)
    host.card.features[1] = bytes(attributes)
    for feature in (10, 12, 20):
        del host.card.features[feature]
    adapter = await up(host)
    assert {told.name for told in host.card.commands} == {"SET 28", "GET 1", "GET 7", "GET 26", "GET 11", "SET 26", "CQ", "SQ"}
    host.card.post(7)
    await asyncio.sleep(1.5)
    assert adapter.counters.total_resets == 1


async def test_a_card_that_is_not_there_is_refused(host: Host) -> None:
    host.card.dead = True
    with pytest.raises(DeviceError):
        await adapter_on(host).bring_up()


async def test_a_card_that_never_ends_its_reset_is_refused(host: Host) -> None:
    host.card.stuck = "end"
    with pytest.raises(ResetTimeout):
        await adapter_on(host).bring_up()


@pytest.mark.parametrize("bad", [{"key": bytes(39)}, {"table": [0] * 127}, {"table": [2] * 128}, {"table": [-1] * 128}])
async def test_rss_settings_that_make_no_sense_are_refused_before_the_card_sees_them(host: Host, bad: dict[str, Any]) -> None:
    adapter = await up(host)
    host.card.commands.clear()
    with pytest.raises(UsageError):
        await adapter.set_rss(**bad)
    assert host.card.commands == []
