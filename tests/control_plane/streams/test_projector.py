"""The outbox is carried once, in order, whoever carries it and whatever breaks."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from chassis.failpoints import FailpointReached, arm, arm_from, disarm_all
from chassis.metrics import Metrics
from contracts.events import RunLog
from contracts.reasons import Reason
from contracts.runs import RunOptions, RunState
from control_plane.domain.session_state import TaskChange
from control_plane.loops.projector import HELD_PAUSE, ProjectorLoop
from control_plane.services import projector as projector_module
from control_plane.store import session_saves, session_states
from tests.control_plane.streams.replicas import DEADLINE, MakeReplica, Replica, log_of
from tests.fixtures.barriers import Barrier
from tests.fixtures.clock import ManualClock
from tests.fixtures.office import Office
from tests.fixtures.processes import met


@pytest.fixture
async def project(office: Office) -> UUID:
    return await office.project()


async def tell(office: Office, session: UUID, *texts: str) -> None:
    """Told on the project's stream too."""
    async with office.database.unit() as unit:
        loaded = await session_states.lock(unit, [session])
        for text in texts:
            loaded.states[session].tell(RunLog(text=text), project=True, trace_id="t")
        await session_saves.save(unit, loaded)


async def told(office: Office, project: UUID) -> list[Any]:
    """The events of the project's stream; its seqs have no gap."""
    rows = await office.fetch(
        "SELECT seq, kind, payload FROM events WHERE stream_id = $1 ORDER BY seq", project
    )
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    last = await office.value("SELECT last_seq FROM streams WHERE id = $1", project)
    assert last == len(rows)
    return [msgspec.json.decode(row["payload"]) for row in rows]


async def texts(office: Office, project: UUID) -> list[str]:
    return [event["text"] for event in await told(office, project)]


async def left(office: Office) -> int:
    return await office.value("SELECT count(*) FROM outbox")


async def drain(*replicas: Replica) -> None:
    async with asyncio.timeout(DEADLINE):
        while await replicas[0].projector.anything_left():
            await asyncio.gather(*[replica.projector.run_once() for replica in replicas])


async def test_run_once__carries_events_as_they_are(
    here: Replica, office: Office, project: UUID
) -> None:
    session = await office.session(project)
    await tell(office, session, "a", "b")
    assert await here.projector.run_once() == 2
    assert await here.projector.run_once() == 0
    rows = await office.fetch(
        "SELECT p.session_id, p.trace_id, p.kind, p.payload = s.payload AS same, p.at = s.at AS at"
        " FROM events p JOIN events s ON s.stream_id = $2 AND s.seq = p.seq"
        " WHERE p.stream_id = $1 ORDER BY p.seq",
        project,
        session,
    )
    assert [tuple(row) for row in rows] == [(session, "t", "run.log", True, True)] * 2


async def test_run_once__wakes_the_projects_readers(
    make_replica: MakeReplica, office: Office, project: UUID
) -> None:
    here = await make_replica(poll=60.0)
    reader = await here.read(project, replay_last=10)
    await tell(office, await office.session(project), "a")
    await here.projector.run_once()
    (entry,) = await reader.count(1)
    assert entry.id == f"{project.hex}.1"
    await tell(office, await office.session(project), "b")
    await here.projector.run_once()
    assert len(await reader.count(2)) == 2


async def test_run_once__batches_are_bounded_and_keep_the_order(
    here: Replica, office: Office, project: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector_module, "ROWS_AT_ONCE", 7)
    sessions = [await office.session(project) for _ in range(3)]
    for number in range(10):
        await tell(office, sessions[number % 3], f"{number} a", f"{number} b")
    assert await here.projector.run_once() == 7
    await drain(here)
    expected = [f"{number} {part}" for number in range(10) for part in "ab"]
    assert await texts(office, project) == expected


async def test_run_once__each_project_its_own_and_none_starves(
    here: Replica, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector_module, "PROJECTS_AT_ONCE", 1)
    projects = sorted([await office.project() for _ in range(3)], reverse=True)
    for project in projects:
        await tell(office, await office.session(project), "waits")
        await tell(office, await office.session(projects[0]), "busy")
    carried: list[UUID] = []
    for _ in projects:
        await here.projector.run_once()
        carried += [one for one in projects if one not in carried and await log_of(office, one)]
    assert carried == projects  # by waiting time, not by id


