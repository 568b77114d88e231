"""A project's files at their bounds: long paths, bytes that no text holds, one file or many."""

import asyncio
from contextlib import ExitStack
from secrets import token_hex
from uuid import UUID

import pytest

from chassis.files.cursors import cursor_of
from contracts.project_files import PROJECT_PATH_BYTES
from control_plane.services.project_file_views import OF_ONE
from tests.control_plane.layers.shelf import Files, at
from tests.fixtures.control_plane import Caller, Plane


@pytest.fixture
def files(owner: Caller, project_id: UUID) -> Files:
    return Files(owner, project_id)


async def test_paths__of_any_length_that_a_project_takes(files: Files) -> None:
    """What is too long for an index of the database is refused in words."""
    parts = [token_hex(120) for _ in range(20)]
    longest = "/".join(parts)[:PROJECT_PATH_BYTES].rstrip("/")
    assert (await files.put(longest, b"far")).status_code == 201
    assert (await files.get(longest)).content == b"far"
    for much in (f"{longest}{'x' * (PROJECT_PATH_BYTES + 1 - len(longest))}", "/".join(parts)):
        answers = [
            await files.put(much),
            await files.post("mkdir", path=much),
            await files.rules({"prefix": much}),
        ]
        assert [one.status_code for one in answers] == [400, 400, 400]
        assert answers[0].json()["details"]["rule"] == "length"
    # what is in a directory that moves becomes longer too
    top = parts[0]
    moved = await files.post("rename", **{"from": top, "to": f"{top}-and-{'more' * 40}"})
    assert (moved.status_code, moved.json()["details"]["field"]) == (400, "to")
    assert (await files.get(longest)).content == b"far"


async def test_pages__go_on_behind_the_longest_path(files: Files) -> None:
    above = "/".join(["d" * 100] * 9)
    for name in "abc":
        await files.put(f"{above}/{name * 100}")
    first = (await files.tree(above, limit=1)).json()
    second = await files.tree(above, limit=1, cursor=first["next_cursor"])
    assert second.status_code == 200, second.text
    assert second.json()["items"][0]["name"] == "b" * 100


async def test_bytes__that_no_text_of_the_database_holds(files: Files) -> None:
    await files.put("a")
    place = at(files.project_id, "search")
    nul = await files.http.get(place, params={"name": "a\0b"})
    assert (nul.status_code, nul.json()["details"]["field"]) == (400, "name")
    scope = f"project files {files.project_id} "
    forged = cursor_of(f"{scope} 1", b"a\0b")
    answer = await files.tree(cursor=forged)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")
    forged = cursor_of(f"{scope} named a", b"\xff\0")
    again = await files.http.get(place, params={"name": "a", "cursor": forged})
    assert (again.status_code, again.json()["code"]) == (400, "bad_cursor")


async def test_download__of_one_file_and_of_a_directory(files: Files) -> None:
    await files.put("d/photo.png", b"0123456789")
    url = at(files.project_id, "download")
    whole = await files.http.get(url, params={"path": "d"})
    assert whole.headers["content-type"] == "application/zip"
    assert 'filename="d.zip"' in whole.headers["content-disposition"]
    asked = {"path": "d/photo.png", "inline": "1"}
    shown = await files.http.get(url, params=asked, headers={"Range": "bytes=2-4"})
    assert (shown.status_code, shown.content) == (206, b"234")
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["content-disposition"].startswith("inline")
    assert (await files.http.get(url, params={"path": "none"})).status_code == 404


async def test_download__slow_readers_of_one_person_hold_up_nobody_else(
    *,
    plane: Plane,
    files: Files,
    owner: Caller,
    project_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slots = plane.app.services.project_file_views._archives
    monkeypatch.setattr(slots, "_seconds", 0.05)
    await files.put("d/a")
    member = await plane.caller((project_id, "member"))
    url, asked = at(project_id, "download"), {"path": "d"}
    with ExitStack() as stack:
        for _ in range(OF_ONE):
            stack.enter_context(slots.taken(owner.user_id))
        async with asyncio.timeout(25):
            refused = await files.http.get(url, params=asked)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert (await member.http.get(url, params=asked)).status_code == 200
    assert (await files.http.get(url, params=asked)).status_code == 200
