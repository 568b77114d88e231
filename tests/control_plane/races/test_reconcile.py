"""What no longer agrees with itself is put right, by loops and by jobs."""

from contracts.jobs import JobKind
from contracts.snapshots import SnapshotKind
from tests.control_plane.races.idle_workers import commands, counts, done
from tests.fixtures.office import Office


async def test_sync__a_worker_that_wrote_long_ago_is_asked_to_save(office: Office) -> None:
    project, host = await office.project(), await office.host()
    berth = await office.running(await office.session(project), host)
    assert await office.reconcile.overdue_saves() == 0, "it wrote just now"
    old = "UPDATE session_workers SET unsaved_since = now() - interval '1 hour'"
    await office.execute(old)
    job_id = await office.job(JobKind.RECONCILE_SYNC, project)
    await office.jobs.run_once()
    assert await office.reconcile.overdue_saves() == 0, "it was asked"
    assert await counts(office, job_id) == {"considered": 1, "syncing": 1}
    assert await commands(office, "sync") == [berth.grant.worker_id]
    await office.report(berth, berth.snapshot(SnapshotKind.CHECKPOINT), berth.text("more"))
    assert (await done(office, job_id)).counts == {"considered": 1, "saved": 1}
    await office.done(berth)
    assert await office.value("SELECT unsaved_since FROM session_workers") is None


async def test_sync__the_loop_asks_again_only_after_as_long(office: Office) -> None:
    project, host = await office.project(), await office.host()
    await office.running(await office.session(project), host)
    await office.execute("UPDATE session_workers SET unsaved_since = now() - interval '1 hour'")
    assert await office.reconcile.overdue_saves() == 1
    await office.execute("UPDATE commands SET done_at = now() WHERE type = 'sync'")
    assert await office.reconcile.overdue_saves() == 0
    await office.execute("UPDATE commands SET created_at = now() - interval '1 hour'")
    assert await office.reconcile.overdue_saves() == 1


async def test_runs__each_line_is_put_right(office: Office) -> None:
    project, host = await office.project(), await office.host()
    healthy, orphan, forgotten, overdue, lost = [
        await office.running(await office.session(project), host) for _ in range(5)
    ]
    headless = await office.session(project)
    ended, stuck = await office.send(headless), await office.send(headless)
    await office.execute("UPDATE runs SET state = 'canceled' WHERE id = $1", ended)
    await office.execute(
        "UPDATE session_workers SET released_at = now() WHERE id = $1", orphan.grant.worker_id
    )
    await office.execute("UPDATE commands SET done_at = now() - interval '1 hour'")
    await office.execute(
        "UPDATE session_workers SET idle_since = now() - interval '1 hour' WHERE id = $1",
        forgotten.grant.worker_id,
    )
    await office.runs.cancel(overdue.run_id)
    await office.execute("UPDATE runs SET cancel_deadline = now() WHERE id = $1", overdue.run_id)
    await office.rescue.reclaim()
    await office.expire(lost)
    job_id = await office.job(JobKind.RECONCILE_RUNS, project)
    over = await done(office, job_id)
    assert (over.state, over.counts) == (
        "done",
        {
            "considered": 6,
            "healthy": 1,
            "requeued": 2,
            "canceled": 1,
            "reclaimed": 1,
            "repaired": 1,
        },
    )
    assert await office.state(healthy.run_id) == "running"
    assert await office.state(stuck) == "queued"
    for berth in (orphan, forgotten, lost):
        run = await office.run(berth.run_id)
        assert (run["now"], run["attempt"]) == ("queued", 2)
    assert await office.state(overdue.run_id) == "canceled"


async def test_runs__after_an_outage_nothing_is_taken_for_a_lease(office: Office) -> None:
    project, host = await office.project(), await office.host()
    berth = await office.running(await office.session(project), host)
    await office.rescue.reclaim()
    await office.expire(berth)
    await office.execute("UPDATE loop_ticks SET ticked_at = now() - interval '1 hour'")
    job_id = await office.job(JobKind.RECONCILE_RUNS, project)
    assert (await done(office, job_id)).counts == {"considered": 1, "deferred": 1}
    assert await office.heartbeat(host, berth) == ["current"]


async def test_stale_runs__the_loop_moves_what_nobody_carries_on(office: Office) -> None:
    project, host = await office.project(), await office.host()
    berth = await office.running(await office.session(project), host)
    await office.heartbeat(host, berth, idle_seconds=3600)
    assert await office.reconcile.stale_runs() == 0, "its start was taken just now"
    await office.execute("UPDATE commands SET done_at = now() - interval '20 s'")
    assert await office.reconcile.stale_runs() == 1
    run = await office.run(berth.run_id)
    assert (run["now"], run["attempt"]) == ("queued", 2)
