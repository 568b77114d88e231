"""A session's files where no worker runs: from its head snapshot, in the form of a live one's."""

import asyncio
import io
import zipfile
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from control_plane.services.workspace_files import ARCHIVES_AT_ONCE, OF_ONE
from tests.control_plane.history.desk import Desk, Files
from tests.fixtures.control_plane import Caller, Plane

TREE: Files = {
    b"!first": b"!",
    b".berth/session.json": b"{}",
    b".berth/a": b"a",
    b".env": b"TOKEN=1",
    b"docs/guide.md": b"# guide\n",
    b"docs/page.html": b"<script>alert(1)</script>",
    b"link": b"->docs/guide.md",
    b"out": b"->/etc/passwd",
    b"src/a/deep/one.py": b"1",
    b"src/big.bin": bytes(range(256)) * 4000,
    b"src/empty": b"",
    b"src/\xff.txt": b"no utf-8",
}


class Workspace:
    def __init__(self, session: UUID, http: httpx.AsyncClient) -> None:
        self._place = f"/api/v1/session-workers/{session}/workspace"
        self._http = http

    async def ask(
        self, operation: str, headers: dict[str, str] | None = None, **query: Any
    ) -> httpx.Response:
        return await self._http.get(f"{self._place}/{operation}", params=query, headers=headers)

    async def paths(self, **query: Any) -> list[str]:
        found: list[str] = []
        cursor: str | None = None
        while True:
            answer = await self.ask("tree", None, **query, **({"cursor": cursor} if cursor else {}))
            assert answer.status_code == 200, answer.text
            found += [one["path"] for one in answer.json()["items"]]
            if (cursor := answer.json()["next_cursor"]) is None:
                return found


@pytest.fixture
async def session(desk: Desk) -> UUID:
    made = await desk.session()
    await desk.turn(made, "first", {b"old": b"old"})
    await desk.turn(made, "second", TREE)
    return made


@pytest.fixture
def files(desk: Desk, session: UUID) -> Workspace:
    return Workspace(session, desk.http)


@pytest.mark.parametrize("limit", [1, 2, 200])
async def test_tree__in_the_order_of_a_walk(files: Workspace, limit: int) -> None:
    assert await files.paths(limit=limit) == [
        ".berth", "!first", ".env", "docs", "link", "out", "src"
    ]  # fmt: skip
    assert await files.paths(path="src", depth=2, limit=limit) == [
        "src/a", "src/a/deep", "src/big.bin", "src/empty", "src/%FF.txt"
    ]  # fmt: skip
    everything = await files.paths(depth=64, limit=limit)
    assert everything[:3] == [".berth", ".berth/session.json", ".berth/a"]
    assert len(everything) == len(TREE) + 5


async def test_tree__says_where_it_comes_from(files: Workspace, desk: Desk, session: UUID) -> None:
    answer = await files.ask("tree", path="docs")
    assert answer.headers["berth-workspace"] == "snapshot"
    found = (await desk.get(f"sessions/{session}"))["head_snapshot_id"]
    assert answer.headers["berth-snapshot"] == found
    guide = answer.json()["items"][0]
    assert (guide["kind"], guide["size"], guide["mode"]) == ("file", 8, 0o644)
    assert guide["etag"].startswith('"s-')


async def test_file__whole_a_range_or_not_at_all(files: Workspace) -> None:
    answer = await files.ask("file", path="src/big.bin")
    assert (answer.status_code, answer.content) == (200, TREE[b"src/big.bin"])
    assert answer.headers["content-length"] == "1024000"
    part = await files.ask("file", {"Range": "bytes=700000-700009"}, path="src/big.bin")
    assert (part.status_code, part.content) == (206, TREE[b"src/big.bin"][700000:700010])
    assert part.headers["content-range"] == "bytes 700000-700009/1024000"
    end = await files.ask("file", {"Range": "bytes=-3"}, path="src/big.bin")
    assert end.content == TREE[b"src/big.bin"][-3:]
    beyond = await files.ask("file", {"Range": "bytes=1024000-"}, path="src/big.bin")
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range_not_satisfiable")
    known = await files.ask("file", {"If-None-Match": answer.headers["etag"]}, path="src/big.bin")
    assert (known.status_code, known.content) == (304, b"")
    empty = await files.ask("file", path="src/empty")
    assert (empty.status_code, empty.content) == (200, b"")


async def test_file__of_a_name_that_is_no_utf8(files: Workspace) -> None:
    answer = await files.ask("file", path="src/%FF.txt", escaped=True)
    assert answer.content == b"no utf-8"


