"""Limits over the API: set by administrators, seen by members, told to who is refused."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.factories import make_session, send
from tests.fixtures.control_plane import Caller, Plane

NONE = {"max_workers": None, "max_queued": None, "runs_per_hour": None}


@pytest.fixture
async def administrator(plane: Plane) -> Caller:
    caller = await plane.caller(name="root")
    await plane.connection.execute(
        "UPDATE users SET administrator = true WHERE id = $1", caller.user_id
    )
    return caller


async def test_limits__of_project_and_caller_are_seen_by_members(
    plane: Plane, project_id: UUID, administrator: Caller, member: Caller, viewer: Caller
) -> None:
    path = f"/api/v1/projects/{project_id}/limits"
    nothing = {"limits": NONE, "used": {"workers": 0, "queued": 0, "runs_last_hour": None}}
    assert (await viewer.http.get(path)).json() == {
        "project_id": str(project_id),
        "project": nothing,
        "you": nothing,
    }
    await administrator.http.patch(
        f"/api/v1/admin/projects/{project_id}/limits", json={"max_workers": 5, "runs_per_hour": 9}
    )
    await administrator.http.patch(
        f"/api/v1/admin/users/{member.user_id}/limits", json={"max_queued": 3}
    )
    await send(member.http, (await make_session(member.http))["id"])
    seen = (await member.http.get(path)).json()
    assert seen["project"] == {
        "limits": {"max_workers": 5, "max_queued": None, "runs_per_hour": 9},
        "used": {"workers": 0, "queued": 1, "runs_last_hour": 1},
    }
    assert seen["you"]["limits"] == NONE | {"max_queued": 3}
    assert seen["you"]["used"]["queued"] == 1
    assert (await viewer.http.get(path)).json()["you"]["used"]["queued"] == 0


async def test_limits__own_ones_come_before_the_default(
    plane: Plane, project_id: UUID, administrator: Caller
) -> None:
    own = f"/api/v1/admin/projects/{project_id}/limits"
    body: dict[str, Any] = {
        "project": {"max_workers": 4, "max_queued": 40},
        "user": {"max_workers": 2},
    }
    defaults = await administrator.http.patch("/api/v1/admin/limits", json=body)
    assert defaults.json()["project"] == NONE | {"max_workers": 4, "max_queued": 40}
    assert (await administrator.http.get("/api/v1/admin/limits")).json() == defaults.json()
    set_ = (await administrator.http.patch(own, json={"max_workers": 9})).json()
    assert set_["own"] == NONE | {"max_workers": 9}
    assert set_["limits"] == NONE | {"max_workers": 9, "max_queued": 40}
    back = (await administrator.http.patch(own, json={"max_workers": None})).json()
    assert (back["own"], back["limits"]["max_workers"]) == (NONE, 4)
    assert (await administrator.http.get(own)).json() == back


async def test_limits__that_are_wrong_or_of_nobody(administrator: Caller, project_id: UUID) -> None:
    place = f"/api/v1/admin/projects/{project_id}/limits"
    for body in ({"max_workers": 0}, {"runs_per_hour": -1}, {"max_queued": "many"}, {"workers": 5}):
        refused = await administrator.http.patch(place, json=body)
        assert (refused.status_code, refused.json()["code"]) == (400, "validation_failed")
        assert next(iter(body)) in refused.text
    for subject, code in (("projects", "project_not_found"), ("users", "user_not_found")):
        path = f"/api/v1/admin/{subject}/{uuid4()}/limits"
        for answer in (
            await administrator.http.get(path),
            await administrator.http.patch(path, json={"max_workers": 1}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, code)


async def test_run_beyond_the_limit__is_refused_with_when_to_come_back(
    plane: Plane, project_id: UUID, administrator: Caller, member: Caller
) -> None:
    """Nothing of it is left: neither a session nor a message, and its key may be used again."""
    path = f"/api/v1/admin/users/{member.user_id}/limits"
    await administrator.http.patch(path, json={"max_queued": 1})
    key = {"Idempotency-Key": "one"}
    await send(member.http, (await make_session(member.http))["id"])
    refused = await member.http.post("/api/v1/runs", json={"text": "a"}, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (429, "limit_reached")
    assert "your limit is 1 runs that wait" in refused.json()["detail"]
    details = refused.json()["details"]
    assert (details["limit"], details["of"], details["allowed"]) == ("max_queued", "user", 1)
    assert int(refused.headers["retry-after"]) >= 5
    assert await plane.connection.fetchval("SELECT count(*) FROM sessions") == 1
    await administrator.http.patch(path, json={"max_queued": 2})
    made = await member.http.post("/api/v1/runs", json={"text": "a"}, headers=key)
    assert made.status_code == 202
    assert "idempotent-replayed" not in made.headers


async def test_run_that_waits_for_a_limit__says_whose(
    plane: Plane, project_id: UUID, administrator: Caller, member: Caller
) -> None:
    await administrator.http.patch(
        f"/api/v1/admin/projects/{project_id}/limits", json={"max_workers": 1}
    )
    first = await send(member.http, (await make_session(member.http))["id"])
    second = await send(member.http, (await make_session(member.http))["id"])
    assert (await member.http.get(f"/api/v1/runs/{first['id']}")).json()["waits_for_limit"] is None
    await plane.connection.execute(
        "INSERT INTO managers (id, name, backend) VALUES ($1, 'h', 'process')", project_id
    )
    await plane.connection.execute(
        "INSERT INTO session_workers (id, project_id, session_id, epoch, manager_id, token_hash,"
        " lease_until) SELECT $1, project_id, session_id, 1, $1, 'x', now() FROM runs"
        " WHERE id::text = $2",
        project_id,
        first["id"],
    )
    waits = (await member.http.get(f"/api/v1/runs/{second['id']}")).json()
    assert waits["waits_for_limit"] == "project"
    told = await member.http.get(f"/api/v1/runs/{second['id']}/events?kind=run.warning")
    assert [one["event"]["code"] for one in told.json()["items"]] == ["waits_for_worker_limit"]
