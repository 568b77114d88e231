"""Credentials of a project for git hosts: for owners, and never shown again."""

import sys
from typing import Any

import msgspec
import pytest

from chassis.logs import configure_logging
from control_plane.app import build_app
from tests.control_plane.git.repositories import HOST, TOKEN, GitHost
from tests.control_plane.git.working import Worker, repository
from tests.fixtures.control_plane import Caller, Plane
from tests.fixtures.serving import serving

GOOD = {"username": "berth", "token": TOKEN}


async def put(worker: Worker, host: str = HOST, **changes: Any) -> Any:
    return await worker.owner.http.put(f"{worker.credentials}/{host}", json={**GOOD, **changes})


async def test_credential__made_shown_replaced_removed(worker: Worker) -> None:
    made = await put(worker)
    assert made.status_code == 200, made.text
    http = worker.owner.http
    assert set(made.json()) == {"project_id", "host", "username", "created_at", "updated_at"}
    again = (await put(worker, username="other", token="another-token")).json()
    assert (again["username"], again["created_at"]) == ("other", made.json()["created_at"])
    await put(worker, "another.example.test")
    listed = (await http.get(worker.credentials)).json()["items"]
    assert [one["host"] for one in listed] == ["another.example.test", HOST]
    assert (await http.get(f"{worker.credentials}/{HOST}")).json() == again
    assert (await http.delete(f"{worker.credentials}/{HOST}")).status_code == 204
    for method in ("GET", "DELETE"):
        gone = await http.request(method, f"{worker.credentials}/{HOST}")
        assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    audited = (await http.get("/api/v1/audit")).json()["items"]
    told = [(one["action"], one["target"], one["detail"]) for one in audited]
    assert told[:4] == [
        ("git_credential.remove", HOST, {}),
        ("git_credential.put", "another.example.test", {"username": "berth"}),
        ("git_credential.put", HOST, {"username": "other"}),
        ("git_credential.put", HOST, {"username": "berth"}),
    ]
    assert audited[0]["actor"] == str(worker.owner.user_id)


NAME = "a git host's name in lower case"
VISIBLE = "1 to 4000 visible ASCII characters"
WRONG: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "an address": ("127.0.0.1", {}, "host", NAME),
    "a wildcard": ("*.example.test", {}, "host", NAME),
    "a single label": ("localhost", {}, "host", NAME),
    "capitals": ("Git.example.test", {}, "host", NAME),
    "a port": ("git.example.test:80", {}, "host", NAME),
    "no token": (HOST, {"token": ""}, "token", VISIBLE),
    "an endless token": (HOST, {"token": "a" * 4001}, "token", VISIBLE),
    "a token with a line end": (HOST, {"token": "a\nb"}, "token", "visible ASCII characters only"),
    "a name with a colon": (HOST, {"username": "a:b"}, "username", "1 to 200 visible"),
    "an unknown field": (HOST, {"colour": "red"}, "colour", "no such field"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_credential__that_is_wrong(worker: Worker, case: str) -> None:
    host, changes, field, expected = WRONG[case]
    answer = await put(worker, host, **changes)
    assert answer.status_code == 400, answer.text
    assert (answer.json()["code"], answer.json()["details"]["field"]) == (
        "validation_failed",
        field,
    )
    assert answer.json()["details"]["expected"].startswith(expected)
    assert TOKEN not in answer.text


async def test_credential__is_the_owners_alone(
    worker: Worker, member: Caller, viewer: Caller, stranger: Caller
) -> None:
    await worker.credential()
    for caller, status in ((member, 403), (viewer, 403), (stranger, 404)):
        for method, path in (
            ("GET", ""), ("GET", f"/{HOST}"), ("PUT", f"/{HOST}"), ("DELETE", f"/{HOST}"),
        ):  # fmt: skip
            body = GOOD if method == "PUT" else None
            done = await caller.http.request(method, f"{worker.credentials}{path}", json=body)
            assert done.status_code == status, (method, path)


async def test_token__is_in_no_row_log_or_answer(
    worker: Worker, git_host: GitHost, capsys: pytest.CaptureFixture[str]
) -> None:
    git_host.make("private/plans")
    configure_logging("test", "debug", stream=sys.stderr)
    try:
        told = [(await put(worker)).text, (await worker.owner.http.get(worker.credentials)).text]
        await worker.grant(repository("private/plans", push=True))
        answer = await worker.refs("private/plans.git", service="git-receive-pack")
        assert answer.status_code == 200, answer.text
        told += [answer.text, str(answer.headers)]
        told.append((await worker.owner.http.get("/api/v1/audit")).text)
        told.append(await everything_kept(worker.plane))
    finally:
        configure_logging("test")
    captured = capsys.readouterr()
    told.append(captured.out + captured.err)
    assert git_host.seen[-1]["headers"]["authorization"].startswith("Basic ")
    sent = git_host.seen[-1]["headers"]["authorization"].removeprefix("Basic ")
    for text in told:
        for secret in (TOKEN, TOKEN.encode().hex(), sent):
            assert secret not in text


async def everything_kept(plane: Plane) -> str:
    """Each row of each table, as text."""
    connection = plane.connection
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [
        row[0]
        for table in tables
        for row in await connection.fetch(f'SELECT t::text FROM "{table[0]}" t')  # noqa: S608 # the catalogue's
    ]
    return "\n".join(rows)


async def test_ciphertext__of_another_host_does_not_open(worker: Worker, git_host: GitHost) -> None:
    git_host.make("private/plans")
    await worker.credential("another.example.test")
    await worker.credential()
    await worker.plane.connection.execute(
        "UPDATE git_credentials SET sealed_token = (SELECT sealed_token FROM git_credentials"
        " WHERE host = 'another.example.test') WHERE host = $1",
        HOST,
    )
    await worker.grant(repository("private/plans"))
    answer = await worker.refs("private/plans.git")
    assert answer.status_code == 503
    assert "an owner sets it again" in answer.text
    assert git_host.seen == []


async def test_secret_key__that_is_missing_keeps_tokens_from_being_set_alone(
    worker: Worker, git_host: GitHost
) -> None:
    """Another replica, without one."""
    git_host.make("team/docs")
    await worker.grant(repository("team/docs"))
    app = build_app(msgspec.structs.replace(worker.plane.app._settings, secret_key=None))
    async with serving(app, on_stop=app.stop) as url:
        done = await worker.owner.http.put(f"{url}{worker.credentials}/{HOST}", json=GOOD)
        assert (done.status_code, done.json()["code"]) == (503, "dependency_unavailable")
        assert TOKEN not in done.text
        way = f"{url}/internal/v1/workers/{worker.id}/git/{HOST}/team/docs.git/info/refs"
        params = {"service": "git-upload-pack"}
        assert (await worker.http.get(way, params=params)).status_code == 200
        await worker.credential()
        refused = await worker.http.get(way, params=params)
        assert refused.status_code == 503
        assert "BERTH_SECRET_KEY_FILE" in refused.text
