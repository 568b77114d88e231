"""Sessions over the API: made, read, listed, renamed, archived."""

from uuid import UUID, uuid4

from tests.factories import end_run, make_session, register_manager, send
from tests.fixtures.control_plane import Caller, Plane


async def test_session__is_made_and_read(member: Caller, project_id: UUID) -> None:
    made = await member.http.post("/api/v1/sessions", json={"title": "first"})
    assert made.status_code == 201, made.text
    session = made.json()
    assert made.headers["location"] == f"/api/v1/sessions/{session['id']}"
    assert session["project_id"] == str(project_id)
    assert session["agent"] == "scripted"
    assert session["last_seq"] == 1
    read = await member.http.get(made.headers["location"])
    assert read.json() == session


async def test_session__is_told_in_its_log_and_to_the_project(
    plane: Plane, member: Caller, project_id: UUID
) -> None:
    session = await make_session(member.http, title="first")
    log = await plane.connection.fetch(
        "SELECT kind FROM events WHERE stream_id = $1", UUID(session["id"])
    )
    assert [row["kind"] for row in log] == ["session.created"]
    await plane.app.services.projector.run_once()
    told = await plane.connection.fetch("SELECT kind FROM events WHERE stream_id = $1", project_id)
    assert [row["kind"] for row in told] == ["session.created"]


async def test_list__pages_by_cursor_and_filters(member: Caller) -> None:
    made = [await make_session(member.http, title=str(number)) for number in range(5)]
    first = (await member.http.get("/api/v1/sessions", params={"limit": 3})).json()
    rest = await member.http.get(
        "/api/v1/sessions", params={"limit": 3, "cursor": first["next_cursor"]}
    )
    titles = [one["title"] for one in first["items"] + rest.json()["items"]]
    assert titles == ["4", "3", "2", "1", "0"]
    assert rest.json()["next_cursor"] is None
    archived = await member.http.patch(f"/api/v1/sessions/{made[2]['id']}", json={"archived": True})
    assert archived.json()["state"] == "archived"
    listed = (await member.http.get("/api/v1/sessions", params={"state": "archived"})).json()
    assert [one["id"] for one in listed["items"]] == [made[2]["id"]]


async def test_list__refuses_a_cursor_of_another_list(member: Caller) -> None:
    for _ in range(2):
        await make_session(member.http)
    first = (await member.http.get("/api/v1/sessions", params={"limit": 1})).json()
    for path, cursor in [
        ("/api/v1/runs", first["next_cursor"]),
        ("/api/v1/sessions", "garbage!"),
        ("/api/v1/sessions", ""),
        ("/api/v1/sessions", "A" * 32),
    ]:
        refused = await member.http.get(path, params={"cursor": cursor})
        assert refused.status_code == 400, cursor
        assert refused.json()["code"] == "bad_cursor"


async def test_list__refuses_bad_limits_naming_the_field(member: Caller) -> None:
    for limit in ("0", "-1", "201", "many", "1e9"):
        refused = await member.http.get("/api/v1/sessions", params={"limit": limit})
        assert refused.status_code == 400, limit
        assert refused.json()["details"]["field"] == "limit"


async def test_session__is_renamed(member: Caller) -> None:
    session = await make_session(member.http, title="old")
    path = f"/api/v1/sessions/{session['id']}"
    renamed = await member.http.patch(path, json={"title": "new"})
    assert renamed.json()["title"] == "new"
    assert renamed.json()["last_seq"] == 2
    again = await member.http.patch(path, json={"title": "new"})
    assert again.json()["last_seq"] == 2  # nothing changed, nothing is told


async def test_archive__waits_for_the_line_to_be_empty(plane: Plane, member: Caller) -> None:
    session = await make_session(member.http)
    run = await send(member.http, session["id"])
    path = f"/api/v1/sessions/{session['id']}"
    busy = await member.http.patch(path, json={"archived": True})
    assert (busy.status_code, busy.json()["code"]) == (409, "session_busy")
    await end_run(plane.connection, run["id"])
    assert (await member.http.patch(path, json={"archived": True})).status_code == 200
    refused = await member.http.post(f"{path}/messages", json={"text": "hello"})
    assert (refused.status_code, refused.json()["code"]) == (409, "session_archived")
    assert (await member.http.patch(path, json={"archived": False})).json()["state"] == "active"
    await send(member.http, session["id"])


async def test_unknown_session__is_404_with_its_code(member: Caller) -> None:
    for method, suffix in [("GET", ""), ("POST", "/messages"), ("GET", "/snapshots")]:
        answer = await member.http.request(
            method, f"/api/v1/sessions/{uuid4()}{suffix}", json={"text": "hello"}
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")


async def test_agent__unknown_is_404_listing_the_known(plane: Plane, member: Caller) -> None:
    await register_manager(plane.connection, {"scripted": "", "codex": ""})
    refused = await member.http.post("/api/v1/sessions", json={"agent": "nobody"})
    assert (refused.status_code, refused.json()["code"]) == (404, "agent_not_found")
    assert refused.json()["details"]["known"] == ["codex", "scripted"]


async def test_agent__missing_everywhere_is_503_saying_how_to_get_it(
    plane: Plane, member: Caller
) -> None:
    session = await make_session(member.http, agent="codex")  # no manager yet: it waits
    await register_manager(plane.connection, {"scripted": "", "codex": "install codex: npm i"})
    refused = await member.http.post(
        f"/api/v1/sessions/{session['id']}/messages", json={"text": "hello"}
    )
    assert (refused.status_code, refused.json()["code"]) == (503, "dependency_unavailable")
    assert refused.json()["details"]["missing"] == [
        {"what": "agent codex", "how": "install codex: npm i"}
    ]
    assert await plane.connection.fetchval("SELECT count(*) FROM runs") == 0
    await register_manager(plane.connection, {"codex": ""})
    await send(member.http, session["id"])


async def test_project__left_out_is_the_only_one_else_asked_for(plane: Plane) -> None:
    one, two = await plane.project("one"), await plane.project("two")
    both = await plane.caller((one, "member"), (two, "viewer"))
    refused = await both.http.post("/api/v1/sessions", json={})
    assert refused.status_code == 400
    assert refused.json()["details"]["field"] == "project_id"
    bound = plane.client(both.user_id, bound_to=one)
    assert (await make_session(bound))["project_id"] == str(one)
    elsewhere = await bound.post("/api/v1/sessions", json={"project_id": str(two)})
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (404, "project_not_found")


async def test_app__gives_the_agent_and_must_be_the_projects(
    owner: Caller, stranger: Caller
) -> None:
    app = await owner.http.post("/api/v1/apps", json={"name": "review", "agent": "codex"})
    assert app.status_code == 201, app.text
    session = await make_session(owner.http, app_id=app.json()["id"])
    assert session["agent"] == "codex"
    taken = await owner.http.post("/api/v1/apps", json={"name": "review", "agent": "codex"})
    assert (taken.status_code, taken.json()["code"]) == (409, "conflict")
    foreign = await stranger.http.post("/api/v1/sessions", json={"app_id": app.json()["id"]})
    assert (foreign.status_code, foreign.json()["code"]) == (404, "app_not_found")
