"""Jobs on several replicas: nothing is lost, nothing is done twice, each ends."""

import asyncio

import pytest

from chassis.failpoints import arm, disarm_all
from contracts.jobs import JobKind
from control_plane.domain.session_state import SessionState
from control_plane.services import cleanup
from control_plane.store import jobs as job_store
from control_plane.store.database import Unit
from tests.control_plane.races.idle_workers import commands, counts, done, idle
from tests.fixtures.barriers import Barrier
from tests.fixtures.guards import perhaps_without, replaced
from tests.fixtures.office import Office

both_ways = pytest.mark.parametrize("guarded", [True, False])


async def test_job__ends_at_its_deadline(office: Office) -> None:
    project, host = await office.project(), await office.host()
    await idle(office, host, project)
    job_id = await office.job(JobKind.CLEANUP_IDLE, project)
    await office.jobs.run_once()
    await office.execute("UPDATE jobs SET deadline = now()")
    over = await done(office, job_id)
    assert (over.state, over.counts) == ("done", {"considered": 1, "timed_out": 1})


async def test_job__not_begun_by_its_deadline_does_nothing(office: Office) -> None:
    project, host = await office.project(), await office.host()
    await idle(office, host, project)
    job_id = await office.job(JobKind.CLEANUP_IDLE, project)
    await office.execute("UPDATE jobs SET deadline = now()")
    assert (await done(office, job_id)).counts == {"considered": 1, "timed_out": 1}
    assert await commands(office, "stop") == []


@pytest.mark.parametrize("where", ["jobs.locked", "jobs.saved"])
async def test_replica__that_dies_half_way_loses_nothing(
    office: Office, replica: Office, where: str
) -> None:
    project, host = await office.project(), await office.host()
    berths = [await idle(office, host, project) for _ in range(3)]
    job_id = await office.job(JobKind.CLEANUP_IDLE, project)
    barrier = Barrier()
    arm(where, barrier.action)
    dying = asyncio.create_task(office.jobs.run_once())
    await barrier.reached()
    disarm_all()
    dying.cancel()
    await asyncio.wait({dying})
    assert await counts(replica, job_id) == {"considered": 3, "pending": 3}
    assert await replica.jobs.run_once() == 3
    assert sorted(await commands(office, "stop")) == sorted(b.grant.worker_id for b in berths)


@both_ways
async def test_replicas__act_on_a_member_once(
    office: Office, replica: Office, *, guarded: bool
) -> None:
    project, host = await office.project(), await office.host()
    await idle(office, host, project)
    job_id = await office.job(JobKind.CLEANUP_IDLE, project)
    barrier = Barrier()
    arm("jobs.candidates", barrier.action)
    late = asyncio.create_task(office.jobs.run_once())
    await barrier.reached()
    disarm_all()
    assert await replica.jobs.run_once() == 1
    await office.execute("UPDATE job_members SET outcome = 'stopped', ended_at = now()")
    await office.execute("UPDATE session_workers SET stop_requested_at = NULL, state = 'idle'")

    async def all_of_them(_unit: Unit, members: object) -> object:
        return members

    with perhaps_without(replaced(job_store, "still_pending", all_of_them), guarded=guarded):
        barrier.release()
        assert (await late == 0) is guarded
    assert (len(await commands(office, "stop")) == 1) is guarded
    assert (await done(office, job_id)).counts == {"considered": 1, "stopped": 1}


async def test_jobs__many_sessions_on_two_replicas(office: Office, replica: Office) -> None:
    project, host = await office.project(), await office.host()
    berths = [await idle(office, host, project) for _ in range(50)]
    job_id = await office.job(JobKind.CLEANUP_IDLE, project)
    acted = await asyncio.gather(office.jobs.run_once(), replica.jobs.run_once())
    assert sum(acted) == 50
    assert len(await commands(office, "stop")) == 50
    for berth in berths:
        await office.report(berth, berth.stopped(berth.head))
    assert (await done(replica, job_id)).counts == {"considered": 50, "stopped": 50}


async def test_job__one_session_that_fails_keeps_no_other_waiting(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, host = await office.project(), await office.host()
    berths = [await idle(office, host, project) for _ in range(3)]
    bad = berths[0].grant.session_id
    ask = cleanup.ask_to_stop

    async def broken(unit: Unit, state: SessionState, *rest: object) -> object:
        if state.id == bad:
            raise ValueError("broken")
        return await ask(unit, state, *rest)  # type: ignore[arg-type] # handed on

    monkeypatch.setattr(cleanup, "ask_to_stop", broken)
    job_id = await office.job(JobKind.CLEANUP_IDLE, project)
    await office.jobs.run_once()
    assert await counts(office, job_id) == {"considered": 3, "stopping": 2, "failed": 1}


async def test_jobs__are_forgotten_with_their_members(office: Office) -> None:
    project, host = await office.project(), await office.host()
    await office.running(await office.session(project), host)
    await done(office, await office.job(JobKind.CLEANUP_IDLE, project))
    assert await office.jobs.forget() == 0
    await office.execute("UPDATE jobs SET finished_at = now() - interval '8 days'")
    assert await office.jobs.forget() == 1
    assert await office.value("SELECT count(*) FROM job_members") == 0
