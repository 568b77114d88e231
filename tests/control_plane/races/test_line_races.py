"""Interleavings on a session's line, forced by barriers, each seen to break without its guard."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from chassis.failpoints import arm, disarm_all
from tests.fixtures.barriers import Barrier, Crowd
from tests.fixtures.deadlines import eventually
from tests.fixtures.guards import STREAM_LOCK, both, perhaps_without, query
from tests.fixtures.office import Office

both_ways = pytest.mark.parametrize("guarded", [True, False])

RUN_GUARD = query("update_runs", " AND runs.state = new.old_state::run_state", "")


async def held(barrier: Barrier) -> None:
    """The first one stands at the barrier; whoever comes next does not."""
    await barrier.reached()
    disarm_all()


def hold(name: str) -> Barrier:
    barrier = Barrier()
    arm(name, barrier.action)
    return barrier


async def blocked(office: Office, task: asyncio.Task[Any]) -> None:
    """Until it waits for a row's lock, or is done: without the guard it may not have to wait."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    )

    async def stands() -> bool:
        return task.done() or await office.value(query) > 0

    await eventually(stands, "nobody waits for a lock")


async def healthy(office: Office, session: UUID, *tasks: asyncio.Task[object]) -> bool:
    """Nobody failed; the line has a head if it has anybody; the log has no gap."""
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    failed = any(isinstance(outcome, Exception) for outcome in outcomes)
    states = [
        row["state"]
        for row in await office.fetch(
            "SELECT state::text FROM runs WHERE session_id = $1 ORDER BY line_no", session
        )
    ]
    heads = [s for s in states if s in {"queued", "claimed", "running", "waiting"}]
    stuck = "pending" in states and not heads
    seqs = [
        row["seq"]
        for row in await office.fetch(
            "SELECT seq FROM events WHERE stream_id = $1 ORDER BY seq", session
        )
    ]
    return not failed and not stuck and len(heads) <= 1 and seqs == list(range(1, len(seqs) + 1))


@both_ways
async def test_enqueue__while_finish_holds_the_row(office: Office, *, guarded: bool) -> None:
    session, host = await office.session(), await office.host()
    berth = await office.running(session, host)
    with perhaps_without(STREAM_LOCK, guarded=guarded):
        barrier = hold("report.saved")
        finishing = asyncio.create_task(office.report(berth, berth.snapshot(), berth.finish()))
        await held(barrier)
        sending = asyncio.create_task(office.send(session, "next"))
        await blocked(office, sending)
        barrier.release()
        assert await healthy(office, session, finishing, sending) is guarded
    if guarded:
        assert await office.state(sending.result()) == "queued"


@both_ways
async def test_finish__while_the_next_is_canceled(office: Office, *, guarded: bool) -> None:
    session, host = await office.session(), await office.host()
    berth = await office.running(session, host)
    second, third = await office.send(session), await office.send(session)
    with perhaps_without(STREAM_LOCK, guarded=guarded):
        barrier = hold("cancel.locked")
        canceling = asyncio.create_task(office.runs.cancel(second))
        await held(barrier)
        finishing = asyncio.create_task(office.report(berth, berth.snapshot(), berth.finish()))
        await blocked(office, finishing)
        barrier.release()
        assert await healthy(office, session, canceling, finishing) is guarded
    if guarded:
        assert await office.state(second) == "canceled"
        assert await office.state(third) == "queued"


@both_ways
async def test_cancel__of_the_one_that_is_being_promoted(office: Office, *, guarded: bool) -> None:
    session = await office.session()
    first, second, third = [await office.send(session) for _ in range(3)]
    with perhaps_without(both(STREAM_LOCK, RUN_GUARD), guarded=guarded):
        barrier = hold("cancel.saved")
        one = asyncio.create_task(office.runs.cancel(first))
        await held(barrier)
        two = asyncio.create_task(office.runs.cancel(second))
        await blocked(office, two)
        barrier.release()
        assert await healthy(office, session, one, two) is guarded
    if guarded:
        assert await office.state(first) == await office.state(second) == "canceled"
        assert await office.state(third) == "queued"


@both_ways
async def test_claim__two_claimers_on_one_session(office: Office, *, guarded: bool) -> None:
    hosts = [await office.host(), await office.host()]
    broken = 0
    for _ in range(10):
        session = await office.session()
        await office.send(session)
        await office.send(session)
        free = query("lock_free_streams", "FOR UPDATE OF s SKIP LOCKED", "")
        with perhaps_without(free, guarded=guarded):
            arm("claim.locked", Crowd(len(hosts), all_come=True).action)
            claiming = [office.claim_all(host) for host in hosts]
            outcomes = await asyncio.gather(*claiming, return_exceptions=True)
            disarm_all()
        given = [run for outcome in outcomes if isinstance(outcome, list) for run in outcome]
        mine = [run for run in given if run.worker.session_id == session]
        broken += any(isinstance(outcome, Exception) for outcome in outcomes)
        assert len(mine) == 1
        await office.execute("DELETE FROM runs WHERE session_id = $1", session)
    assert (broken == 0) is guarded


async def test_lines__repaired_when_pending_runs_have_no_head(office: Office) -> None:
    session = await office.session()
    first, second = await office.send(session), await office.send(session)
    await office.execute("UPDATE runs SET state = 'canceled' WHERE id = $1", first)
    assert await office.rescue.repair_lines() == 1
    assert await office.state(second) == "queued"
