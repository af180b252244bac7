import asyncio
import struct

import pytest

from ena_dev.abi.admin import AdminCommand, DestroyCq, Opcode, RawCompletion
from ena_dev.abi.registers import ResetReason
from ena_dev.driver.admin import DEPTH, AdminQueue
from ena_dev.driver.registers import Registers
from ena_dev.errors import AdminError
from tests.support.host import Host


def command(queue: int = 0) -> AdminCommand:
    return DestroyCq(opcode=Opcode.DESTROY_CQ, cq_index=queue)


@pytest.fixture
def admin(host: Host) -> AdminQueue:
    queue = AdminQueue(host.memory, Registers(host.bar, host.memory))
    queue.start(3.0)
    return queue


def use_interrupts(host: Host, admin: AdminQueue) -> None:
    def interrupted() -> None:
        host.vectors[0].drain()
        admin.poll()

    asyncio.get_running_loop().add_reader(host.vectors[0].eventfd_sink(), interrupted)
    admin.use_interrupts()


async def test_rings_are_told_in_the_contracts_order(host: Host, admin: AdminQueue) -> None:
    assert [offset for offset, _ in host.card.writes] == [0x10, 0x14, 0x20, 0x24, 0x18, 0x28]
    assert host.card.registers[0x18] == host.card.registers[0x28] == 64 << 16 | 32


@pytest.mark.parametrize("interrupts", [False, True])
async def test_both_rings_wrap_again_and_again(host: Host, admin: AdminQueue, interrupts: bool) -> None:
    if interrupts:
        use_interrupts(host, admin)
    for number in range(3 * DEPTH + 1):
        await admin.execute(command(number), RawCompletion)
    assert [struct.unpack_from("<H", told.raw, 4)[0] for told in host.card.commands] == list(range(3 * DEPTH + 1))
    assert (admin.submitted, admin.completed) == (97, 97)


@pytest.mark.parametrize("interrupts", [False, True])
async def test_commands_answered_in_any_order_find_their_waiters(host: Host, admin: AdminQueue, interrupts: bool) -> None:
    if interrupts:
        use_interrupts(host, admin)
    host.card.mute.add("-CQ")
    waiters = [asyncio.create_task(admin.execute(command(number), RawCompletion)) for number in range(5)]
    await asyncio.sleep(0.01)
    for told in reversed(host.card.commands):
        command_id, _, queue = struct.unpack_from("<HHH", told.raw)
        host.card.complete(command_id & 0xFFF, payload=struct.pack("<H", queue + 100))
    answers = await asyncio.gather(*waiters)
    assert [struct.unpack_from("<H", bytes(answer), 8)[0] for answer in answers] == [100, 101, 102, 103, 104]


async def test_more_commands_than_slots_wait_their_turn(host: Host, admin: AdminQueue) -> None:
    host.card.mute.add("-CQ")
    waiters = [asyncio.create_task(admin.execute(command(), RawCompletion)) for _ in range(DEPTH + 3)]
    await asyncio.sleep(0.01)
    assert len(host.card.commands) == DEPTH
    assert admin.out_of_space == 3
    host.card.mute.clear()
    for told in host.card.commands[:DEPTH]:
        host.card.complete(struct.unpack_from("<H", told.raw)[0] & 0xFFF)
    await asyncio.gather(*waiters)
    assert len(host.card.commands) == DEPTH + 3


async def test_a_refusal_carries_its_status_and_the_queue_goes_on(host: Host, admin: AdminQueue) -> None:
    host.card.refuse["-CQ"] = 5
    with pytest.raises(AdminError, match="DESTROY_CQ") as caught:
        await admin.execute(command(), RawCompletion)
    assert (caught.value.status, caught.value.name) == (5, "ILLEGAL_PARAMETER")
    assert admin.running and admin.fault is None


async def test_an_unknown_status_is_still_a_refusal(host: Host, admin: AdminQueue) -> None:
    host.card.refuse["-CQ"] = 200
    with pytest.raises(AdminError) as caught:
        await admin.execute(command(), RawCompletion)
    assert caught.value.status == 200


@pytest.mark.parametrize("interrupts", [False, True])
async def test_no_answer_in_time_stops_the_queue_for_all(host: Host, admin: AdminQueue, interrupts: bool) -> None:
    if interrupts:
        use_interrupts(host, admin)
    host.card.mute.add("-CQ")
    begun = asyncio.get_running_loop().time()
    first = asyncio.create_task(admin.execute(command(), RawCompletion))
    await asyncio.sleep(1.0)
    second = asyncio.create_task(admin.execute(command(), RawCompletion))
    with pytest.raises(AdminError) as caught:
        await first
    assert asyncio.get_running_loop().time() - begun == pytest.approx(3.0)
    assert caught.value.status is None
    with pytest.raises(AdminError):
        await second
    assert admin.fault is ResetReason.ADMIN_TO
    with pytest.raises(AdminError, match="stopped"):
        await admin.execute(command(), RawCompletion)


async def test_an_answer_without_its_interrupt_is_taken_but_tells_of_lost_interrupts(host: Host, admin: AdminQueue) -> None:
    use_interrupts(host, admin)
    host.card.silent = True
    await admin.execute(command(), RawCompletion)
    assert admin.fault is ResetReason.MISSING_ADMIN_INTERRUPT
    assert not admin.running


async def test_an_answer_to_nothing_stops_the_queue(host: Host, admin: AdminQueue) -> None:
    host.card.complete(7)
    admin.poll()
    assert admin.fault is ResetReason.DRIVER_INVALID_STATE


async def test_who_waits_for_a_slot_learns_that_the_queue_stopped(host: Host, admin: AdminQueue) -> None:
    host.card.mute.add("-CQ")
    waiters = [asyncio.create_task(admin.execute(command(), RawCompletion)) for _ in range(DEPTH + 3)]
    await asyncio.sleep(0.01)
    admin.stop()
    assert all(isinstance(result, AdminError) for result in await asyncio.gather(*waiters, return_exceptions=True))


async def test_a_cancelled_command_keeps_its_slot_until_the_card_answers(host: Host, admin: AdminQueue) -> None:
    host.card.mute.add("-CQ")
    waiter = asyncio.create_task(admin.execute(command(), RawCompletion))
    await asyncio.sleep(0.01)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    host.card.mute.clear()
    for _ in range(2 * DEPTH - 1):
        await admin.execute(command(), RawCompletion)
    assert all(struct.unpack_from("<H", told.raw)[0] & 0xFFF for told in host.card.commands[1:])  # id 0 is still out
    host.card.complete(0)
    await admin.execute(command(), RawCompletion)
    assert admin.running


async def test_a_restart_begins_with_empty_rings_and_fresh_phases(host: Host, admin: AdminQueue) -> None:
    for _ in range(DEPTH + 5):
        await admin.execute(command(), RawCompletion)
    host.card._forget()
    admin.start(3.0)
    for _ in range(DEPTH + 5):
        await admin.execute(command(), RawCompletion)
    assert admin.completed == 2 * (DEPTH + 5)
