"""A project's files found by what is in them: only what one may read, within a page's time."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from contracts.workspace_files import MOST_LINES
from control_plane.services import project_file_search
from tests.control_plane.layers.shelf import Files, at
from tests.fixtures.control_plane import Caller, Plane


@pytest.fixture
def files(owner: Caller, project_id: UUID) -> Files:
    return Files(owner, project_id)


async def search(files: Files, **query: Any) -> dict[str, Any]:
    answer = await files.http.get(at(files.project_id, "search"), params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def paths(files: Files, **query: Any) -> list[str]:
    """Over all pages."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await search(files, **query, **({"cursor": cursor} if cursor else {}))
        found += [one["entry"]["path"] for one in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            return found


async def test_text__is_told_with_its_lines(files: Files) -> None:
    await files.put("a/one.md", b"first\nneedle here\nlast needle")
    await files.put("a/two.txt", b"Needle")
    await files.put("needle.md", b"nothing")
    await files.put("a/binary", b"needle\0")
    await files.put("b/one.md", b"needle\n" * (MOST_LINES + 1))
    (one, many) = (await search(files, text="needle"))["items"]
    assert (one["entry"]["path"], one["entry"]["size"]) == ("a/one.md", 29)
    lines = [(line["number"], line["text"]) for line in one["lines"]]
    assert lines == [(2, "needle here"), (3, "last needle")]
    assert (len(many["lines"]), many["more_lines"]) == (MOST_LINES, True)
    assert await paths(files, text="NEEDLE", ignore_case=True, path="a") == [
        "a/one.md", "a/two.txt"
    ]  # fmt: skip
    assert await paths(files, text="needle", name="ONE", limit=1) == ["a/one.md", "b/one.md"]
    # no expression, and nothing behind a line's end
    assert await paths(files, text="n.*") == []


async def test_text__far_into_a_large_file(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(b"." * (5 * 1024 * 1024))
    content[4 * 1024 * 1024 - 3 : 4 * 1024 * 1024 + 3] = b"needle"
    await files.put("large", bytes(content))
    assert await paths(files, text="needle") == ["large"]
    monkeypatch.setattr(project_file_search, "SEARCHED_BYTES", 4 * 1024 * 1024)
    assert await paths(files, text="needle") == []


async def test_text__of_what_one_may_not_read(plane: Plane, files: Files, project_id: UUID) -> None:
    member = Files(await plane.caller((project_id, "member")), project_id)
    for path in ("open", ".env", "shut/a"):
        await files.put(path, b"needle")
    await files.rules({"prefix": "shut", "read": "owner", "write": "owner"})
    assert await paths(files, text="needle") == [".env", "open", "shut/a"]
    page = await search(member, text="needle")
    assert [one["entry"]["path"] for one in page["items"]] == ["open"]
    assert page["withheld"] == [".env"]
    told = await plane.connection.fetch(
        "SELECT actor, detail::text AS detail FROM audit WHERE action = 'files.search'"
    )
    assert len(told) == 2
    assert not any("needle" in row["detail"] for row in told)


async def test_text__page_ends_with_its_time_and_goes_on(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_file_search, "SEARCH_SECONDS", 0.0)
    monkeypatch.setattr(project_file_search, "ROWS_AT_ONCE", 2)
    for number in range(5):
        await files.put(f"{number}", b"needle" if number == 3 else b"hay")
    first = await search(files, text="needle")
    assert (first["items"], bool(first["next_cursor"])) == ([], True)
    assert await paths(files, text="needle") == ["3"]


async def test_text__one_person_searches_once_at_a_time(
    plane: Plane, owner: Caller, files: Files, project_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = plane.app.services.project_file_search
    monkeypatch.setattr(service._slots, "_seconds", 0.05)
    other = Files(await plane.caller((project_id, "member")), project_id)
    await files.put("a", b"needle")
    with service._slots.taken(owner.user_id):
        async with asyncio.timeout(25):
            refused = await files.http.get(at(project_id, "search"), params={"text": "needle"})
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert await paths(other, text="needle") == ["a"]
    assert await paths(files, text="needle") == ["a"]


@pytest.mark.parametrize(
    ("query", "field"),
    [({}, "name"), ({"text": "a\nb"}, "text"), ({"text": "x" * 257}, "text"),
     ({"text": "x", "name": "a\0"}, "name")],
)  # fmt: skip
async def test_search__for_nothing_or_too_much(
    files: Files, query: dict[str, str], field: str
) -> None:
    answer = await files.http.get(at(files.project_id, "search"), params=query)
    assert (answer.status_code, answer.json()["details"]["field"]) == (400, field)
