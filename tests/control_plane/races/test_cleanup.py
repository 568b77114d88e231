"""Cleanups against whatever else moves the same sessions."""

import asyncio

import pytest

from chassis.failpoints import arm, disarm_all
from contracts.jobs import JobKind
from contracts.managers import AskStop
from control_plane.services import cleanup
from tests.control_plane.races.idle_workers import commands, counts, done, idle, removed, stopped
from tests.fixtures.barriers import Barrier
from tests.fixtures.guards import STREAM_LOCK, perhaps_without, replaced
from tests.fixtures.office import Office

both_ways = pytest.mark.parametrize("guarded", [True, False])


async def test_idle__each_worker_has_its_outcome(office: Office) -> None:
    project, host = await office.project(), await office.host()
    free, warm, pinned = [await idle(office, host, project) for _ in range(3)]
    busy = await office.running(await office.session(project), host)
    await idle(office, host, await office.project())
    await office.execute(
        "UPDATE sessions SET keep_warm = true WHERE id = $1", warm.grant.session_id
    )
    await office.execute(
        "UPDATE session_workers SET pinned = true WHERE id = $1", pinned.grant.worker_id
    )
    job_id = await office.job(JobKind.CLEANUP_IDLE, project)
    assert await counts(office, job_id) == {"considered": 4, "pending": 4}
    assert await office.jobs.run_once() == 4
    under_way = await office.jobs.get(job_id)
    assert (under_way.state, under_way.counts) == (
        "running",
        {"considered": 4, "stopping": 1, "busy": 1, "kept_warm": 1, "pinned": 1},
    )
    assert await commands(office, "stop") == [free.grant.worker_id]
    await office.report(free, free.stopped(free.head))
    over = await done(office, job_id)
    assert (over.state, over.counts) == (
        "done",
        {"considered": 4, "stopped": 1, "busy": 1, "kept_warm": 1, "pinned": 1},
    )
    assert over.finished_at is not None
    assert await office.state(busy.run_id) == "running"


async def test_idle__nothing_there_is_done_at_once(office: Office) -> None:
    job_id = await office.job(JobKind.CLEANUP_IDLE, await office.project())
    over = await done(office, job_id)
    assert (over.state, over.counts) == ("done", {"considered": 0})


async def test_idle__a_save_that_fails_is_told(office: Office) -> None:
    project, host = await office.project(), await office.host()
    berth = await idle(office, host, project)
    job_id = await office.job(JobKind.CLEANUP_IDLE, project)
    await office.jobs.run_once()
    await office.report(berth, berth.stop_failed())
    assert (await done(office, job_id)).counts == {"considered": 1, "failed": 1}
    alerts = await office.fetch(
        "SELECT payload::jsonb->>'code' AS code FROM events"
        " WHERE kind = 'alert.raised' AND stream_id = session_id"
    )
    assert [row["code"] for row in alerts] == ["save_failed"]


@both_ways
async def test_idle__while_a_message_comes(office: Office, *, guarded: bool) -> None:
    """Whoever is first: the message is served, by one start."""
    project, host = await office.project(), await office.host()
    berth = await idle(office, host, project)
    session = berth.grant.session_id
    job_id = await office.job(JobKind.CLEANUP_IDLE, project)
    with perhaps_without(STREAM_LOCK, guarded=guarded):
        barrier = Barrier()
        arm("enqueue.locked", barrier.action)
        sending = asyncio.create_task(office.send(session))
        await barrier.reached()
        disarm_all()
        acted = await office.jobs.run_once()
        if guarded:
            assert acted == 0, "somebody holds the session: it is looked at later"
        barrier.release()
        run_id = await sending
        assert (await office.jobs.run_once() == 1) is guarded
    if guarded:
        assert await counts(office, job_id) == {"considered": 1, "busy": 1}
        assert (await office.claim(host)).grant.worker_id == berth.grant.worker_id
        assert await commands(office, "stop") == []
    starts = await commands(office, "start")
    assert len(starts) <= 2, "one of the first run, one of this"
    assert await office.state(run_id) == ("claimed" if guarded else "queued")


