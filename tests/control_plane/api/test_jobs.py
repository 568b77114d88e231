"""Jobs over the API: asked for, answered at once, looked at until they are done."""

from uuid import UUID

import pytest

from tests.factories import insert_worker, make_session
from tests.fixtures.control_plane import Caller, Plane

POSTS = {
    "/api/v1/session-workers/cleanup/idle": "cleanup_idle",
    "/api/v1/session-workers/cleanup/stopped": "cleanup_stopped",
    "/api/v1/reconcile/runs": "reconcile_runs",
    "/api/v1/reconcile/sync": "reconcile_sync",
}


@pytest.mark.parametrize("path", POSTS)
async def test_job__is_accepted_carried_out_and_audited(
    plane: Plane, member: Caller, owner: Caller, project_id: UUID, path: str
) -> None:
    asked = await member.http.post(path)
    assert asked.status_code == 202, asked.text
    job = asked.json()
    assert (job["kind"], job["state"], job["project_id"]) == (
        POSTS[path],
        "running",
        str(project_id),
    )
    assert job["counts"] == {"considered": 0}
    assert asked.headers["location"] == f"/api/v1/jobs/{job['id']}"
    await plane.app.services.jobs.run_once()
    over = (await member.http.get(asked.headers["location"])).json()
    assert (over["state"], over["counts"]) == ("done", {"considered": 0})
    assert over["finished_at"] is not None
    told = (await owner.http.get("/api/v1/audit")).json()["items"]
    assert [(one["action"], one["detail"]) for one in told] == [
        ("job.create", {"kind": POSTS[path]})
    ]


@pytest.mark.parametrize("path", POSTS)
async def test_job__the_same_key_makes_one(plane: Plane, member: Caller, path: str) -> None:
    headers = {"Idempotency-Key": "clean"}
    first, again = [await member.http.post(path, headers=headers) for _ in range(2)]
    assert first.json() == again.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert await plane.connection.fetchval("SELECT count(*) FROM jobs") == 1


async def test_job__of_one_project_that_the_caller_writes_in(
    plane: Plane, member: Caller, stranger: Caller, project_id: UUID
) -> None:
    path, query = "/api/v1/session-workers/cleanup/idle", {"project_id": str(project_id)}
    foreign = await stranger.http.post(path, params=query)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "project_not_found")
    both = await plane.caller((project_id, "member"), (await plane.project(), "owner"))
    unsaid = await both.http.post(path)
    assert (unsaid.status_code, unsaid.json()["details"]["field"]) == (400, "project_id")
    session = await make_session(member.http)
    await insert_worker(plane.connection, session, token="bwt1")
    made = (await both.http.post(path, params=query)).json()
    assert made["counts"] == {"considered": 1, "pending": 1}
    seen = await stranger.http.get(f"/api/v1/jobs/{made['id']}")
    assert (seen.status_code, seen.json()["code"]) == (404, "job_not_found")


async def test_jobs__under_way_and_done_are_listed_with_their_counts(
    plane: Plane, member: Caller
) -> None:
    session = await make_session(member.http)
    await insert_worker(plane.connection, session, token="bwt1")
    jobs = plane.app.services.jobs
    done = (await member.http.post("/api/v1/reconcile/runs")).json()["id"]
    await jobs.run_once()
    running = (await member.http.post("/api/v1/session-workers/cleanup/idle")).json()["id"]
    await jobs.run_once()
    items = (await member.http.get("/api/v1/jobs")).json()["items"]
    assert [(one["id"], one["state"], one["counts"]) for one in items] == [
        (running, "running", {"considered": 1, "stopping": 1}),
        (done, "done", {"considered": 0}),
    ]
