"""Sessions over the API: made, read, listed, renamed, archived."""

from uuid import UUID

from tests.fixtures.control_plane import Caller


async def test_session__is_made_and_read(member: Caller, project_id: UUID) -> None:
    made = await member.http.post("/api/v1/sessions", json={"title": "first"})
    assert made.status_code == 201, made.text
    session = made.json()
    assert made.headers["location"] == f"/api/v1/sessions/{session['id']}"
    assert session["project_id"] == str(project_id)
    assert session["agent"] == "scripted"
    read = await member.http.get(made.headers["location"])
    assert read.status_code == 200
    assert read.json() == session


async def test_message__becomes_a_run(member: Caller) -> None:
    session = (await member.http.post("/api/v1/sessions", json={})).json()
    sent = await member.http.post(
        f"/api/v1/sessions/{session['id']}/messages", json={"text": "hello"}
    )
    assert sent.status_code == 202, sent.text
    run = sent.json()
    assert run["state"] == "queued"
    assert run["place"] == 0
    read = await member.http.get(sent.headers["location"])
    assert read.json() == run
