"""A cancel at each moment of a run's life ends in exactly one terminal state."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from chassis.errors import Stale
from chassis.failpoints import arm, disarm_all
from contracts.reasons import Reason
from contracts.runs import RunState
from control_plane.domain import line, retries
from control_plane.domain.session_state import RunEnd, RunRow, SessionState
from tests.fixtures.barriers import Barrier
from tests.fixtures.guards import perhaps_without, replaced
from tests.fixtures.office import Berth, Office

Moment = Callable[[Office, UUID], Awaitable[tuple[UUID, Berth | None]]]


async def queued(office: Office, session: UUID) -> tuple[UUID, Berth | None]:
    return await office.send(session), None


async def pending(office: Office, session: UUID) -> tuple[UUID, Berth | None]:
    await office.send(session)
    return await office.send(session), None


async def claimed(office: Office, session: UUID) -> tuple[UUID, Berth | None]:
    await office.send(session)
    berth = await office.claim(await office.host())
    return berth.run_id, berth


async def running(office: Office, session: UUID) -> tuple[UUID, Berth | None]:
    berth = await office.running(session, await office.host())
    return berth.run_id, berth


async def waiting(office: Office, session: UUID) -> tuple[UUID, Berth | None]:
    berth = await office.running(session, await office.host())
    await office.report(berth, berth.asked())
    return berth.run_id, berth


async def parked(office: Office, session: UUID) -> tuple[UUID, Berth | None]:
    run_id, berth = await waiting(office, session)
    assert berth is not None
    await office.expire(berth)
    await office.rescue.reclaim()
    return run_id, None


async def saving(office: Office, session: UUID) -> tuple[UUID, Berth | None]:
    run_id, berth = await running(office, session)
    assert berth is not None
    await office.report(berth, berth.snapshot())
    return run_id, berth


@pytest.mark.parametrize(
    "moment", [queued, pending, claimed, running, waiting, parked, saving], ids=lambda m: m.__name__
)
async def test_cancel__at_each_moment(office: Office, moment: Moment) -> None:
    session = await office.session()
    run_id, berth = await moment(office, session)
    await office.runs.cancel(run_id)
    if berth is not None:
        run = await office.run(run_id)
        assert run["finished_at"] is None, "a live run is canceled by its executor's finish"
        assert run["cancel_deadline"] is not None
        await office.runs.cancel(run_id)
        await office.report(berth, berth.finish("canceled", Reason.CANCELED))
    assert await office.state(run_id) == "canceled"
    kinds = await office.kinds(run_id)
    assert kinds.count("run.finished") == kinds.count("run.closed") == 1
    assert kinds[-1] == "run.closed"
    open_asks = "SELECT count(*) FROM human_loop_requests WHERE state = 'pending'"
    assert await office.value(open_asks) == 0
    with pytest.raises(Stale):
        await office.runs.cancel(run_id)


@pytest.mark.parametrize("moment", [claimed, running, waiting, saving], ids=lambda m: m.__name__)
async def test_cancel__of_a_live_run_without_asking_its_executor(
    office: Office, moment: Moment
) -> None:
    """Without the guard of `line.cancel` the run would be over while its agent still works."""
    run_id, berth = await moment(office, await office.session())
    assert berth is not None

    def at_once(state: SessionState, run: RunRow, _policy: object) -> None:
        line.finish(state, run, RunState.CANCELED, RunEnd(reason=Reason.CANCELED))

    with perhaps_without(replaced(line, "cancel", at_once), guarded=False):
        await office.runs.cancel(run_id)
    assert (await office.run(run_id))["finished_at"] is not None
    answer = await office.report(berth, berth.finish("canceled", Reason.CANCELED))
    assert [refused.code for refused in answer.refused] == ["already_finished"]


async def test_cancel__finish_came_first(office: Office) -> None:
    session = await office.session()
    berth = await office.running(session, await office.host())
    barrier = Barrier()
    arm("report.saved", barrier.action)
    finishing = asyncio.create_task(office.report(berth, berth.snapshot(), berth.finish()))
    await barrier.reached()
    canceling = asyncio.create_task(office.runs.cancel(berth.run_id))
    disarm_all()
    barrier.release()
    await finishing
    with pytest.raises(Stale):
        await canceling
    assert await office.state(berth.run_id) == "succeeded"


@pytest.mark.parametrize("guarded", [True, False])
async def test_cancel__worker_lost_before_it_could(office: Office, *, guarded: bool) -> None:
    session = await office.session()
    berth = await office.running(session, await office.host())
    await office.runs.cancel(berth.run_id)
    await office.expire(berth)
    forgetful = replaced(
        retries,
        "retry_or_fail",
        lambda state, run, *_args, **_kwargs: line.requeue(state, run),
    )
    with perhaps_without(forgetful, guarded=guarded):
        await office.rescue.reclaim()
    assert (await office.state(berth.run_id) == "canceled") is guarded


async def test_cancel__deadline_raises_the_epoch(office: Office) -> None:
    session = await office.session()
    berth = await office.running(session, await office.host())
    await office.runs.cancel(berth.run_id)
    assert await office.rescue.end_overdue_cancels() == 0
    await office.execute("UPDATE runs SET cancel_deadline = now() - interval '1 s'")
    assert await office.rescue.end_overdue_cancels() == 1
    run = await office.run(berth.run_id)
    assert (run["now"], run["reason"]) == ("canceled", "cancel_deadline")
    with pytest.raises(Stale):
        await office.report(berth, berth.finish("canceled", Reason.CANCELED))


async def test_poison_run__ends_as_worker_lost_repeatedly(office: Office) -> None:
    session, host = await office.session(), await office.host()
    run_id = await office.send(session, limits=None)
    for _ in range(office.settings.max_losses):
        await office.execute("UPDATE runs SET available_at = now() WHERE state = 'queued'")
        berth = await office.claim(host)
        await office.report(berth, berth.started())
        await office.expire(berth)
        await office.rescue.reclaim()
    run = await office.run(run_id)
    assert (run["now"], run["reason"]) == ("failed", "worker_lost_repeatedly")


@pytest.mark.parametrize("answered", [False, True])
async def test_cancel__executor_had_parked_it_already(office: Office, *, answered: bool) -> None:
    """The cancel finds no agent; without an end here it would park, or be claimed once more."""
    run_id, berth = await waiting(office, await office.session())
    assert berth is not None
    if answered:
        await office.allow(await office.value("SELECT id FROM human_loop_requests"))
    await office.runs.cancel(run_id)
    await office.report(berth, berth.snapshot(), berth.parked())
    assert await office.state(run_id) == "canceled"
    assert (await office.kinds(run_id))[-1] == "run.closed"
    current = "SELECT count(*) FROM session_workers WHERE superseded_at IS NULL"
    assert await office.value(current) == 1, "its worker did nothing wrong"
