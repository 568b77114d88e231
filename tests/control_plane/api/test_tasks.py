"""Tasks over the API: versions, transitions, dependencies, runs."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx

from chassis.failpoints import arm, disarm_all
from contracts.tasks import TaskState
from control_plane.domain.tasks import LEGAL
from tests.factories import end_run, make_session, make_task
from tests.fixtures.barriers import Barrier
from tests.fixtures.control_plane import Caller, Plane
from tests.fixtures.deadlines import eventually


async def change(http: httpx.AsyncClient, task: dict[str, Any], **body: Any) -> httpx.Response:
    return await http.patch(
        f"/api/v1/tasks/{task['id']}", json={"expected_version": task["version"], **body}
    )


def test_transitions__every_state_has_its_row_and_a_way_out() -> None:
    assert set(LEGAL) == set(TaskState)
    assert all(LEGAL[state] and state not in LEGAL[state] for state in TaskState)


async def test_patch__needs_the_present_version(plane: Plane, member: Caller) -> None:
    task = await make_task(member.http, "old")
    changed = await change(member.http, task, title="new", description="more")
    assert (changed.json()["title"], changed.json()["version"]) == ("new", 2)
    stale = await change(member.http, task, title="other")
    assert (stale.status_code, stale.json()["code"]) == (409, "version_conflict")
    assert stale.json()["details"]["version"] == 2
    both = await asyncio.gather(
        *(change(member.http, changed.json(), title=title) for title in ("a", "b"))
    )
    assert sorted(answer.status_code for answer in both) == [200, 409]
    nothing = await change(
        member.http, (await _read(member, task)), title=(await _read(member, task))["title"]
    )
    assert nothing.json()["version"] == 3


async def _read(member: Caller, task: dict[str, Any]) -> dict[str, Any]:
    return (await member.http.get(f"/api/v1/tasks/{task['id']}")).json()


async def test_patch__illegal_transition_names_what_is_legal(member: Caller) -> None:
    task = await make_task(member.http)
    done = (await change(member.http, task, state="done")).json()
    assert done["state"] == "done"
    refused = await change(member.http, done, state="failed")
    assert (refused.status_code, refused.json()["code"]) == (409, "illegal_transition")
    assert refused.json()["details"] == {"state": "done", "legal": ["open", "review"]}
    by_hand = await change(member.http, done, state="running")
    assert (by_hand.status_code, by_hand.json()["code"]) == (409, "illegal_transition")


async def test_changes__are_told_on_the_projects_stream(
    plane: Plane, member: Caller, project_id: UUID
) -> None:
    task = await make_task(member.http)
    await change(member.http, task, title="new", state="blocked")
    while await plane.app.services.projector.run_once():
        pass
    told = await plane.connection.fetch(
        "SELECT kind FROM events WHERE stream_id = $1 ORDER BY seq", project_id
    )
    assert [row["kind"] for row in told] == ["task.created", "task.updated", "task.transitioned"]


async def test_dependencies__form_no_cycle(member: Caller) -> None:
    first = await make_task(member.http, "first")
    second = await make_task(member.http, "second", depends_on=[first["id"]])
    third = await make_task(member.http, "third", depends_on=[second["id"], second["id"]])
    assert third["depends_on"] == [second["id"]]
    for target in (first, second, third):
        refused = await change(member.http, first, depends_on=[target["id"]])
        assert (refused.status_code, refused.json()["code"]) == (409, "dependency_cycle")
    unknown = await change(member.http, first, depends_on=[str(uuid4())])
    assert (unknown.status_code, unknown.json()["code"]) == (404, "task_not_found")


async def test_dependencies__two_patches_together_form_no_cycle(
    plane: Plane, member: Caller
) -> None:
    one, two = await make_task(member.http, "one"), await make_task(member.http, "two")
    barrier = Barrier()
    arm("task.project_locked", barrier.action)
    try:
        first = asyncio.create_task(change(member.http, one, depends_on=[two["id"]]))
        await barrier.reached()
        second = asyncio.create_task(change(member.http, two, depends_on=[one["id"]]))
        await _somebody_waits_for_a_lock(plane)
        barrier.release()
        answers = await asyncio.gather(first, second)
    finally:
        disarm_all()
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert await plane.connection.fetchval("SELECT count(*) FROM task_dependencies") == 1


async def _somebody_waits_for_a_lock(plane: Plane) -> None:
    async def waits() -> bool:
        return await plane.connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )

    await eventually(waits, "nobody waits for a lock")


async def test_run__makes_a_session_and_moves_the_task(plane: Plane, member: Caller) -> None:
    task = await make_task(member.http, "the title", description="the description")
    started = await member.http.post(f"/api/v1/tasks/{task['id']}/run", json={})
    assert started.status_code == 202, started.text
    run = started.json()
    assert run["task_id"] == task["id"]
    prompt = await plane.connection.fetchval("SELECT prompt FROM run_payloads")
    assert prompt == "the title\n\nthe description"
    running = await _read(member, task)
    assert (running["state"], running["last_run_id"]) == ("running", run["id"])
    assert running["session_id"] == run["session_id"]
    twice = await member.http.post(f"/api/v1/tasks/{task['id']}/run", json={})
    assert (twice.status_code, twice.json()["code"]) == (409, "illegal_transition")
    canceled = await member.http.post(f"/api/v1/runs/{run['id']}/cancel")
    assert canceled.status_code == 202
    while await plane.app.services.projector.run_once():
        pass
    assert (await _read(member, task))["state"] == "open"
    again = await member.http.post(f"/api/v1/tasks/{task['id']}/run", json={"text": "again"})
    assert again.json()["session_id"] == run["session_id"]


async def test_run__waits_for_what_it_depends_on(member: Caller) -> None:
    first = await make_task(member.http, "first")
    second = await make_task(member.http, "second", depends_on=[first["id"]])
    refused = await member.http.post(f"/api/v1/tasks/{second['id']}/run", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "first (open)" in refused.json()["detail"]
    assert refused.json()["details"]["undone"] == [{"id": first["id"], "state": "open"}]
    assert (await change(member.http, first, state="done")).status_code == 200
    started = await member.http.post(f"/api/v1/tasks/{second['id']}/run", json={})
    assert started.status_code == 202


async def test_task__belongs_where_its_session_does(member: Caller, stranger: Caller) -> None:
    session = await make_session(stranger.http)
    refused = await member.http.post(
        "/api/v1/tasks", json={"title": "a", "session_id": session["id"]}
    )
    assert (refused.status_code, refused.json()["code"]) == (404, "session_not_found")


async def test_list__filters_and_pages(plane: Plane, member: Caller) -> None:
    session = await make_session(member.http)
    tasks = [await make_task(member.http, str(number)) for number in range(3)]
    bound = await make_task(member.http, "bound", session_id=session["id"])
    await change(member.http, tasks[0], state="done")

    async def titles(**params: Any) -> list[str]:
        answer = await member.http.get("/api/v1/tasks", params=params)
        return [item["title"] for item in answer.json()["items"]]

    assert await titles() == ["bound", "2", "1", "0"]
    assert await titles(state=["done", "failed"]) == ["0"]
    assert await titles(session_id=session["id"]) == ["bound"]
    assert bound["session_id"] == session["id"]


async def test_run_end__after_the_task_was_decided_changes_nothing(
    plane: Plane, member: Caller
) -> None:
    task = await make_task(member.http)
    run = (await member.http.post(f"/api/v1/tasks/{task['id']}/run", json={})).json()
    await change(member.http, await _read(member, task), state="done")
    await member.http.post(f"/api/v1/runs/{run['id']}/cancel")
    while await plane.app.services.projector.run_once():
        pass
    assert (await _read(member, task))["state"] == "done"
    await end_run(plane.connection, run["id"], "canceled")