async def test_two_projectors__nothing_twice_nothing_out_of_order(
    here: Replica, make_replica: MakeReplica, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector_module, "ROWS_AT_ONCE", 5)
    other = await make_replica()
    projects = [await office.project() for _ in range(3)]
    sessions = [(project, await office.session(project)) for project in projects for _ in range(2)]
    expected: dict[UUID, list[str]] = {}

    async def writer(project: UUID, session: UUID) -> None:
        for number in range(25):
            await tell(office, session, f"{session} {number}")
        expected[session] = [f"{session} {number}" for number in range(25)]

    writers = [asyncio.create_task(writer(*one)) for one in sessions]
    while not all(task.done() for task in writers):
        await asyncio.gather(here.projector.run_once(), other.projector.run_once())
    await asyncio.gather(*writers)
    await drain(here, other)
    assert await left(office) == 0
    for project, session in sessions:
        mine = [text for text in await texts(office, project) if text.startswith(str(session))]
        assert mine == expected[session]


async def test_two_projectors__second_passes_over_what_the_first_holds(
    here: Replica, make_replica: MakeReplica, office: Office, project: UUID
) -> None:
    other = await make_replica()
    session = await office.session(project)
    await tell(office, session, "a")
    barrier = Barrier()
    arm("projector.locked", barrier.action)
    first = asyncio.create_task(here.projector.run_once())
    await barrier.reached()
    disarm_all()
    await tell(office, session, "b")
    elsewhere = await office.project()
    await tell(office, await office.session(elsewhere), "c")
    assert await other.projector.run_once() == 1  # not project's, though its rows are the oldest
    barrier.release()
    assert await first == 2
    assert await texts(office, project) == ["a", "b"]
    assert await texts(office, elsewhere) == ["c"]


async def test_crash__before_the_commit_changes_nothing(
    here: Replica, office: Office, project: UUID
) -> None:
    await tell(office, await office.session(project), "a", "b")
    arm_from("projector.written=raise")
    with pytest.raises(FailpointReached):
        await here.projector.run_once()
    assert (await told(office, project), await left(office)) == ([], 2)
    disarm_all()
    await here.projector.run_once()
    assert await texts(office, project) == ["a", "b"]


async def test_run_once__a_row_that_cannot_be_read_stops_nobody(
    here: Replica, office: Office, project: UUID
) -> None:
    await office.execute(
        "INSERT INTO outbox (project_id, type, payload)"
        " VALUES ($1, 'event', 'what?'), ($1, 'task', '{}')",
        project,
    )
    await tell(office, await office.session(project), "a")
    assert await here.projector.run_once() == 3
    assert await texts(office, project) == ["a"]


# --- the loop --------------------------------------------------------------------------------


async def test_loop__woken_by_the_outbox(here: Replica, office: Office, project: UUID) -> None:
    loop = ProjectorLoop(here.projector, here.wakeups, Metrics(), interval=60.0)
    loop.start()
    reader = await here.read(project, replay_last=10)
    session = await office.session(project)
    for number in range(1, 4):
        await tell(office, session, "a")
        assert len(await reader.count(number)) == number
    await loop.stop()


async def test_loop__comes_back_to_what_was_held(
    here: Replica, office: Office, project: UUID
) -> None:
    await tell(office, await office.session(project), "a")
    clock = ManualClock(skipping=False)
    loop = ProjectorLoop(here.projector, here.wakeups, Metrics(), interval=60.0, clock=clock)
    async with office.database.unit() as unit:
        await unit.connection.execute("SELECT FROM streams WHERE id = $1 FOR UPDATE", project)
        assert await here.projector.run_once() == 0
        carrying = asyncio.create_task(loop.run_once())
        await met(lambda: clock.slept, "it has found it held")
    await clock.advance(HELD_PAUSE)
    assert await carrying == 1


# --- tasks -----------------------------------------------------------------------------------


@pytest.fixture
async def task(office: Office, project: UUID) -> UUID:
    task = uuid4()
    await office.execute(
        "INSERT INTO tasks (id, project_id, title) VALUES ($1, $2, 't')", task, project
    )
    return task


async def send(office: Office, session: UUID, task: UUID) -> UUID:
    async with office.database.unit() as unit:
        enqueued = await office.runs.enqueue(
            unit, session, prompt="go", options=RunOptions(), by=None, task_id=task
        )
    return enqueued.run_id


async def now(office: Office, task: UUID) -> tuple[str, int, UUID | None, str | None]:
    query = "SELECT state::text, version, last_run_id, last_reason FROM tasks WHERE id = $1"
    return tuple((await office.fetch(query, task))[0])  # type: ignore[return-value]  # a record is one


