"""Answers of people, whenever they come: the first one counts, and what it grants is used once."""

import asyncio
from uuid import uuid4

import msgspec
import pytest

from chassis.errors import Stale
from contracts.commands import Answer, StartRun
from contracts.errors import Code
from contracts.events import HumanLoopResolved
from contracts.human_loop import Reply
from control_plane.domain import asks
from tests.control_plane.races.test_fences import retried
from tests.control_plane.races.test_line_races import blocked, both_ways, held, hold
from tests.fixtures.guards import STREAM_LOCK, perhaps_without, replaced
from tests.fixtures.office import Berth, Office


@both_ways
async def test_reply__two_people_at_once_on_two_replicas(
    office: Office, replica: Office, *, guarded: bool
) -> None:
    berth = await office.running(await office.session(), await office.host())
    ask = berth.asked()
    await office.report(berth, ask)
    barrier = hold("reply.locked")
    with perhaps_without(STREAM_LOCK, guarded=guarded):
        yes = asyncio.create_task(office.allow(ask.ask_id))
        await held(barrier)
        no = asyncio.create_task(
            replica.human_loop.reply(ask.ask_id, Reply(decision="reject"), by=uuid4())
        )
        await blocked(office, no)
        barrier.release()
        outcomes = await asyncio.gather(yes, no, return_exceptions=True)
    assert (outcomes == [False, True]) is guarded
    if guarded:
        (told,) = await resolved(office, berth)
        assert told.option_kind == "allow_once"
        assert (await office.take(berth, ask.ask_id, ask.ask_id)).option_kind == "allow_once"


async def resolved(office: Office, berth: Berth) -> list[HumanLoopResolved]:
    rows = await office.fetch(
        "SELECT payload FROM events WHERE run_id = $1 AND kind = 'human_loop.resolved'",
        berth.run_id,
    )
    return [msgspec.json.decode(row["payload"], type=HumanLoopResolved) for row in rows]


async def test_overdue__is_told_once_and_stays_answerable(office: Office) -> None:
    berth = await office.running(await office.session(), await office.host())
    ask = berth.asked()
    await office.report(berth, ask)
    assert await office.rescue.tell_overdue() == 0
    await office.execute("UPDATE human_loop_requests SET deadline = now() - interval '1 day'")
    assert await office.rescue.tell_overdue() == 1
    assert await office.rescue.tell_overdue() == 0
    assert (await office.kinds(berth.run_id)).count("human_loop.overdue") == 1
    assert await office.state(berth.run_id) == "waiting", "nothing answers by itself"
    assert await office.allow(ask.ask_id) is False
    assert (await office.take(berth, ask.ask_id, ask.ask_id)).option_id == "yes"
    assert await office.state(berth.run_id) == "running"


@both_ways
async def test_answer__of_a_lost_worker_serves_one_identical_ask(
    office: Office, *, guarded: bool
) -> None:
    """Answered, never taken; then the worker is lost with its container."""
    hosts = [await office.host(), await office.host()]
    berth = await office.running(await office.session(), hosts[0])
    ask = berth.asked()
    await office.report(berth, ask)
    await office.allow(ask.ask_id)
    await office.expire(berth)
    await office.rescue.reclaim()
    again = await retried(office, hosts[1])
    assert [answer.option_kind for answer in await told(office, again)] == ["allow_once"]
    started, other = again.started(), again.asked("shell", "ls")
    same, twice = again.asked(), again.asked()
    anew = replaced(asks, "_identical", lambda *_: None)
    with perhaps_without(anew, guarded=guarded):
        await office.report(again, started, other, same, twice)
    offered = await office.fetch("SELECT ask_id FROM human_loop_requests WHERE state = 'answered'")
    assert ([row["ask_id"] for row in offered] == [same.ask_id]) is guarded
    if not guarded:
        return
    assert (await office.take(again, ask.ask_id, same.ask_id)).option_id == "yes"
    for request, taker in ((ask, twice), (twice, twice), (other, other)):
        with pytest.raises(Stale) as refused:
            await office.take(again, request.ask_id, taker.ask_id)
        assert refused.value.code is Code.GRANT_TAKEN
    assert await office.state(berth.run_id) == "waiting", "two are open: nobody was asked for them"


async def told(office: Office, berth: Berth) -> list[Answer]:
    """What the start command tells the agent of answers."""
    payload = await office.value(
        "SELECT payload FROM commands WHERE worker_id = $1 ORDER BY position LIMIT 1",
        berth.grant.worker_id,
    )
    return msgspec.json.decode(payload, type=StartRun).run.answers
