"""Streams and pages of the log over HTTP, from the whole control plane on a real port."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from chassis.auth import IDENTITY_HEADER, generate_signing_key, sign_identity
from contracts.events import TodoEntry, TodoUpdate
from contracts.identity import IdentityClaims
from contracts.wire import KeyId, UserId
from control_plane.app import ControlPlane, build_app
from control_plane.services.access import AUDIENCE
from tests.control_plane.streams.replicas import DEADLINE, Reader, log_of, seqs, write
from tests.fixtures.office import Office, settings
from tests.fixtures.serving import serving

PRIVATE, PUBLIC = generate_signing_key()


@dataclass
class Api:
    app: ControlPlane
    client: httpx.AsyncClient
    user: UUID
    project: UUID

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.client.get(f"/api/v1/{path}", params=query)

    async def items(self, path: str, **query: Any) -> list[dict[str, Any]]:
        answer = await self.get(path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    @asynccontextmanager
    async def stream(self, path: str, **headers: str) -> AsyncGenerator[Reader]:
        async with self.client.stream("GET", f"/api/v1/{path}", headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.headers["x-accel-buffering"] == "no"
            yield Reader(_blocks(answer))

    async def nobody_watches(self) -> None:
        async with asyncio.timeout(DEADLINE):
            while self.app.services.fanout.viewers:  # noqa: ASYNC110 # a socket's end is not told
                await asyncio.sleep(0.01)


async def _blocks(answer: httpx.Response) -> AsyncGenerator[bytes]:
    """Whole frames, however the network cut them."""
    rest = b""
    async for data in answer.aiter_bytes():
        whole, separator, rest = (rest + data).rpartition(b"\n\n")
        if separator:
            yield whole + separator


async def member(office: Office, project: UUID) -> tuple[UUID, UUID]:
    user, key = uuid4(), uuid4()
    await office.execute("INSERT INTO users (id, name) VALUES ($1, 'u')", user)
    await office.execute(
        "INSERT INTO memberships (project_id, user_id, role) VALUES ($1, $2, 'viewer')",
        project,
        user,
    )
    await office.execute(
        "INSERT INTO api_keys (id, user_id, name, key_hash) VALUES ($1, $2, 'k', $3)",
        key,
        user,
        key.hex * 2,
    )
    return user, key


@asynccontextmanager
async def running(database_url: str) -> AsyncGenerator[tuple[ControlPlane, str]]:
    app = build_app(
        settings(database_url, gateway_public_key=PUBLIC, loops=False, poll_seconds=0.2)
    )
    async with (
        serving(app, on_stop=app.stop) as url,
        httpx.AsyncClient(base_url=url, timeout=DEADLINE) as client,
    ):
        await client.get("/healthz")  # the socket is there before the services are
        yield app, url


@pytest.fixture(scope="module")
async def control_plane(database_url: str) -> AsyncGenerator[tuple[ControlPlane, str]]:
    async with running(database_url) as app_and_url:
        yield app_and_url


@asynccontextmanager
async def asking(office: Office, app: ControlPlane, url: str) -> AsyncGenerator[Api]:
    """As a viewer of a project of its own."""
    office.wakeups.start()
    project = await office.project()
    user, key = await member(office, project)
    claims = IdentityClaims(user_id=UserId(user), key_id=KeyId(key), kind="user", name="u")
    headers = {IDENTITY_HEADER: sign_identity(PRIVATE, claims, AUDIENCE)}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=DEADLINE) as client:
        yield Api(app, client, user, project)


@pytest.fixture
async def api(control_plane: tuple[ControlPlane, str], office: Office) -> AsyncGenerator[Api]:
    async with asking(office, *control_plane) as api:
        yield api
    await api.nobody_watches()  # the next test counts its own


@pytest.fixture
async def session(office: Office, api: Api) -> UUID:
    return await office.session(api.project)


# --- streams ---------------------------------------------------------------------------------


async def test_stream_run__from_its_first_event_to_its_end(
    api: Api, office: Office, session: UUID
) -> None:
    run = (await office.enqueue(session)).run_id
    async with api.stream(f"runs/{run}/stream") as reader:
        await reader.count(2)
        await office.runs.cancel(run)
        seen = await reader.rest()
    assert seqs(seen) == await log_of(office, session, run)
    assert seen[-1].event == "run.closed"


async def test_stream_session__last_event_id_wins(api: Api, office: Office, session: UUID) -> None:
    await write(office, session, *"abc")
    path = f"sessions/{session}/stream?cursor={session.hex}.0"
    async with api.stream(path, **{"Last-Event-ID": f"{session.hex}.2"}) as reader:
        assert seqs(await reader.count(1)) == [3]


async def test_stream_project__replays_the_last_ones(api: Api, office: Office) -> None:
    for _ in range(3):
        await office.send(await office.session(api.project))
    await api.app.services.projector.run_once()
    async with api.stream("events/stream?replay_last=2") as reader:
        assert seqs(await reader.count(2)) == [2, 3]


async def test_stream__viewer_that_leaves_changes_nothing(
    api: Api, office: Office, session: UUID
) -> None:
    run = (await office.enqueue(session)).run_id
    async with api.stream(f"runs/{run}/stream") as reader:
        await reader.count(1)
        assert api.app.services.fanout.viewers == 1
    await api.nobody_watches()
    assert await office.state(run) == "queued"


async def test_stream__viewer_that_leaves_without_having_read(
    api: Api, office: Office, session: UUID
) -> None:
    await write(office, session, *["x" * 200_000] * 100)
    async with api.stream(f"sessions/{session}/stream?cursor={session.hex}.0"):
        async with asyncio.timeout(DEADLINE):
            while not api.app.services.fanout.viewers:  # noqa: ASYNC110 # as above
                await asyncio.sleep(0.01)
    await api.nobody_watches()


async def test_stream__server_that_stops_says_good_bye(office: Office) -> None:
    async with running(office.settings.database_url) as (app, url), asking(office, app, url) as api:
        session = await office.session(api.project)
        async with api.stream(f"sessions/{session}/stream?cursor={session.hex}.0") as reader:
            await write(office, session, "a")
            await reader.count(1)
            app.stop()
            assert (await reader.rest())[-1].event == "bye"


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM memberships WHERE user_id = $1",
        "UPDATE api_keys SET revoked_at = now() WHERE user_id = $1",
    ],
)
async def test_stream__reader_that_may_no_longer_read(
    api: Api, office: Office, session: UUID, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.app.services.streams, "_check_seconds", 0.02)
    await write(office, session, "a")
    async with api.stream(f"sessions/{session}/stream?replay_last=1") as reader:
        await reader.count(1)
        await office.execute(change, api.user)
        assert (await reader.rest())[-1].event == "bye"


# --- refusals --------------------------------------------------------------------------------

PATHS = [
    ("runs", "stream"),
    ("runs", "events"),
    ("runs", "events/1"),
    ("runs", "todos/events"),
    ("sessions", "stream"),
    ("sessions", "events"),
]


@pytest.mark.parametrize(("noun", "path"), PATHS)
async def test_refused__unknown_and_foreign_alike(
    api: Api, office: Office, noun: str, path: str
) -> None:
    foreign = await office.session()
    foreign_id = foreign if noun == "sessions" else await office.send(foreign)
    for one in (uuid4(), foreign_id):
        answer = await api.get(f"{noun}/{one}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, f"{noun[:-1]}_not_found")


@pytest.mark.parametrize("path", ["events", "events/stream"])
async def test_refused__foreign_project(api: Api, office: Office, path: str) -> None:
    answer = await api.get(path, project_id=str(await office.project()))
    assert (answer.status_code, answer.json()["code"]) == (404, "project_not_found")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"kind": "run.log.what"}, "kind"),
        ({"include_payload": "perhaps"}, "include_payload"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "x" * 300}, "cursor"),
    ],
)
async def test_refused__bad_parameter_of_a_page(
    api: Api, session: UUID, query: dict[str, str], field: str
) -> None:
    answer = await api.get(f"sessions/{session}/events", **query)
    assert answer.status_code == 400, answer.text
    assert answer.json()["details"]["field"] == field


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"replay_last": "0"}, "replay_last"),
        ({"replay_last": "1001"}, "replay_last"),
        ({"replay_last": "x"}, "replay_last"),
        ({"cursor": "x"}, "cursor"),
    ],
)
async def test_refused__bad_parameter_of_a_stream(
    api: Api, session: UUID, query: dict[str, str], field: str
) -> None:
    answer = await api.get(f"sessions/{session}/stream", **query)
    assert answer.status_code == 400, answer.text
    assert answer.json()["details"]["field"] == field


async def test_refused__cursor_that_is_no_longer_kept(
    api: Api, office: Office, session: UUID
) -> None:
    await write(office, session, *"abc")
    await office.execute("UPDATE streams SET first_seq = 3 WHERE id = $1", session)
    for path in ("stream", "events"):
        answer = await api.get(f"sessions/{session}/{path}", cursor=f"{session.hex}.1")
        assert (answer.status_code, answer.json()["code"]) == (410, "cursor_expired")


# --- pages -----------------------------------------------------------------------------------


async def test_events__pages_are_the_log(api: Api, office: Office, session: UUID) -> None:
    await write(office, session, *"abcdefg")
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = (await api.get(f"sessions/{session}/events", **query)).json()
        found += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert [one["seq"] for one in found] == await log_of(office, session)
    assert [one["event"]["text"] for one in found] == list("abcdefg")
    assert await api.items(f"sessions/{session}/events", cursor=found[-1]["id"]) == []


async def test_events__of_a_run_by_kind(api: Api, office: Office, session: UUID) -> None:
    await write(office, session, "noise")
    run = (await office.enqueue(session)).run_id
    await write(office, session, "a", run=run)
    items = await api.items(f"runs/{run}/events", kind=["run.log", "run.queued"])
    assert [one["event"]["kind"] for one in items] == ["run.queued", "run.log"]


async def test_events__without_payload(api: Api, office: Office, session: UUID) -> None:
    await write(office, session, "a")
    (item,) = await api.items(f"sessions/{session}/events", include_payload="false")
    assert item["event"] == {"kind": "run.log"}


async def test_event__one_of_the_run_only(api: Api, office: Office, session: UUID) -> None:
    await write(office, session, "noise")
    run = (await office.enqueue(session)).run_id
    entry = (await api.get(f"runs/{run}/events/2")).json()
    assert (entry["id"], entry["event"]["kind"]) == (f"{session.hex}.2", "message.user")
    for seq in (1, 99):
        answer = await api.get(f"runs/{run}/events/{seq}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_todo_events__how_the_plan_came_about(
    api: Api, office: Office, session: UUID
) -> None:
    run = (await office.enqueue(session)).run_id
    for number in range(1, 3):
        plan = [TodoEntry(content=f"{one}") for one in range(number)]
        await write(office, session, TodoUpdate(entries=plan), "noise", run=run)
    items = await api.items(f"runs/{run}/todos/events")
    assert [len(one["event"]["entries"]) for one in items] == [1, 2]


async def test_project_events__of_the_only_project(api: Api, office: Office) -> None:
    run = await office.send(await office.session(api.project))
    await api.app.services.projector.run_once()
    (item,) = await api.items("events")
    assert (item["event"]["kind"], item["run_id"]) == ("run.queued", str(run))


async def test_project_events__which_one_must_be_said(api: Api, office: Office) -> None:
    await office.execute(
        "INSERT INTO memberships (project_id, user_id, role) VALUES ($1, $2, 'owner')",
        await office.project(),
        api.user,
    )
    for path in ("events", "events/stream"):
        answer = await api.get(path)
        assert (answer.status_code, answer.json()["details"]["field"]) == (400, "project_id")
    assert await api.items("events", project_id=str(api.project)) == []