async def moves(office: Office, project: UUID) -> list[tuple[str, str]]:
    events = await told(office, project)
    return [(e["old"], e["new"]) for e in events if e["kind"] == "task.transitioned"]


async def changed(office: Office, session: UUID, task: UUID, run: UUID, state: RunState) -> None:
    async with office.database.unit() as unit:
        loaded = await session_states.lock(unit, [session])
        reason = Reason.COMPLETED if state is RunState.SUCCEEDED else None
        loaded.states[session].tasks.append(TaskChange(task, run, state, reason))
        await session_saves.save(unit, loaded)


async def test_task__follows_its_run(
    here: Replica, office: Office, project: UUID, task: UUID
) -> None:
    session = await office.session(project)
    run = await send(office, session, task)
    await drain(here)
    assert await now(office, task) == ("running", 2, run, None)
    for state in (RunState.WAITING, RunState.QUEUED, RunState.RUNNING, RunState.SUCCEEDED):
        await changed(office, session, task, run, state)
    await drain(here)
    assert await moves(office, project) == [
        ("open", "running"),
        ("running", "waiting"),
        ("waiting", "running"),
        ("running", "review"),
    ]
    assert await now(office, task) == ("review", 5, run, "completed")


@pytest.mark.parametrize(
    ("state", "becomes"), [(RunState.FAILED, "failed"), (RunState.BLOCKED, "blocked")]
)
async def test_task__of_a_run_that_did_not_succeed(  # noqa: PLR0917 # fixtures and a case
    here: Replica, office: Office, project: UUID, task: UUID, state: RunState, becomes: str
) -> None:
    session = await office.session(project)
    run = await send(office, session, task)
    await changed(office, session, task, run, state)
    again = await send(office, session, task)
    await drain(here)
    path = [("open", "running"), ("running", becomes), (becomes, "running")]
    assert await moves(office, project) == path
    assert await now(office, task) == ("running", 4, again, None)


async def test_task__canceled_run_leaves_it_open(
    here: Replica, office: Office, project: UUID, task: UUID
) -> None:
    run = await send(office, await office.session(project), task)
    await office.runs.cancel(run)
    await drain(here)
    assert await moves(office, project) == [("open", "running"), ("running", "open")]
    assert await now(office, task) == ("open", 3, run, "canceled")


@pytest.mark.parametrize("settled", ["done", "canceled"])
async def test_task__that_was_settled_by_hand_stays_so(
    here: Replica, office: Office, project: UUID, task: UUID, settled: str
) -> None:
    run = await send(office, await office.session(project), task)
    await drain(here)
    await office.execute(f"UPDATE tasks SET state = '{settled}' WHERE id = $1", task)  # noqa: S608 # of two words
    await office.runs.cancel(run)
    await drain(here)
    assert await now(office, task) == (settled, 2, run, None)


async def test_task__former_run_changes_nothing_the_newer_one_does(
    here: Replica, office: Office, project: UUID, task: UUID
) -> None:
    former = await send(office, await office.session(project), task)
    newer = await send(office, await office.session(project), task)
    await drain(here)
    assert await now(office, task) == ("running", 3, newer, None)
    await office.runs.cancel(former)
    await drain(here)
    assert (await now(office, task))[:3] == ("running", 3, newer)
    await office.runs.cancel(newer)
    await drain(here)
    assert (await now(office, task))[:3] == ("open", 4, newer)


async def test_task__newer_run_of_the_same_state_is_told_as_an_update(
    here: Replica, office: Office, project: UUID, task: UUID
) -> None:
    await send(office, await office.session(project), task)
    await send(office, await office.session(project), task)
    await drain(here)
    updates = [e for e in await told(office, project) if e["kind"] == "task.updated"]
    assert [(e["version"], e["fields"]) for e in updates] == [(3, ["last_run_id"])]


async def test_task__that_is_gone_stops_nobody(
    here: Replica, office: Office, project: UUID
) -> None:
    await office.execute(
        "INSERT INTO outbox (project_id, type, payload) VALUES ($1, 'task', $2)",
        project,
        msgspec.json.encode(
            {"task_id": uuid4(), "run_id": uuid4(), "run_state": "running", "reason": None}
        ).decode(),
    )
    await tell(office, await office.session(project), "a")
    await drain(here)
    assert await texts(office, project) == ["a"]
