"""Calls that meet: the same one twice, an answer and the end of the wait for it."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import asyncpg
import pytest

from chassis.failpoints import arm
from contracts.tools import ToolAnswer
from control_plane.store.session_states import LockBroken
from tests.control_plane.tools.working import Working, working
from tests.fixtures.barriers import Barrier
from tests.fixtures.deadlines import eventually
from tests.fixtures.guards import STREAM_LOCK, perhaps_without
from tests.fixtures.office import Office

both_ways = pytest.mark.parametrize("guarded", [True, False])

BROKEN = (asyncpg.PostgresError, LockBroken)
"""What a writer without the lock may run into instead of doing harm."""


@pytest.fixture
async def at_work(office: Office) -> Working:
    return await working(office)


def hold(name: str) -> Barrier:
    barrier = Barrier()
    arm(name, barrier.action)
    return barrier


async def blocked(office: Office, passed: Callable[[], bool]) -> None:
    """Until somebody waits for a row's lock, or has passed where without the guard nobody waits."""

    async def waits() -> bool:
        return passed() or await office.value(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )

    await eventually(waits, "nobody waits for a lock, and nobody has passed")


async def uses(at_work: Working, said: ToolAnswer) -> int:
    """How often the agent gets what the person answered: as a result, and as a new turn."""
    return (said.answer is not None) + len(await at_work.prompts()) - 1


async def request_of(at_work: Working) -> UUID:
    return await at_work.office.value("SELECT id FROM human_loop_requests")


@both_ways
async def test_ask_user__an_answer_at_the_end_of_its_time_is_used_once(
    at_work: Working, replica: Office, *, guarded: bool
) -> None:
    """The wait is over and has looked at the question; the answer comes before it has decided.
    Without the lock neither side sees the other, and the person answered in vain.
    """
    at_work.office.tools._ask_seconds = 0.0
    barrier = hold("tool.settling")
    with perhaps_without(STREAM_LOCK, guarded=guarded):
        asking = asyncio.create_task(at_work.call("ask_user", "Which colour?"))
        await barrier.reached()
        request_id = await request_of(at_work)
        replying = asyncio.create_task(at_work.reply(request_id, through=replica))
        await blocked(replica, replying.done)
        barrier.release()
        said, _ = await asyncio.gather(asking, replying)
    assert (await uses(at_work, said) == 1) is guarded


async def test_ask_user__an_answer_before_its_wait_has_looked_is_its_own(
    at_work: Working, replica: Office
) -> None:
    at_work.office.tools._ask_seconds = 0.0
    barrier = hold("tool.waited")
    asking = asyncio.create_task(at_work.call("ask_user", "Which colour?"))
    await barrier.reached()
    await at_work.reply(await request_of(at_work), through=replica)
    barrier.release()
    said = await asking
    assert said.answer == "blue"
    assert await uses(at_work, said) == 1


async def test_ask_user__answered_when_its_caller_has_just_left_begins_a_turn(
    at_work: Working, replica: Office
) -> None:
    barrier, left = hold("tool.waited"), asyncio.Event()
    left.set()
    asking = asyncio.create_task(at_work.call("ask_user", "Which colour?", left=left))
    await barrier.reached()
    await at_work.reply(await request_of(at_work), through=replica)
    barrier.release()
    said = await asking
    assert said.answer is None
    assert await uses(at_work, said) == 1


async def test_ask_user__two_that_wait_get_one_answer(at_work: Working, replica: Office) -> None:
    """The agent asked again because the first answer was lost: the same words are the same call."""
    first = asyncio.create_task(at_work.call("ask_user", "Which colour?"))
    second = asyncio.create_task(at_work.call("ask_user", "Which colour?", through=replica))

    async def both_wait() -> bool:
        return await at_work.office.value("SELECT sum(calls) FROM tool_calls") == 2

    await eventually(both_wait, "the second call was not made")
    await at_work.reply(await request_of(at_work))
    said = await asyncio.gather(first, second)
    assert [one.answer for one in said] == ["blue", "blue"]
    assert await at_work.prompts() == ["do it"]


@both_ways
async def test_call__the_same_one_twice_at_once(
    at_work: Working, replica: Office, *, guarded: bool
) -> None:
    """Without the lock both ask; what then keeps the second out is that a key stands once."""
    barrier = hold("tool.locked")
    with perhaps_without(STREAM_LOCK, guarded=guarded):
        calls = [
            asyncio.create_task(at_work.call("request_input", "Which colour?", through=through))
            for through in (at_work.office, replica)
        ]
        await barrier.reached()
        await blocked(replica, lambda: barrier.come == 2)
        barrier.release()
        said = await asyncio.gather(*calls, return_exceptions=True)
    assert (not any(isinstance(one, BROKEN) for one in said)) is guarded
    assert await at_work.office.value("SELECT count(*) FROM human_loop_requests") == 1
    assert (await at_work.kinds()).count("human_loop.requested") == 1
    if guarded:
        answers = [one for one in said if isinstance(one, ToolAnswer)]
        assert sorted(one.duplicate for one in answers) == [False, True]
        assert len({one.request_id for one in answers}) == 1


@both_ways
async def test_reply__two_at_once_begin_one_turn(
    at_work: Working, replica: Office, *, guarded: bool
) -> None:
    asked = await at_work.call("request_input", "Which colour?")
    await at_work.finish()
    barrier = hold("reply.locked")
    with perhaps_without(STREAM_LOCK, guarded=guarded):
        replies = [
            asyncio.create_task(at_work.reply(asked.request_id, text, through=through))
            for text, through in (("red", at_work.office), ("blue", replica))
        ]
        await barrier.reached()
        await blocked(replica, lambda: barrier.come == 2)
        barrier.release()
        done = await asyncio.gather(*replies, return_exceptions=True)
    assert (not any(isinstance(one, BROKEN) for one in done)) is guarded
    assert len(await at_work.prompts()) == 2


@both_ways
async def test_finish__while_the_agent_says_that_it_is_blocked(
    at_work: Working, replica: Office, *, guarded: bool
) -> None:
    """What was noted counts: a finish that comes meanwhile reads it, or the call comes too late."""
    barrier = hold("tool.saved")
    with perhaps_without(STREAM_LOCK, guarded=guarded):
        calling = asyncio.create_task(at_work.call("block_task", "no key"))
        await barrier.reached()
        entries = [at_work.berth.snapshot(), at_work.berth.finish()]
        finishing = asyncio.create_task(replica.report(at_work.berth, *entries))
        await blocked(replica, finishing.done)
        barrier.release()
        done = await asyncio.gather(calling, finishing, return_exceptions=True)
    broken = any(isinstance(one, BROKEN) for one in done)
    blocked_now = (await at_work.run())["now"] == "blocked"
    assert (blocked_now and not broken) is guarded