async def test_idle__a_message_behind_it_is_served_by_the_next_worker(office: Office) -> None:
    project, host = await office.project(), await office.host()
    berth = await idle(office, host, project)
    job_id = await office.job(JobKind.CLEANUP_IDLE, project)
    barrier = Barrier()
    arm("jobs.locked", barrier.action)
    cleaning = asyncio.create_task(office.jobs.run_once())
    await barrier.reached()
    disarm_all()
    sending = asyncio.create_task(office.send(berth.grant.session_id))
    barrier.release()
    await cleaning
    run_id = await sending
    assert await office.claim_all(host) == [], "its worker stops first"
    await office.report(berth, berth.stopped(berth.head))
    again = await office.claim(host)
    assert (again.run_id, again.grant.epoch) == (run_id, 2)
    assert (await done(office, job_id)).counts == {"considered": 1, "stopped": 1}


async def test_keep_warm__idle_is_refused_a_drain_is_not(office: Office) -> None:
    project, host = await office.project(), await office.host()
    berth = await idle(office, host, project)
    await office.execute("UPDATE sessions SET keep_warm = true")
    worker = berth.grant.worker_id
    ask = AskStop(incarnation=host.incarnation, epoch=1)
    assert not (await office.workers.ask_stop(host.id, worker, ask)).granted
    drain = AskStop(incarnation=host.incarnation, epoch=1, drain=True)
    assert (await office.workers.ask_stop(host.id, worker, drain)).granted


async def test_keep_warm__a_person_may_stop_it(office: Office) -> None:
    berth = await idle(office, await office.host(), await office.project())
    await office.execute("UPDATE sessions SET keep_warm = true")
    assert await office.workers.ask_stop_session(berth.grant.session_id)


async def test_stopped__only_what_is_saved_is_removed(office: Office) -> None:
    project, host = await office.project(), await office.host()
    saved, pinned = [await stopped(office, host, project) for _ in range(2)]
    lost = await office.running(await office.session(project), host)
    await idle(office, host, project)
    await office.execute(
        "UPDATE session_workers SET pinned = true WHERE id = $1", pinned.grant.worker_id
    )
    await office.rescue.reclaim()
    await office.expire(lost)
    assert await office.rescue.reclaim() == 1
    job_id = await office.job(JobKind.CLEANUP_STOPPED, project)
    await office.jobs.run_once()
    assert await counts(office, job_id) == {"considered": 3, "removing": 1, "kept_unsaved": 2}
    assert await commands(office, "remove") == [saved.grant.worker_id]
    await removed(office, host, saved.grant.worker_id)
    over = await done(office, job_id)
    assert over.counts == {"considered": 3, "removed": 1, "kept_unsaved": 2}


async def test_stopped__twice_asks_once(office: Office) -> None:
    project, host = await office.project(), await office.host()
    worker = (await stopped(office, host, project)).grant.worker_id
    ids = [await office.job(JobKind.CLEANUP_STOPPED, project) for _ in range(2)]
    await office.jobs.run_once()
    third = await office.job(JobKind.CLEANUP_STOPPED, project)
    await office.jobs.run_once()
    assert await commands(office, "remove") == [worker]
    await removed(office, host, worker)
    for job_id in [*ids, third]:
        assert (await done(office, job_id)).counts == {"considered": 1, "removed": 1}


@both_ways
async def test_stopped__while_the_session_is_rescued(office: Office, *, guarded: bool) -> None:
    """The next worker's files are in no snapshot: only the former one goes."""
    project, host = await office.project(), await office.host()
    former = await stopped(office, host, project)
    await office.send(former.grant.session_id)
    lost = await office.claim(host)
    await office.report(lost, lost.started(), lost.text("work"))
    await office.rescue.reclaim()
    await office.expire(lost)
    barrier = Barrier()
    arm("reclaim.locked", barrier.action)
    rescuing = asyncio.create_task(office.rescue.reclaim())
    await barrier.reached()
    disarm_all()
    before = await office.job(JobKind.CLEANUP_STOPPED, project)
    assert await office.jobs.run_once() == 0, "its session is held"
    barrier.release()
    assert await rescuing == 1
    after = await office.job(JobKind.CLEANUP_STOPPED, project)
    anything = replaced(cleanup, "removal", lambda _worker: "removing")
    with perhaps_without(anything, guarded=guarded):
        await office.jobs.run_once()
    assert await counts(office, before) == {"considered": 1, "removing": 1}
    asked = set(await commands(office, "remove"))
    assert (asked == {former.grant.worker_id}) is guarded
    assert (lost.grant.worker_id in asked) is not guarded
    if guarded:
        assert await counts(office, after) == {"considered": 2, "removing": 1, "kept_unsaved": 1}
    assert await office.state(lost.run_id) == "queued"
