"""Whoever holds what takes long holds up nobody for ever."""

import asyncio
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import pytest

from chassis.errors import BerthError
from contracts.errors import Code
from control_plane.services.slots import Slots


async def hold(stack: AsyncExitStack, slots: Slots, by: UUID) -> None:
    await slots.wait(by)
    stack.enter_context(slots.taken(by))


async def test_one_person__leaves_room_for_others_and_is_told() -> None:
    slots, me, other = Slots(3, each=2, seconds=0.05), uuid4(), uuid4()
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await hold(stack, slots, me)
        with pytest.raises(BerthError) as refused:
            await slots.wait(me)
        assert (refused.value.code, refused.value.retry_after) == (Code.RATE_LIMITED, 0.05)
        await hold(stack, slots, other)
        with pytest.raises(BerthError):
            await slots.wait(other)
    assert slots._held == {}
    await slots.wait(me)


async def test_whoever_waits__goes_on_when_there_is_room() -> None:
    slots, people = Slots(2, each=1, seconds=60), [uuid4() for _ in range(6)]
    at_once, most = 0, 0

    async def work(by: UUID) -> None:
        nonlocal at_once, most
        await slots.wait(by)
        with slots.taken(by):
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0)
            at_once -= 1

    async with asyncio.timeout(30):
        await asyncio.gather(*(work(by) for by in (*people, *people)))
    assert (most, slots._held, slots._waiting) == (2, {}, set())


async def test_cancelled__gives_back_and_waits_no_more() -> None:
    slots, me = Slots(1, each=1, seconds=60), uuid4()
    async with AsyncExitStack() as stack:
        await hold(stack, slots, me)
        waiting = asyncio.create_task(slots.wait(me))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert slots._waiting == set()
    async with asyncio.timeout(30):
        await slots.wait(me)
