"""Who may do what: anonymous, a stranger, a viewer, a member, an owner; services and workers."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from litestar.handlers import HTTPRouteHandler

from chassis.auth import IDENTITY_HEADER, generate_signing_key, hash_token, sign_identity
from chassis.health import health_routes
from chassis.ids import new_id
from chassis.metrics import Metrics
from contracts.identity import IdentityClaims
from contracts.wire import KeyId, UserId
from control_plane.app import ROUTES
from control_plane.domain.access import UNKNOWN
from control_plane.routes.policies import OPEN_PATHS, Policy
from control_plane.services.access import AUDIENCE
from tests.factories import insert_worker, make_session, make_task, send
from tests.fixtures.control_plane import GATEWAY_KEY, MANAGER_KEY, Caller, Plane


@pytest.mark.parametrize("handler", ROUTES, ids=lambda handler: handler.fn.__name__)
def test_policy__every_route_says_who_may_call_it(handler: HTTPRouteHandler) -> None:
    policy = handler.opt.get("policy")
    assert isinstance(policy, Policy)
    for path in handler.paths:
        internal = path.startswith("/internal/")
        assert internal == (policy.caller in ("gateway", "manager", "worker"))
        names = {part[1:].partition("_id:")[0] for part in path.split("/") if part.startswith("{")}
        if policy.caller == "person" and names & set(UNKNOWN):
            assert policy.noun in names, f"{path} names {names}, its policy {policy.noun}"


def test_policy__open_paths_are_the_frames_own() -> None:
    routes = health_routes(service="x", version="x", checks={}, metrics=Metrics())
    assert {path for route in routes for path in route.paths} == OPEN_PATHS


async def _things(plane: Plane, caller: Caller) -> dict[str, str]:
    """One of each noun of the caller's project."""
    session = await make_session(caller.http)
    run = await send(caller.http, session["id"])
    task = await make_task(caller.http)
    request_id = new_id()
    await plane.connection.execute(
        "INSERT INTO human_loop_requests"
        " (id, project_id, session_id, run_id, attempt, ask_id, type, input_hash)"
        " VALUES ($1, $2, $3, $4, 1, $1, 'question', '')",
        request_id,
        UUID(session["project_id"]),
        UUID(session["id"]),
        UUID(run["id"]),
    )
    app_id, job_id = new_id(), new_id()
    project_id = UUID(session["project_id"])
    await plane.connection.execute(
        "INSERT INTO apps (id, project_id, name, agent) VALUES ($1, $2, 'a', 'scripted')",
        app_id,
        project_id,
    )
    await plane.connection.execute(
        "INSERT INTO jobs (id, project_id, kind, deadline) VALUES ($1, $2, 'cleanup_idle', now())",
        job_id,
        project_id,
    )
    return {
        "app_id": str(app_id),
        "job_id": str(job_id),
        "session_id": session["id"],
        "run_id": run["id"],
        "task_id": task["id"],
        "request_id": str(request_id),
        "project_id": session["project_id"],
        "user_id": str(caller.user_id),
        "seq": "1",
    }


BODIES: dict[str, Any] = {
    "send_message": {"text": "hello"},
    "patch_session": {"title": "x"},
    "patch_task": {"expected_version": 1, "title": "x"},
    "run_task": {},
    "reply": {"text": "yes"},
    "remove_session_worker": {"force": False},
    "patch_session_worker": {"keep_warm": True},
    "patch_app": {"name": "x"},
    "put_member": {"role": "viewer"},
    "create_user": {"name": "x"},
}


def _calls(things: dict[str, str], *, writes: bool | None = None) -> list[tuple[str, str, Any]]:
    """Every route that names something of a project."""
    calls: list[tuple[str, str, Any]] = []
    for handler in ROUTES:
        policy: Policy = handler.opt["policy"]
        if policy.noun is None or (writes is not None and writes == (policy.action == "read")):
            continue
        for path in handler.paths:
            plain = path
            for name, value in things.items():
                plain = plain.replace(f"{{{name}:uuid}}", value).replace(f"{{{name}:int}}", value)
            body = BODIES.get(handler.fn.__name__)
            calls.extend((str(method), plain, body) for method in handler.http_methods)
    return calls