async def test_file__is_shown_only_where_that_is_harmless(files: Workspace) -> None:
    page = await files.ask("file", path="docs/page.html", inline=True)
    assert page.headers["content-type"] == "application/octet-stream"
    assert page.headers["content-disposition"].startswith("attachment;")
    guide = await files.ask("file", path="docs/guide.md", inline=True)
    assert guide.headers["content-type"] == "text/plain; charset=utf-8"
    assert guide.headers["content-disposition"].startswith("inline;")
    for answer in (page, guide):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize(
    ("path", "status"),
    [("link", 400), ("docs", 400), ("../x", 400), ("/etc/passwd", 400), ("docs/none", 404),
     ("link/x", 404), ("", 400)],
)  # fmt: skip
async def test_file__that_is_none(files: Workspace, path: str, status: int) -> None:
    answer = await files.ask("file", path=path)
    assert answer.status_code == status, answer.text


async def test_download__a_directory_as_a_zip(files: Workspace) -> None:
    answer = await files.ask("download")
    assert answer.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert archive.read("src/big.bin") == TREE[b"src/big.bin"]
    assert archive.read("link") == b"docs/guide.md"
    assert "out" not in archive.namelist()
    assert b"out: a link that leads out" in archive.read("LEFT-OUT.txt")
    one = await files.ask("download", path="docs/guide.md")
    assert one.content == b"# guide\n"


async def test_download__slow_readers_of_one_person_hold_up_nobody_else(
    *,
    plane: Plane,
    files: Workspace,
    session: UUID,
    owner: Caller,
    member: Caller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slots = plane.app.services.workspace_files._archives
    monkeypatch.setattr(slots, "_seconds", 0.05)
    with ExitStack() as stack:
        for _ in range(OF_ONE):
            stack.enter_context(slots.taken(owner.user_id))
        async with asyncio.timeout(25):
            refused = await files.ask("download", path="src")
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        theirs = Workspace(session, member.http)
        assert (await theirs.ask("download", path="src")).status_code == 200
        for _ in range(ARCHIVES_AT_ONCE - OF_ONE):
            stack.enter_context(slots.taken(uuid4()))
        assert (await theirs.ask("download", path="src")).status_code == 429
    assert (await files.ask("download", path="src")).status_code == 200


async def test_search__by_name_alone(files: Workspace) -> None:
    found = await files.ask("search", name="*.py")
    assert [one["entry"]["path"] for one in found.json()["items"]] == ["src/a/deep/one.py"]
    refused = await files.ask("search", text="guide")
    assert (refused.status_code, refused.json()["code"]) == (409, "workspace_read_only")


async def test_sensitive_names__are_for_owners_and_every_access_is_told(
    plane: Plane, desk: Desk, session: UUID, member: Caller
) -> None:
    theirs = Workspace(session, member.http)
    refused = await theirs.ask("file", path=".env")
    assert (refused.status_code, refused.json()["code"]) == (403, "sensitive_path")
    assert refused.json()["details"]["pattern"] == ".env"
    archive = zipfile.ZipFile(io.BytesIO((await theirs.ask("download")).content))
    assert ".env" not in archive.namelist()
    assert b".env: its name needs a permission" in archive.read("LEFT-OUT.txt")
    top = (await theirs.ask("tree")).json()["items"]
    assert [one["path"] for one in top if one["withheld"]] == [".env"]
    named = (await theirs.ask("search", name=".env")).json()["items"]
    assert [one["entry"]["withheld"] for one in named] == [True]
    mine = await Workspace(session, desk.http).ask("file", path=".env")
    assert mine.content == b"TOKEN=1"
    rows = await plane.connection.fetch(
        "SELECT action, actor, detail->>'operation' AS operation, detail->'paths'->>0 AS path"
        " FROM audit WHERE action LIKE 'workspace.%' ORDER BY id"
    )
    assert [(row["action"], row["operation"], row["path"]) for row in rows] == [
        ("workspace.sensitive_refused", "file", ".env"),
        ("workspace.sensitive", "file", ".env"),
    ]
    assert rows[0]["actor"] == member.user_id


async def test_session__of_somebody_else_or_without_a_snapshot(
    desk: Desk, session: UUID, stranger: Caller
) -> None:
    theirs = await Workspace(session, stranger.http).ask("tree")
    assert (theirs.status_code, theirs.json()["code"]) == (404, "session_not_found")
    empty = await Workspace(await desk.session(), desk.http).ask("tree")
    assert (empty.status_code, empty.json()["code"]) == (404, "not_found")
    assert "message" in empty.json()["detail"]


async def test_pack__that_is_wrong_is_never_shown(
    plane: Plane, desk: Desk, session: UUID, files: Workspace
) -> None:
    keys = await plane.connection.fetch(
        "SELECT key FROM packs WHERE session_id = $1 AND key LIKE '%.pack'", session
    )
    for row in keys:
        await desk.saver._objects.put(row["key"], b"\0" * 2_000_000)
    answer = await files.ask("file", path="docs/guide.md")
    assert (answer.status_code, answer.json()["code"]) == (409, "snapshot_damaged")
