"""The same POST with the same key happens once."""

import asyncio
from uuid import uuid4

from tests.factories import make_session
from tests.fixtures.control_plane import Caller, Plane


async def test_key__fifty_parallel_posts_make_one_run(plane: Plane, member: Caller) -> None:
    body, headers = {"text": "hello"}, {"Idempotency-Key": "order-1"}

    async def post() -> tuple[int, str, str | None]:
        answer = await member.http.post("/api/v1/runs", json=body, headers=headers)
        return answer.status_code, answer.text, answer.headers.get("idempotent-replayed")

    answers = await asyncio.gather(*(post() for _ in range(50)))
    assert {status for status, _, _ in answers} == {202}
    assert len({text for _, text, _ in answers}) == 1
    assert sorted(mark or "" for _, _, mark in answers) == ["", *["true"] * 49]
    assert await plane.connection.fetchval("SELECT count(*) FROM runs") == 1
    assert await plane.connection.fetchval("SELECT count(*) FROM sessions") == 1


async def test_key__with_another_body_is_409(plane: Plane, member: Caller) -> None:
    headers = {"Idempotency-Key": "order-2"}
    await member.http.post("/api/v1/runs", json={"text": "one"}, headers=headers)
    refused = await member.http.post("/api/v1/runs", json={"text": "two"}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_reused")
    elsewhere = await member.http.post("/api/v1/sessions", json={}, headers=headers)
    assert elsewhere.status_code == 409
    assert await plane.connection.fetchval("SELECT count(*) FROM runs") == 1


async def test_key__is_its_users_own(plane: Plane, member: Caller, owner: Caller) -> None:
    for caller in (member, owner):
        answer = await caller.http.post(
            "/api/v1/runs", json={"text": "one"}, headers={"Idempotency-Key": "shared"}
        )
        assert answer.status_code == 202
    assert await plane.connection.fetchval("SELECT count(*) FROM runs") == 2


async def test_key__of_a_refused_request_is_free_again(plane: Plane, member: Caller) -> None:
    headers = {"Idempotency-Key": "order-3"}
    body = {"text": "hello", "task_id": str(uuid4())}
    for _ in range(2):
        refused = await member.http.post("/api/v1/runs", json=body, headers=headers)
        assert refused.status_code == 404
    assert await plane.connection.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    assert await plane.connection.fetchval("SELECT count(*) FROM sessions") == 0


async def test_key__gives_each_kind_of_creation_again(plane: Plane, owner: Caller) -> None:
    session = await make_session(owner.http)
    run = await owner.http.post(
        f"/api/v1/sessions/{session['id']}/messages", json={"text": "hello"}
    )
    await owner.http.post(f"/api/v1/runs/{run.json()['id']}/cancel")
    project = session["project_id"]
    app = {"name": "a", "agent": "scripted", "project_id": project}
    for number, (path, body) in enumerate(
        [
            ("/api/v1/sessions", {"title": "a"}),
            (f"/api/v1/sessions/{session['id']}/messages", {"text": "hello"}),
            ("/api/v1/tasks", {"title": "a"}),
            (f"/api/v1/projects/{project}/users", {"name": "a"}),
            ("/api/v1/apps", app),
            (f"/api/v1/runs/{run.json()['id']}/retry", None),
            ("/api/v1/projects", {"name": "a"}),
        ]
    ):
        headers = {"Idempotency-Key": f"kind-{number}"}
        first = await owner.http.post(path, json=body, headers=headers)
        again = await owner.http.post(path, json=body, headers=headers)
        assert first.is_success, (path, first.text)
        assert (again.status_code, again.json()) == (first.status_code, first.json()), path
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"


async def test_key__that_is_no_key_is_400(member: Caller) -> None:
    for key in ("x" * 201, "a\tb"):
        refused = await member.http.post(
            "/api/v1/runs", json={"text": "a"}, headers={"Idempotency-Key": key}
        )
        assert refused.status_code == 400
        assert refused.json()["details"]["field"] == "Idempotency-Key"


async def test_expiry__forgets_old_keys_only(plane: Plane, member: Caller) -> None:
    for key in ("old", "new"):
        await member.http.post("/api/v1/runs", json={"text": "a"}, headers={"Idempotency-Key": key})
    await plane.connection.execute(
        "UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = 'old'"
    )
    assert await plane.app.services.idempotency.expire() == 1
    assert await plane.connection.fetchval("SELECT key FROM idempotency_keys") == "new"
