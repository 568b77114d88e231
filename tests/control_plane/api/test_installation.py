"""Administrators: who they are, what they see of managers, what they order; audited."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from contracts.managers import AgentOffer, Claim, Heartbeat, Register
from control_plane.app import ROUTES
from control_plane.bootstrap import bootstrap
from control_plane.routes.policies import Policy
from tests.factories import insert_worker, make_session, register_manager, send
from tests.fixtures.control_plane import Caller, Plane

MANAGERS = "/api/v1/admin/managers"

BODIES: dict[str, Any] = {
    "patch_manager": {"expected_version": 1, "draining": True},
    "patch_default_limits": {"project": {"max_workers": 5}},
    "patch_limits_of_project": {"max_workers": 5},
    "patch_limits_of_user": {"max_workers": 5},
    "verify_workspaces": {"all": True},
}


@pytest.fixture
async def administrator(plane: Plane) -> Caller:
    """A member of nothing."""
    caller = await plane.caller(name="root")
    await plane.connection.execute(
        "UPDATE users SET administrator = true WHERE id = $1", caller.user_id
    )
    return caller


def calls(things: dict[str, str]) -> list[tuple[str, str, Any]]:
    """Every route for administrators."""
    found: list[tuple[str, str, Any]] = []
    for handler in ROUTES:
        policy: Policy = handler.opt["policy"]
        if policy.caller != "administrator":
            continue
        for path in handler.paths:
            assert path.startswith("/api/v1/admin/")
            plain = path
            for name, value in things.items():
                plain = plain.replace(f"{{{name}:uuid}}", value)
            body = BODIES.get(handler.fn.__name__)
            found += [(str(method), plain, body) for method in handler.http_methods]
    return found


async def test_admin__of_all_callers_only_administrators(
    plane: Plane, project_id: UUID, stranger: Caller
) -> None:
    """Whatever their role in a project; and a key that is bound to one administers nothing."""
    manager = await register_manager(plane.connection, {"scripted": ""})
    people = [await plane.caller((project_id, one)) for one in ("owner", "member", "viewer")]
    things = {
        "manager_id": str(manager),
        "user_id": str(stranger.user_id),
        "project_id": str(project_id),
        "verification_id": str(uuid4()),
    }
    everywhere = calls(things)
    assert len(everywhere) >= 13
    bound = await plane.caller((project_id, "owner"), bound_to=project_id)
    await plane.connection.execute(
        "UPDATE users SET administrator = true WHERE id = $1", bound.user_id
    )
    before = await plane.connection.fetch("SELECT * FROM managers")
    for method, path, body in everywhere:
        anonymous = await plane.http.request(method, path, json=body)
        assert anonymous.status_code == 401, path
        for caller in (*people, stranger, bound):
            refused = await caller.http.request(method, path, json=body)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), path
    assert await plane.connection.fetch("SELECT * FROM managers") == before
    assert await plane.connection.fetchval("SELECT count(*) FROM audit") == 0


async def test_admin__sees_nothing_of_projects(
    plane: Plane, administrator: Caller, member: Caller
) -> None:
    session = await make_session(member.http)
    assert (await administrator.http.get(f"/api/v1/sessions/{session['id']}")).status_code == 404
    assert (await administrator.http.get("/api/v1/sessions")).json()["items"] == []
    path = f"/api/v1/projects/{session['project_id']}/limits"
    assert (await administrator.http.get(path)).status_code == 404


async def test_managers__are_listed_by_pages(plane: Plane, administrator: Caller) -> None:
    made = {await register_manager(plane.connection, {"a": "", "b": "x"}) for _ in range(3)}
    seen: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await administrator.http.get(MANAGERS, params=params)).json()
        seen += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert {UUID(one["id"]) for one in seen} == made
    assert seen[0]["agents"] == [{"agent": "a", "missing": ""}, {"agent": "b", "missing": "x"}]


async def test_manager__as_it_is(plane: Plane, administrator: Caller, member: Caller) -> None:
    session = await make_session(member.http)
    worker = await insert_worker(plane.connection, session, token="bwt1")
    manager = await plane.connection.fetchval("SELECT manager_id FROM session_workers")
    found = await administrator.http.get(f"{MANAGERS}/{manager}")
    assert (found.status_code, found.headers["etag"]) == (200, '"1"')
    one = found.json()
    assert (one["workers"], one["states"]) == (1, {"busy": 1})
    assert (one["max_workers"], one["own_max_workers"], one["wanted_max_workers"]) == (4, 4, None)
    assert (one["warm"], one["draining"]) == (None, False)
    assert 0 <= one["silent_seconds"] < 60
    await plane.connection.execute(
        "UPDATE session_workers SET released_at = now(), state = 'stopped' WHERE id = $1", worker
    )
    one = (await administrator.http.get(f"{MANAGERS}/{manager}")).json()
    assert (one["workers"], one["states"]) == (0, {"stopped": 1})
    missing = await administrator.http.get(f"{MANAGERS}/{uuid4()}")
    assert (missing.status_code, missing.json()["code"]) == (404, "manager_not_found")


async def patched(caller: Caller, manager: UUID, **body: Any) -> httpx.Response:
    return await caller.http.patch(f"{MANAGERS}/{manager}", json=body)


async def test_patch__meets_what_was_read(plane: Plane, administrator: Caller) -> None:
    manager = await register_manager(plane.connection, {"scripted": ""})
    done = await patched(administrator, manager, expected_version=1, max_workers=2, warm=1)
    assert (done.status_code, done.headers["etag"]) == (200, '"2"')
    assert (done.json()["max_workers"], done.json()["warm"]) == (2, 1)
    stale = await patched(administrator, manager, expected_version=1, max_workers=3)
    assert (stale.status_code, stale.json()["code"]) == (409, "version_conflict")
    assert stale.json()["details"]["version"] == 2
    tagged = await administrator.http.patch(
        f"{MANAGERS}/{manager}", json={"max_workers": None}, headers={"If-Match": '"2"'}
    )
    assert (tagged.status_code, tagged.json()["max_workers"]) == (200, 4)
    assert tagged.json()["warm"] == 1
    same = await patched(administrator, manager, expected_version=3, warm=1)
    assert same.json()["version"] == 3


@pytest.mark.parametrize(
    ("body", "headers", "field"),
    [
        ({"draining": True}, {}, "expected_version"),
        ({"draining": True}, {"If-Match": "x"}, "expected_version"),
        ({"draining": True, "expected_version": 1}, {"If-Match": '"2"'}, "expected_version"),
        ({"draining": True, "expected_version": 0}, {}, "expected_version"),
        ({"max_workers": 5, "expected_version": 1}, {}, "max_workers"),
        ({"max_workers": -1, "expected_version": 1}, {}, "max_workers"),
        ({"warm": 1001, "expected_version": 1}, {}, "warm"),
        ({"capacity": 1, "expected_version": 1}, {}, "capacity"),
    ],
)
async def test_patch__that_is_wrong_names_the_field(
    plane: Plane, administrator: Caller, body: Any, headers: dict[str, str], field: str
) -> None:
    manager = await register_manager(plane.connection, {"scripted": ""})
    refused = await administrator.http.patch(f"{MANAGERS}/{manager}", json=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (400, "validation_failed")
    assert field in refused.text
    assert await plane.connection.fetchval("SELECT version FROM managers") == 1


def registration(manager: UUID) -> Register:
    return Register(
        manager_id=manager,
        name="host",
        backend="process",
        max_workers=4,
        agents=[AgentOffer(agent="scripted")],
    )


async def test_orders__come_with_every_answer_and_outlive_a_restart(
    plane: Plane, administrator: Caller
) -> None:
    managers, manager = plane.app.services.managers, uuid4()
    first = await managers.register(registration(manager))
    assert (first.orders.max_workers, first.orders.warm, first.orders.draining) == (
        None,
        None,
        False,
    )
    body = {"max_workers": 3, "warm": 2, "draining": True}
    assert (await patched(administrator, manager, expected_version=1, **body)).status_code == 200
    beat = Heartbeat(incarnation=first.incarnation, workers=[])
    told = (await managers.heartbeat(manager, beat)).orders
    assert (told.max_workers, told.warm, told.draining) == (3, 2, True)
    again = await managers.register(registration(manager))
    assert again.orders == told
    one = (await administrator.http.get(f"{MANAGERS}/{manager}")).json()
    assert (one["draining"], one["wanted_draining"], one["max_workers"]) == (True, True, 3)


async def test_orders__are_followed_by_claims_at_once(
    plane: Plane, administrator: Caller, member: Caller
) -> None:
    """Whatever the manager still believes of itself."""
    services, manager = plane.app.services, uuid4()
    here = await services.managers.register(registration(manager))
    for _ in range(4):
        await send(member.http, (await make_session(member.http))["id"])

    async def claimed() -> int:
        ask = Claim(incarnation=here.incarnation, claim_id=uuid4(), free=10, agents=["scripted"])
        return len(await services.claims.claim_now(manager, ask))

    await patched(administrator, manager, expected_version=1, draining=True)
    assert await claimed() == 0
    await patched(administrator, manager, expected_version=2, draining=False, max_workers=3)
    assert [await claimed(), await claimed()] == [3, 0]
    await patched(administrator, manager, expected_version=3, max_workers=None)
    assert await claimed() == 1


async def test_audit__has_what_was_done_to_the_installation(
    plane: Plane, administrator: Caller, owner: Caller, project_id: UUID
) -> None:
    manager = await register_manager(plane.connection, {"scripted": ""})
    await patched(administrator, manager, expected_version=1, max_workers=1, draining=True)
    path = f"/api/v1/admin/projects/{project_id}/limits"
    await administrator.http.patch(path, json={"max_workers": 7, "max_queued": None})
    told = (await administrator.http.get("/api/v1/admin/audit")).json()["items"]
    assert [(one["action"], one["target"], one["detail"]) for one in told] == [
        (
            "limits.project",
            str(project_id),
            {"subject": "project", "max_workers": 7, "max_queued": None},
        ),
        ("manager.patch", str(manager), {"max_workers": 1, "draining": True}),
    ]
    assert {one["actor"] for one in told} == {str(administrator.user_id)}
    assert {one["project_id"] for one in told} == {None}
    assert (await owner.http.get("/api/v1/audit")).json()["items"] == []


async def test_administrators__are_made_and_unmade_but_the_last(
    plane: Plane, administrator: Caller, member: Caller
) -> None:
    place = "/api/v1/admin/administrators"
    for _ in range(2):
        assert (await administrator.http.put(f"{place}/{member.user_id}")).status_code == 204
    listed = (await member.http.get(place)).json()["items"]
    assert {one["user_id"] for one in listed} == {str(member.user_id), str(administrator.user_id)}
    assert (await member.http.delete(f"{place}/{administrator.user_id}")).status_code == 204
    assert (await administrator.http.get(place)).status_code == 403
    last = await member.http.delete(f"{place}/{member.user_id}")
    assert (last.status_code, last.json()["code"]) == (409, "conflict")
    for method in ("PUT", "DELETE"):
        unknown = await member.http.request(method, f"{place}/{uuid4()}")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "user_not_found")
    actions = await plane.connection.fetch("SELECT action FROM audit ORDER BY id")
    assert [row["action"] for row in actions] == ["administrator.make", "administrator.unmake"]


async def test_bootstrap__makes_an_administrator_once(plane: Plane, clean_database: str) -> None:
    made = [
        msgspec.json.decode(
            await bootstrap(clean_database, project="default", user="admin", key_name="k")
        )
        for _ in range(2)
    ]
    assert made[0]["user_id"] == made[1]["user_id"]
    http = plane.client(UUID(made[0]["user_id"]))
    told = (await http.get("/api/v1/admin/audit")).json()["items"]
    assert [(one["action"], one["detail"]) for one in told] == [
        ("administrator.make", {"by": "bootstrap"})
    ]
