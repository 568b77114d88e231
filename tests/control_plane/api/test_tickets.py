"""Tickets over the internal API: a gateway asks in somebody's name, the owning manager redeems."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from chassis.auth import IDENTITY_HEADER
from tests.factories import insert_worker, make_session
from tests.fixtures.control_plane import GATEWAY_KEY, MANAGER_KEY, Caller, Plane

AS_GATEWAY = {"Authorization": f"Bearer {GATEWAY_KEY}"}
AS_MANAGER = {"Authorization": f"Bearer {MANAGER_KEY}"}
URL = "http://10.0.0.7:8020"


@pytest.fixture
async def session(plane: Plane, member: Caller) -> dict[str, Any]:
    """With a running worker."""
    made = await make_session(member.http)
    await insert_worker(plane.connection, made, token="bwt1")
    await plane.connection.execute("UPDATE managers SET url = $1", URL)
    return made


async def ask(
    plane: Plane, caller: Caller | None, session_id: str, headers: dict[str, str] = AS_GATEWAY
) -> httpx.Response:
    identity = {} if caller is None else {IDENTITY_HEADER: plane.identity(caller.user_id)}
    body = {"session_id": session_id, "audience": "workspace.read"}
    return await plane.http.post("/internal/v1/tickets", json=body, headers=headers | identity)


async def test_ticket__from_the_asking_to_the_redemption(
    plane: Plane, viewer: Caller, session: dict[str, Any]
) -> None:
    asked = await ask(plane, viewer, session["id"])
    assert asked.status_code == 200, asked.text
    ticket = asked.json()
    assert (ticket["manager_url"], ticket["expires_in_seconds"]) == (URL, 60)
    manager = await plane.connection.fetchval("SELECT id FROM managers")
    path = f"/internal/v1/managers/{manager}/tickets/redeem"
    body = {"incarnation": 1, "ticket": ticket["ticket"]}
    assert (await plane.http.post(path, json=body, headers=AS_GATEWAY)).status_code == 403
    redeemed = await plane.http.post(path, json=body, headers=AS_MANAGER)
    assert redeemed.json() == {
        "worker_id": ticket["worker_id"],
        "epoch": 1,
        "audience": "workspace.read",
        "withheld": [".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx"],
    }
    again = await plane.http.post(path, json=body, headers=AS_MANAGER)
    assert (again.status_code, again.json()["code"]) == (403, "ticket_invalid")


async def test_ask__needs_the_gateway_and_a_caller_who_may_read(
    plane: Plane, member: Caller, stranger: Caller, session: dict[str, Any]
) -> None:
    for caller, headers, status, code in [
        (member, {}, 401, "unauthenticated"),
        (member, AS_MANAGER, 403, "forbidden"),
        (None, AS_GATEWAY, 401, "unauthenticated"),
        (stranger, AS_GATEWAY, 404, "session_not_found"),
    ]:
        refused = await ask(plane, caller, session["id"], headers)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    missing = await ask(plane, member, str(uuid4()))
    assert (missing.status_code, missing.json()["code"]) == (404, "session_not_found")
    assert await plane.connection.fetchval("SELECT count(*) FROM tickets") == 0


@pytest.mark.parametrize(
    ("audience", "viewers"),
    [
        ("workspace.read", 200),
        ("workspace.write", 403),
        ("worker.logs", 403),
        ("terminal.read", 200),
        ("terminal.write", 403),
        ("terminal.exec", 403),
    ],
)
async def test_ask__for_what_the_role_allows(
    *,
    plane: Plane,
    owner: Caller,
    member: Caller,
    viewer: Caller,
    stranger: Caller,
    session: dict[str, Any],
    audience: str,
    viewers: int,
) -> None:
    statuses: list[int] = []
    for caller in (owner, member, viewer, stranger):
        headers = AS_GATEWAY | {IDENTITY_HEADER: plane.identity(caller.user_id)}
        body = {"session_id": session["id"], "audience": audience}
        asked = await plane.http.post("/internal/v1/tickets", json=body, headers=headers)
        statuses.append(asked.status_code)
    assert statuses == [200, 200, viewers, 404]


async def test_ask__for_all_that_is_in_a_directory_is_told_of_who_may_open_it(
    plane: Plane, owner: Caller, member: Caller, session: dict[str, Any]
) -> None:
    for caller, beneath in ((member, True), (owner, False), (owner, True)):
        headers = AS_GATEWAY | {IDENTITY_HEADER: plane.identity(caller.user_id)}
        body = {"session_id": session["id"], "audience": "workspace.read", "beneath": beneath}
        body |= {"operation": "download", "paths": ["src"]}
        asked = await plane.http.post("/internal/v1/tickets", json=body, headers=headers)
        assert asked.status_code == 200, asked.text
    told = await plane.connection.fetch(
        "SELECT actor, detail->'paths'->>0 AS path FROM audit WHERE action = 'workspace.sensitive'"
    )
    assert [(row["actor"], row["path"]) for row in told] == [(owner.user_id, "src")]


async def test_check__of_an_open_terminal(
    plane: Plane, member: Caller, viewer: Caller, stranger: Caller, session: dict[str, Any]
) -> None:
    worker = str(await plane.connection.fetchval("SELECT id FROM session_workers"))

    async def check(caller: Caller, worker_id: str, *, writes: bool) -> tuple[int, str]:
        headers = AS_GATEWAY | {IDENTITY_HEADER: plane.identity(caller.user_id)}
        body = {"session_id": session["id"], "worker_id": worker_id, "writes": writes}
        answer = await plane.http.post("/internal/v1/tickets/check", json=body, headers=headers)
        return answer.status_code, answer.json().get("code", "")

    assert await check(member, worker, writes=True) == (200, "")
    assert await check(viewer, worker, writes=False) == (200, "")
    assert await check(viewer, worker, writes=True) == (403, "forbidden")
    assert await check(stranger, worker, writes=False) == (404, "session_not_found")
    assert await check(member, str(uuid4()), writes=True) == (409, "stale_epoch")
    await plane.connection.execute("UPDATE session_workers SET state = 'stopped'")
    assert await check(member, worker, writes=True) == (409, "worker_not_running")


async def test_ask__without_a_worker_or_an_address_is_409(
    plane: Plane, member: Caller, session: dict[str, Any]
) -> None:
    empty = await make_session(member.http)
    refused = await ask(plane, member, empty["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "worker_not_running")
    await plane.connection.execute("UPDATE managers SET url = ''")
    refused = await ask(plane, member, session["id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "worker_unreachable")


async def test_register__address_and_isolation_are_kept_and_shown(
    plane: Plane, member: Caller
) -> None:
    manager_id = uuid4()
    body = {
        "manager_id": str(manager_id),
        "name": "host",
        "backend": "docker",
        "max_workers": 3,
        "agents": [],
        "url": URL,
        "isolation": {"network": True, "disk_quota": False},
    }
    answer = await plane.http.post("/internal/v1/managers/register", json=body, headers=AS_MANAGER)
    assert answer.status_code == 200
    (shown,) = (await member.http.get("/api/v1/system/worker")).json()["managers"]
    assert UUID(shown["id"]) == manager_id
    assert (shown["url"], shown["isolation"]) == (URL, body["isolation"])


async def test_ask__for_a_sensitive_name_is_for_owners_and_told(
    plane: Plane, owner: Caller, member: Caller, session: dict[str, Any]
) -> None:
    async def ask_for(caller: Caller, *paths: str) -> httpx.Response:
        headers = AS_GATEWAY | {IDENTITY_HEADER: plane.identity(caller.user_id)}
        body = {"session_id": session["id"], "audience": "workspace.read", "operation": "file"}
        return await plane.http.post(
            "/internal/v1/tickets", json={**body, "paths": list(paths)}, headers=headers
        )

    assert (await ask_for(member, "src/main.py")).status_code == 200
    for path in (".env", "a/server.KEY", "%2eenv/inside"):
        refused = await ask_for(member, "plain", path)
        assert (refused.status_code, refused.json()["code"]) == (403, "sensitive_path")
        assert refused.json()["details"]["pattern"]
    ticket = (await ask_for(owner, ".env")).json()
    manager = await plane.connection.fetchval("SELECT id FROM managers")
    redeemed = await plane.http.post(
        f"/internal/v1/managers/{manager}/tickets/redeem",
        json={"incarnation": 1, "ticket": ticket["ticket"]},
        headers=AS_MANAGER,
    )
    assert (redeemed.json()["audience"], redeemed.json()["withheld"]) == ("workspace.read", [])
    rows = await plane.connection.fetch(
        "SELECT action, detail->'paths'->>-1 AS path FROM audit"
        " WHERE action LIKE 'workspace.%' OR action = 'ticket.issue' ORDER BY id"
    )
    assert [tuple(row) for row in rows] == [
        ("ticket.issue", "src/main.py"),
        ("workspace.sensitive_refused", ".env"),
        ("workspace.sensitive_refused", "a/server.KEY"),
        ("workspace.sensitive_refused", ".env/inside"),
        ("ticket.issue", ".env"),
        ("workspace.sensitive", ".env"),
    ]


async def test_ask__for_names_in_a_sensitive_directory_is_for_all(
    plane: Plane, owner: Caller, member: Caller, session: dict[str, Any]
) -> None:
    """Names are listed; what holds them withholds their content, as the redeemed ticket says."""

    async def ask_for(caller: Caller, operation: str, *, beneath: bool = False) -> httpx.Response:
        headers = AS_GATEWAY | {IDENTITY_HEADER: plane.identity(caller.user_id)}
        body = {
            "session_id": session["id"], "audience": "workspace.read", "operation": operation,
            "paths": [".env"], "beneath": beneath,
        }  # fmt: skip
        return await plane.http.post("/internal/v1/tickets", json=body, headers=headers)

    manager = await plane.connection.fetchval("SELECT id FROM managers")
    for operation, beneath in (("tree", False), ("search", False), ("search", True)):
        answer = await ask_for(member, operation, beneath=beneath)
        assert answer.status_code == 200, answer.text
        redeemed = await plane.http.post(
            f"/internal/v1/managers/{manager}/tickets/redeem",
            json={"incarnation": 1, "ticket": answer.json()["ticket"]},
            headers=AS_MANAGER,
        )
        assert ".env" in redeemed.json()["withheld"]
    for operation in ("file", "download", "delete", "mkdir", ""):
        assert (await ask_for(member, operation)).status_code == 403
    assert (await ask_for(owner, "tree")).status_code == 200
    assert (await ask_for(owner, "search", beneath=True)).status_code == 200
    told = await plane.connection.fetch(
        "SELECT actor, detail->>'operation' AS operation FROM audit"
        " WHERE action = 'workspace.sensitive'"
    )
    assert [tuple(row) for row in told] == [(owner.user_id, "search")]


async def test_ask__to_change_files_without_a_worker_says_what_to_do(
    plane: Plane, member: Caller
) -> None:
    empty = await make_session(member.http)
    headers = AS_GATEWAY | {IDENTITY_HEADER: plane.identity(member.user_id)}
    body = {"session_id": empty["id"], "audience": "workspace.write"}
    refused = await plane.http.post("/internal/v1/tickets", json=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "workspace_read_only")
    assert "send a message" in refused.json()["detail"]
