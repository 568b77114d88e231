"""Tickets for a container's log: for members, of the newest worker, whatever became of it."""

from typing import Any

import httpx
import pytest

from chassis.auth import IDENTITY_HEADER
from tests.factories import insert_worker, make_session
from tests.fixtures.control_plane import GATEWAY_KEY, MANAGER_KEY, Caller, Plane

AS_GATEWAY = {"Authorization": f"Bearer {GATEWAY_KEY}"}
AS_MANAGER = {"Authorization": f"Bearer {MANAGER_KEY}"}


@pytest.fixture
async def session(plane: Plane, member: Caller) -> dict[str, Any]:
    made = await make_session(member.http)
    await insert_worker(plane.connection, made, token="bwt1")
    await plane.connection.execute("UPDATE managers SET url = 'http://10.0.0.7:8020'")
    return made


async def asked(
    plane: Plane, caller: Caller, session: dict[str, Any], audience: str = "worker.logs"
) -> httpx.Response:
    headers = AS_GATEWAY | {IDENTITY_HEADER: plane.identity(caller.user_id)}
    body = {"session_id": session["id"], "audience": audience}
    return await plane.http.post("/internal/v1/tickets", json=body, headers=headers)


async def redeemed(plane: Plane, ticket: dict[str, Any]) -> int:
    manager = await plane.connection.fetchval(
        "SELECT manager_id::text FROM session_workers WHERE id::text = $1", ticket["worker_id"]
    )
    answer = await plane.http.post(
        f"/internal/v1/managers/{manager}/tickets/redeem",
        json={"incarnation": 1, "ticket": ticket["ticket"]},
        headers=AS_MANAGER,
    )
    return answer.status_code


async def test_log__is_for_who_may_write(
    plane: Plane, member: Caller, viewer: Caller, stranger: Caller, session: dict[str, Any]
) -> None:
    statuses = [
        (await asked(plane, one, session)).status_code for one in (member, viewer, stranger)
    ]
    assert statuses == [200, 403, 404]


@pytest.mark.parametrize(
    "became",
    [
        "UPDATE session_workers SET state = 'creating'",
        "UPDATE session_workers SET superseded_at = now(), state = 'failed'",
        "UPDATE session_workers SET released_at = now(), state = 'stopped'",
    ],
)
async def test_log__of_one_that_does_not_run(
    plane: Plane, member: Caller, session: dict[str, Any], became: str
) -> None:
    """Where its files are not to be had."""
    await plane.connection.execute(became)
    assert (await asked(plane, member, session, "workspace.read")).status_code == 409
    ticket = (await asked(plane, member, session)).json()
    assert await redeemed(plane, ticket) == 200
    assert await redeemed(plane, ticket) == 403, "once"


async def test_log__ends_with_the_container(
    plane: Plane, member: Caller, session: dict[str, Any]
) -> None:
    ticket = (await asked(plane, member, session)).json()
    await plane.connection.execute(
        "UPDATE session_workers SET superseded_at = now(), removed_at = now()"
    )
    assert await redeemed(plane, ticket) == 403
    gone = await asked(plane, member, session)
    assert (gone.status_code, gone.json()["code"]) == (409, "worker_not_running")
