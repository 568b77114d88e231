"""What a session's container may use: its own limits, else its app's, else the installation's."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.managers import Claim
from tests.factories import insert_worker, make_session, register_manager, send
from tests.fixtures.control_plane import Caller, Plane

UNSET = {"cpus": None, "memory_mib": None, "disk_mib": None, "pids": None}


async def make_app(owner: Caller, **limits: Any) -> dict[str, Any]:
    body = {"name": "a", "agent": "scripted", "worker_limits": limits or None}
    made = await owner.http.post("/api/v1/apps", json=body)
    assert made.status_code == 201, made.text
    return made.json()


async def granted(plane: Plane, session: dict[str, Any]) -> dict[str, Any]:
    """The limits that a manager is given with the session's next run."""
    manager = await register_manager(plane.connection, {"scripted": ""})
    claim = Claim(incarnation=1, claim_id=uuid4(), free=5, agents=["scripted"])
    claims = plane.app.services.claims
    (run,) = await claims.claim_now(manager, claim)
    assert run.worker.session_id == UUID(session["id"])
    (again,) = await claims.claim_now(manager, claim)
    assert again.worker.limits == run.worker.limits, "a claim that is repeated"
    limits = run.worker.limits
    return {name: getattr(limits, name) for name in UNSET}


async def test_settings__the_sessions_own_come_before_its_apps(plane: Plane, owner: Caller) -> None:
    app = await make_app(owner, cpus=4, memory_mib=8192)
    session = await make_session(owner.http, app_id=app["id"])
    path = f"/api/v1/session-workers/{session['id']}"
    first = (await owner.http.get(f"{path}/settings")).json()
    assert first == {
        "session_id": session["id"],
        "limits": UNSET | {"cpus": 4, "memory_mib": 8192},
        "own": UNSET,
        "keep_warm": False,
        "applies": "now",
    }
    patched = await owner.http.patch(path, json={"memory_mib": 1024, "pids": 100})
    assert patched.status_code == 200
    assert patched.json()["own"] == UNSET | {"memory_mib": 1024, "pids": 100}
    wanted = UNSET | {"cpus": 4, "memory_mib": 1024, "pids": 100}
    assert patched.json()["limits"] == wanted
    back = (await owner.http.patch(path, json={"pids": None})).json()
    assert back["own"] == UNSET | {"memory_mib": 1024}
    await send(owner.http, session["id"])
    assert await granted(plane, session) == UNSET | {"cpus": 4, "memory_mib": 1024}


async def test_settings__of_a_container_that_is_there_are_for_the_next(
    plane: Plane, member: Caller
) -> None:
    session = await make_session(member.http)
    path = f"/api/v1/session-workers/{session['id']}"
    await insert_worker(plane.connection, session, token="bwt1")
    assert (await member.http.patch(path, json={"keep_warm": True})).json()["applies"] == "now"
    later = (await member.http.patch(path, json={"cpus": 0.5})).json()
    assert (later["applies"], later["keep_warm"]) == ("next_worker", True)
    assert (await member.http.get(f"{path}/settings")).json() == later
    assert (await member.http.patch(path, json={"cpus": None})).json()["applies"] == "now"


async def test_settings__a_change_is_audited_and_nothing_is_not(
    plane: Plane, member: Caller, owner: Caller
) -> None:
    session = await make_session(member.http)
    path = f"/api/v1/session-workers/{session['id']}"
    for body in ({}, {"cpus": 2}, {"cpus": 2}, {"cpus": None}):
        assert (await member.http.patch(path, json=body)).status_code == 200
    told = (await owner.http.get("/api/v1/audit")).json()["items"]
    assert [(one["action"], one["target"], one["detail"]) for one in told] == [
        ("session_worker.patch", session["id"], {"cpus": None}),
        ("session_worker.patch", session["id"], {"cpus": 2}),
    ]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("cpus", 0.01, "a number from 0.1 to 256, or null"),
        ("memory_mib", 1, "a whole number from 64 to 4194304, or null"),
        ("memory_mib", "2g", "a whole number from 64 to 4194304, or null"),
        ("disk_mib", 10**9, "a whole number from 16 to 67108864, or null"),
        ("pids", 1.5, "a whole number from 16 to 1000000, or null"),
        ("gpus", 1, "no such field"),
    ],
)
async def test_settings__what_is_wrong_is_named_with_its_range(
    member: Caller, owner: Caller, field: str, value: object, expected: str
) -> None:
    session = await make_session(member.http)
    path = f"/api/v1/session-workers/{session['id']}"
    refused = await member.http.patch(path, json={field: value})
    assert (refused.status_code, refused.json()["code"]) == (400, "validation_failed")
    assert refused.json()["details"] == {"field": field, "expected": expected}
    body = {"name": "x", "agent": "scripted", "worker_limits": {field: value}}
    of_app = await owner.http.post("/api/v1/apps", json=body)
    assert of_app.json()["details"]["expected"] == expected
    assert of_app.json()["details"]["field"] == f"worker_limits.{field}"


async def test_app__is_changed_by_its_owner(
    plane: Plane, owner: Caller, member: Caller, stranger: Caller
) -> None:
    app = await make_app(owner, cpus=4)
    path = f"/api/v1/apps/{app['id']}"
    assert (await member.http.patch(path, json={})).status_code == 403
    unknown = await stranger.http.patch(path, json={})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "app_not_found")
    assert (await owner.http.patch(path, json={})).json() == app
    body = {"agent": "other", "limits": {"max_failures": 2}, "worker_limits": {"pids": 64}}
    changed = (await owner.http.patch(path, json=body)).json()
    assert (changed["name"], changed["agent"], changed["limits"]["max_failures"]) == (
        "a",
        "other",
        2,
    )
    assert changed["worker_limits"] == UNSET | {"pids": 64}
    assert (await owner.http.get("/api/v1/apps")).json()["items"] == [changed]
    cleared = await owner.http.patch(path, json={"limits": None, "worker_limits": None})
    assert (cleared.json()["limits"], cleared.json()["worker_limits"]) == (None, None)
    await owner.http.post("/api/v1/apps", json={"name": "b", "agent": "scripted"})
    taken = await owner.http.patch(path, json={"name": "b"})
    assert (taken.status_code, taken.json()["details"]["field"]) == (409, "name")
    actions = await plane.connection.fetch("SELECT action FROM audit ORDER BY id")
    assert [row["action"] for row in actions] == ["app.patch", "app.patch"]
