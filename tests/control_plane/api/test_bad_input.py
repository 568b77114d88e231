"""What bad input gets: 400 naming the field, 413, 415; never a 500, never something accepted."""

from uuid import UUID, uuid4

import pytest

from contracts.runs import Need
from tests.factories import make_session
from tests.fixtures.control_plane import Caller, Plane


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"text": ', "body"),
        (b"", "body"),
        (b"[]", "body"),
        (b'"text"', "body"),
        (b'{"text": 5}', "text"),
        (b'{"text": ""}', "text"),
        (b"{}", "text"),
        (b'{"text": "hi", "state": "succeeded"}', "state"),
        (b'{"text": "hi", "options": {"limits": {"max_failures": 0}}}', "max_failures"),
        (b'{"text": "hi", "options": {"priority": 99}}', "priority"),
        (b'{"text": "hi", "session_id": "not-an-id"}', "session_id"),
        (b'{"text": "\xff"}', "body"),
        (b'{"text": "\\ud800"}', "body"),
        (b'{"text": "hi", "options": {"priority": 1e999}}', "body"),
        (
            b'{"text": "hi", "options": {"provider_options": '
            + b'{"a":' * 5000
            + b"1"
            + b"}" * 5000,
            "body",
        ),
    ],
)
async def test_body__wrong_is_400_naming_the_field(
    plane: Plane, member: Caller, body: bytes, field: str
) -> None:
    refused = await member.http.post(
        "/api/v1/runs", content=body, headers={"content-type": "application/json"}
    )
    assert refused.status_code == 400, refused.text
    problem = refused.json()
    assert problem["code"] == "validation_failed"
    assert field in problem["details"]["field"] or field in problem["detail"]
    assert await plane.connection.fetchval("SELECT count(*) FROM runs") == 0


async def test_body__with_nul_is_400(plane: Plane, member: Caller) -> None:
    """Postgres has no NUL in text."""
    session = await make_session(member.http)
    for path, body in [
        (f"/api/v1/sessions/{session['id']}/messages", {"text": "a\x00b"}),
        ("/api/v1/sessions", {"title": "a\x00b"}),
        ("/api/v1/tasks", {"title": "a\x00b"}),
        ("/api/v1/sessions", {"provider_options": {"a": "\x00"}}),
    ]:
        refused = await member.http.post(path, json=body)
        assert refused.status_code == 400, (path, refused.text)
        assert refused.json()["code"] == "validation_failed"


async def test_body__too_large_is_413(plane: Plane, member: Caller) -> None:
    refused = await member.http.post("/api/v1/runs", json={"text": "x" * (1024 * 1024 + 1)})
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


async def test_body__of_another_type_is_415(member: Caller) -> None:
    refused = await member.http.post(
        "/api/v1/runs", content=b"text=hello", headers={"content-type": "text/plain"}
    )
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")


async def test_mass_assignment__is_refused_on_every_create_and_patch(member: Caller) -> None:
    session = await make_session(member.http)
    task = (await member.http.post("/api/v1/tasks", json={"title": "t"})).json()
    for method, path, body in [
        ("POST", "/api/v1/sessions", {"id": str(uuid4())}),
        ("PATCH", f"/api/v1/sessions/{session['id']}", {"epoch": 7}),
        ("POST", f"/api/v1/sessions/{session['id']}/messages", {"text": "a", "attempt": 9}),
        ("POST", "/api/v1/tasks", {"title": "a", "state": "done"}),
        ("PATCH", f"/api/v1/tasks/{task['id']}", {"expected_version": 1, "project_id": "x"}),
        ("POST", "/api/v1/keys", {"name": "a", "key_hash": "0" * 64}),
        ("POST", "/api/v1/projects", {"name": "a", "role": "owner"}),
    ]:
        refused = await member.http.request(method, path, json=body)
        assert refused.status_code == 400, (path, refused.text)
        assert refused.json()["details"]["expected"] == "no such field"


async def test_path__that_is_no_id_is_404(member: Caller) -> None:
    for path in ("/api/v1/sessions/garbage", "/api/v1/runs/1", "/api/v1/nothing"):
        refused = await member.http.get(path)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


async def test_query__wrong_is_400_naming_the_field(member: Caller) -> None:
    for path, params, field in [
        ("/api/v1/runs", {"state": "dancing"}, "state"),
        ("/api/v1/runs", {"session_id": "x"}, "session_id"),
        ("/api/v1/sessions", {"state": "x"}, "state"),
        ("/api/v1/tasks", {"state": "x"}, "state"),
    ]:
        refused = await member.http.get(path, params=params)
        assert refused.status_code == 400, (path, refused.text)
        assert field in refused.json()["details"]["field"]


async def test_method__not_allowed_is_405(member: Caller) -> None:
    refused = await member.http.delete("/api/v1/runs")
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")


async def test_task__of_another_project_is_404(member: Caller, stranger: Caller) -> None:
    task = (await stranger.http.post("/api/v1/tasks", json={"title": "theirs"})).json()
    refused = await member.http.post("/api/v1/runs", json={"text": "a", "task_id": task["id"]})
    assert (refused.status_code, refused.json()["code"]) == (404, "task_not_found")


async def test_project__that_is_unknown_is_404(member: Caller, project_id: UUID) -> None:
    for method, path in [("POST", "/api/v1/sessions"), ("POST", "/api/v1/tasks")]:
        body = {"project_id": str(uuid4()), "title": "a"}
        refused = await member.http.request(method, path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (404, "project_not_found")


async def test_body__with_a_number_beyond_any_bound_is_no_500(member: Caller) -> None:
    body = b'{"provider_options": {"a": ' + b"9" * 400 + b"}}"
    answer = await member.http.post(
        "/api/v1/sessions", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (201, 400), answer.text


async def test_need__that_nobody_could_prove_is_refused_with_those_that_one_could(
    plane: Plane, member: Caller
) -> None:
    """Wherever options are taken."""
    session = await make_session(member.http)
    task = (await member.http.post("/api/v1/tasks", json={"title": "t"})).json()
    options = {"needs": ["mcp", "plan"]}
    for path, body in [
        ("/api/v1/runs", {"text": "a"}),
        (f"/api/v1/sessions/{session['id']}/messages", {"text": "a"}),
        (f"/api/v1/tasks/{task['id']}/run", {}),
    ]:
        refused = await member.http.post(path, json={**body, "options": options})
        assert refused.status_code == 400, (path, refused.text)
        assert refused.json()["details"] == {
            "field": "options.needs[1]",
            "expected": "one of resume, permissions, modes, images, mcp",
        }
    assert await plane.connection.fetchval("SELECT count(*) FROM runs") == 0
    every = {"needs": [need.value for need in Need]}
    taken = await member.http.post("/api/v1/runs", json={"text": "a", "options": every})
    assert taken.status_code == 202, taken.text