async def test_anonymous__gets_401_everywhere(plane: Plane, member: Caller) -> None:
    things = await _things(plane, member)
    for method, path, body in [*_calls(things), ("GET", "/api/v1/sessions", None)]:
        refused = await plane.http.request(method, path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated"), path


async def test_stranger__is_told_that_there_is_nothing(
    plane: Plane, member: Caller, stranger: Caller
) -> None:
    things = await _things(plane, member)
    unknown = {name: str(uuid4()) for name in things} | {"seq": "1"}
    calls = zip(_calls(things), _calls(unknown), strict=True)
    for (method, path, body), (_, other, _) in calls:
        foreign = await stranger.http.request(method, path, json=body)
        missing = await stranger.http.request(method, other, json=body)
        assert foreign.status_code == 404, (method, path, foreign.text)
        assert foreign.json()["code"] == missing.json()["code"], path
        assert foreign.json()["code"] in set(UNKNOWN.values())


async def test_viewer__reads_and_writes_nothing(
    plane: Plane, member: Caller, viewer: Caller
) -> None:
    things = await _things(plane, member)
    for method, path, body in _calls(things, writes=True):
        refused = await viewer.http.request(method, path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), (path, method)
    for path, body in [
        ("/api/v1/sessions", {}),
        ("/api/v1/runs", {"text": "a"}),
        ("/api/v1/runs", {"text": "a", "session_id": things["session_id"]}),
        ("/api/v1/tasks", {"title": "a"}),
        ("/api/v1/apps", {"name": "a", "agent": "scripted"}),
        ("/api/v1/session-workers/cleanup/idle", None),
        ("/api/v1/session-workers/cleanup/stopped", None),
        ("/api/v1/reconcile/runs", None),
        ("/api/v1/reconcile/sync", None),
    ]:
        assert (await viewer.http.post(path, json=body)).status_code == 403, path
    for path in (f"/api/v1/runs/{things['run_id']}", "/api/v1/tasks", "/api/v1/human-loop/pending"):
        assert (await viewer.http.get(path)).status_code == 200, path


async def test_lists__hold_ones_own_projects_only(
    plane: Plane, member: Caller, stranger: Caller
) -> None:
    things = await _things(plane, member)
    session = await make_session(member.http)
    await insert_worker(plane.connection, session, token="bwt1")
    for path in (
        "/api/v1/sessions",
        "/api/v1/runs",
        "/api/v1/tasks",
        "/api/v1/human-loop/pending",
        "/api/v1/session-workers",
        "/api/v1/jobs",
    ):
        assert len((await member.http.get(path)).json()["items"]) > 0, path
        assert (await stranger.http.get(path)).json()["items"] == [], path
        named = await stranger.http.get(path, params={"project_id": things["project_id"]})
        assert (named.status_code, named.json()["code"]) == (404, "project_not_found")
        narrowed = await stranger.http.get(path, params={"session_id": things["session_id"]})
        assert narrowed.json()["items"] == []


async def test_owner_only__members_and_audit(
    plane: Plane, project_id: UUID, owner: Caller, member: Caller
) -> None:
    path = f"/api/v1/projects/{project_id}/members/{member.user_id}"
    assert (await member.http.put(path, json={"role": "owner"})).status_code == 403
    assert (await member.http.get("/api/v1/audit")).json()["items"] == []
    named = await member.http.get("/api/v1/audit", params={"project_id": str(project_id)})
    assert named.status_code == 403
    assert (await owner.http.put(path, json={"role": "viewer"})).status_code == 204
    refused = await member.http.post("/api/v1/sessions", json={})
    assert refused.status_code == 403  # at once: roles are read on every call
    told = (await owner.http.get("/api/v1/audit")).json()["items"]
    assert [(one["action"], one["target"]) for one in told] == [("member.put", str(member.user_id))]


async def test_identity__spoofed_headers_are_passed_over(plane: Plane, member: Caller) -> None:
    claims = IdentityClaims(
        user_id=UserId(member.user_id), key_id=KeyId(new_id()), kind="user", name="x"
    )
    other_key, _ = generate_signing_key()
    for headers in (
        {"X-User-Id": str(member.user_id)},
        {"X-User-Id": str(member.user_id), "X-User-Role": "owner", "X-Project-Id": "x"},
        {"Authorization": f"Bearer {GATEWAY_KEY}"},
        {IDENTITY_HEADER: "garbage"},
        {IDENTITY_HEADER: sign_identity(other_key, claims, AUDIENCE)},
        {IDENTITY_HEADER: sign_identity(plane.private_key, claims, "executor_manager")},
    ):
        refused = await plane.http.get("/api/v1/sessions", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated"), headers
        assert refused.headers["www-authenticate"] == "Bearer"


async def test_services__have_their_own_routes_only(plane: Plane) -> None:
    introspect, register = "/internal/v1/keys/introspect", "/internal/v1/managers/register"
    body = {"key_hash": "0" * 64}
    for key, path, status in [
        (None, introspect, 401),
        ("bsk_wrong", introspect, 401),
        (MANAGER_KEY, introspect, 403),
        (GATEWAY_KEY, introspect, 200),
        (GATEWAY_KEY, register, 403),
        (MANAGER_KEY, register, 400),
    ]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        answer = await plane.http.post(path, json=body, headers=headers)
        assert answer.status_code == status, (key, path, answer.text)


async def test_worker__is_known_by_its_own_token_only(plane: Plane, member: Caller) -> None:
    mine, theirs = await make_session(member.http), await make_session(member.http)
    worker = await insert_worker(plane.connection, mine, token="bwt-mine")
    other = await insert_worker(plane.connection, theirs, token="bwt-theirs")

    async def ask(worker_id: UUID, token: str) -> int:
        answer = await plane.http.post(
            f"/internal/v1/workers/{worker_id}/restore",
            json={"epoch": 1},
            headers={"Authorization": f"Bearer {token}"},
        )
        return answer.status_code

    assert await ask(worker, "bwt-mine") == 200
    assert await ask(other, "bwt-mine") == 401
    assert await ask(worker, "bwt-wrong") == 401
    assert await ask(uuid4(), "bwt-mine") == 401


async def test_worker__former_token_ends_with_the_first_use_of_the_present_one(
    plane: Plane, member: Caller
) -> None:
    session = await make_session(member.http)
    worker = await insert_worker(plane.connection, session, token="bwt-new")
    await plane.connection.execute(
        "UPDATE session_workers SET former_token_hash = $1", hash_token("bwt-old")
    )

    async def ask(token: str) -> int:
        answer = await plane.http.post(
            f"/internal/v1/workers/{worker}/restore",
            json={"epoch": 1},
            headers={"Authorization": f"Bearer {token}"},
        )
        return answer.status_code

    assert [await ask(token) for token in ("bwt-old", "bwt-new", "bwt-old", "bwt-new")] == [
        200,
        200,
        401,
        200,
    ]


async def test_key__works_through_introspection_until_it_is_revoked(
    plane: Plane, project_id: UUID, member: Caller
) -> None:
    made = await member.http.post(
        "/api/v1/keys", json={"name": "ci", "project_id": str(project_id), "rate_limit": 7}
    )
    assert made.status_code == 201
    key = made.json()["key"]
    assert key.startswith("bk_")
    assert len(key) >= 43

    async def introspect() -> dict[str, Any]:
        answer = await plane.http.post(
            "/internal/v1/keys/introspect",
            json={"key_hash": hash_token(key)},
            headers={"Authorization": f"Bearer {GATEWAY_KEY}"},
        )
        return answer.json()

    found = await introspect()
    assert found["active"] is True
    assert found["rate_limit"] == 7
    assert found["claims"]["user_id"] == str(member.user_id)
    assert found["claims"]["project_id"] == str(project_id)
    listed = (await member.http.get("/api/v1/keys")).json()["items"]
    assert [one["name"] for one in listed] == ["ci"]
    assert key not in str(listed)
    stored = await plane.connection.fetchval("SELECT key_hash FROM api_keys")
    assert stored == hash_token(key)
    for _ in range(2):
        revoked = await member.http.delete(f"/api/v1/keys/{made.json()['id']}")
        assert revoked.status_code == 204
    assert (await introspect())["active"] is False
    audit = await plane.connection.fetch("SELECT action FROM audit ORDER BY id")
    assert [row["action"] for row in audit] == ["key.create", "key.revoke"]


async def test_key__revoked_ends_a_signed_identity_too(plane: Plane, member: Caller) -> None:
    key_id = new_id()
    await plane.connection.execute(
        "INSERT INTO api_keys (id, user_id, name, key_hash, revoked_at)"
        " VALUES ($1, $2, 'x', repeat('0', 64), now())",
        key_id,
        member.user_id,
    )
    claims = IdentityClaims(
        user_id=UserId(member.user_id), key_id=KeyId(key_id), kind="user", name="x"
    )
    identity = sign_identity(plane.private_key, claims, AUDIENCE)
    refused = await plane.http.get("/api/v1/sessions", headers={IDENTITY_HEADER: identity})
    assert refused.status_code == 401


async def test_key__of_others_needs_an_owner(
    plane: Plane, project_id: UUID, owner: Caller, member: Caller, stranger: Caller
) -> None:
    body = {"name": "x", "project_id": str(project_id), "user_id": str(owner.user_id)}
    assert (await member.http.post("/api/v1/keys", json=body)).status_code == 403
    assert (await stranger.http.post("/api/v1/keys", json=body)).status_code == 404
    body["user_id"] = str(member.user_id)
    made = await owner.http.post("/api/v1/keys", json=body)
    assert made.status_code == 201
    body["user_id"] = str(stranger.user_id)
    assert (await owner.http.post("/api/v1/keys", json=body)).status_code == 400
    path = f"/api/v1/keys/{made.json()['id']}"
    assert (await stranger.http.delete(path)).status_code == 404
    assert (await owner.http.delete(path)).status_code == 204


async def test_bound_key__reaches_its_project_only(plane: Plane, project_id: UUID) -> None:
    elsewhere = await plane.project()
    both = await plane.caller((project_id, "owner"), (elsewhere, "owner"))
    session = await make_session(both.http, project_id=str(elsewhere))
    bound = plane.client(both.user_id, bound_to=project_id)
    assert (await bound.get(f"/api/v1/sessions/{session['id']}")).status_code == 404
    assert (await bound.get("/api/v1/sessions")).json()["items"] == []
    made = await bound.post("/api/v1/keys", json={"name": "x"})
    assert made.json()["project_id"] == str(project_id)
    wider = await bound.post("/api/v1/keys", json={"name": "x", "project_id": str(elsewhere)})
    assert wider.status_code == 404
    assert (await bound.post("/api/v1/projects", json={"name": "x"})).status_code == 403


async def test_last_owner__stays(project_id: UUID, owner: Caller, member: Caller) -> None:
    path = f"/api/v1/projects/{project_id}/members"
    own = f"{path}/{owner.user_id}"
    assert (await owner.http.put(own, json={"role": "member"})).status_code == 409
    assert (await owner.http.delete(own)).status_code == 409
    promoted = await owner.http.put(f"{path}/{member.user_id}", json={"role": "owner"})
    assert promoted.status_code == 204
    assert (await owner.http.delete(own)).status_code == 204
    left = (await member.http.get(path)).json()["items"]
    assert [one["user_id"] for one in left] == [str(member.user_id)]
