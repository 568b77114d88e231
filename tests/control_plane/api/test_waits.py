"""`Prefer: wait` where too much waits already: told to come back, and nothing was accepted."""

from collections.abc import AsyncGenerator

import pytest

from chassis.auth import generate_signing_key
from control_plane.app import build_app
from tests.factories import make_session, send
from tests.fixtures.control_plane import Caller, Plane, plane_settings
from tests.fixtures.object_store import StoreServer
from tests.fixtures.serving import serving


@pytest.fixture
async def crowded(
    plane: Plane, clean_database: str, object_store_server: StoreServer
) -> AsyncGenerator[Caller]:
    """A member where one run may be queued, and two are: nobody takes any."""
    private, public = generate_signing_key()
    settings = plane_settings(clean_database, object_store_server, public, wait_queue_limit=1)
    app = build_app(settings)
    async with serving(app, on_stop=app.stop) as url:
        front = Plane(url, app, plane.connection, private, plane.http)
        member = await front.caller((await front.project(), "member"))
        for _ in range(2):
            await send(member.http, (await make_session(member.http))["id"])
        try:
            yield member
        finally:
            for client in front.clients:
                await client.aclose()


async def test_wait__beyond_the_limit_is_told_when_to_come_back(crowded: Caller) -> None:
    session = await make_session(crowded.http)
    path = f"/api/v1/sessions/{session['id']}/messages"
    body, wait = {"text": "hello"}, {"Prefer": "wait=5"}
    refused = await crowded.http.post(path, json=body, headers=wait)
    assert (refused.status_code, refused.json()["code"]) == (503, "dependency_unavailable")
    assert 5 <= int(refused.headers["Retry-After"]) <= 10
    assert "more than 1 runs wait" in refused.json()["details"]["missing"][0]["how"]
    started = await crowded.http.post("/api/v1/runs", json=body, headers=wait)
    assert started.status_code == 503
    listed = await crowded.http.get("/api/v1/runs", params={"session_id": session["id"]})
    assert listed.json()["items"] == []
    # who does not wait is accepted, and so is who wants to see how it goes
    assert (await crowded.http.post(path, json=body)).status_code == 202


async def test_wait__of_a_repeated_request_gets_its_first_answer(crowded: Caller) -> None:
    session = await make_session(crowded.http)
    path = f"/api/v1/sessions/{session['id']}/messages"
    body, key = {"text": "hello"}, {"Idempotency-Key": "once"}
    first = await crowded.http.post(path, json=body, headers=key)
    again = await crowded.http.post(path, json=body, headers={**key, "Prefer": "wait=1"})
    assert again.status_code == 202
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    # it was waited for in vain: it says when to look again
    assert again.headers["Retry-After"] == "5"
