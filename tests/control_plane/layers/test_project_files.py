"""A project's own files: the calls, their rules, and what must not get through."""

import asyncio
import io
import zipfile
from uuid import UUID

import pytest

from tests.control_plane.layers.shelf import Files, at
from tests.fixtures.control_plane import Caller, Plane

ENV = b"KEY=1"


@pytest.fixture
async def member(plane: Plane, project_id: UUID) -> Caller:
    return await plane.caller((project_id, "member"))


@pytest.fixture
async def viewer(plane: Plane, project_id: UUID) -> Caller:
    return await plane.caller((project_id, "viewer"))


@pytest.fixture
def files(owner: Caller, project_id: UUID) -> Files:
    return Files(owner, project_id)


async def test_file__is_written_read_replaced_and_removed(files: Files) -> None:
    made = await files.put("docs/guide.md", b"hello world")
    assert made.status_code == 201, made.text
    entry = made.json()["entry"]
    assert (entry["path"], entry["name"], entry["size"]) == ("docs/guide.md", "guide.md", 11)
    got = await files.get("docs/guide.md")
    assert (got.content, got.headers["etag"]) == (b"hello world", entry["etag"])
    assert got.headers["content-disposition"].startswith("attachment")
    assert got.headers["x-content-type-options"] == "nosniff"
    again = await files.put("docs/guide.md", b"other")
    assert (again.status_code, again.json()["created"]) == (200, False)
    assert (await files.get("docs/guide.md")).content == b"other"
    assert (await files.delete("docs/guide.md")).status_code == 200
    assert (await files.get("docs/guide.md")).status_code == 404


async def test_file__ranges_and_conditions(files: Files) -> None:
    etag = (await files.put("a", b"0123456789")).json()["entry"]["etag"]
    part = await files.get("a", Range="bytes=2-4")
    assert (part.status_code, part.content) == (206, b"234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    assert (await files.get("a", Range="bytes=20-")).status_code == 416
    assert (await files.get("a", If_None_Match=etag)).status_code == 304
    assert (await files.put("a", b"x", If_Match='"0"')).status_code == 409
    assert (await files.put("a", b"x", If_None_Match="*")).status_code == 409
    assert (await files.delete("a", If_Match='"0"')).status_code == 409
    assert (await files.put("a", b"x", If_Match=etag)).status_code == 200


async def test_file__many_writers_of_one_version_one_wins(files: Files) -> None:
    etag = (await files.put("a", b"0")).json()["entry"]["etag"]
    writes = [files.put("a", str(n).encode(), If_Match=etag) for n in range(1, 9)]
    codes = sorted(answer.status_code for answer in await asyncio.gather(*writes))
    assert codes == [200] + [409] * 7


async def test_tree__pages_by_name_and_shows_directories(files: Files) -> None:
    for name in ("b", "a/x", "a/y", "c"):
        await files.put(name)
    assert await files.names() == ["a", "b", "c"]
    assert await files.names("a") == ["a/x", "a/y"]
    first = (await files.tree(limit=2)).json()
    second = (await files.tree(limit=2, cursor=first["next_cursor"])).json()
    assert [one["path"] for one in second["items"]] == ["c"]
    assert second["next_cursor"] is None
    assert (await files.tree("a", cursor=first["next_cursor"])).status_code == 400
    assert (await files.tree("nothing")).status_code == 404


@pytest.mark.parametrize("limit", [1, 3, 200])
async def test_tree__of_several_levels(
    files: Files, viewer: Caller, project_id: UUID, limit: int
) -> None:
    for path in ("a/b/c/d", "a/b/x", "a!", "a/shut/y", "e", "a0/f"):
        await files.put(path)
    await files.rules({"prefix": "a/shut", "read": "owner"})

    async def levels(by: Files, path: str, depth: int) -> list[str]:
        found: list[str] = []
        query: dict[str, str] = {}
        while True:
            page = (await by.tree(path, depth=depth, limit=limit, **query)).json()
            found += [one["path"] for one in page["items"]]
            if page["next_cursor"] is None:
                return found
            query = {"cursor": page["next_cursor"]}

    assert await levels(files, "", 2) == ["a", "a!", "a/b", "a/shut", "a0", "a0/f", "e"]
    assert await levels(files, "a", 2) == ["a/b", "a/b/c", "a/b/x", "a/shut", "a/shut/y"]
    assert (await levels(files, "", 64))[3:5] == ["a/b/c", "a/b/c/d"]
    assert await levels(Files(viewer, project_id), "a", 2) == ["a/b", "a/b/c", "a/b/x"]
    for depth in (0, 65):
        assert (await files.tree(depth=depth)).status_code == 400


async def test_rename__moves_all_that_is_in_it(files: Files) -> None:
    await files.put("a/b/c", b"1")
    await files.put("ab", b"2")
    moved = await files.post("rename", **{"from": "a", "to": "z/y"})
    assert moved.status_code == 200, moved.text
    assert await files.names() == ["ab", "z"]
    assert (await files.get("z/y/b/c")).content == b"1"
    assert (await files.post("rename", **{"from": "z", "to": "z/in"})).status_code == 400
    assert (await files.post("rename", **{"from": "ab", "to": "z"})).status_code == 409


async def test_mkdir_and_search(files: Files) -> None:
    assert (await files.post("mkdir", path="one/two")).status_code == 201
    assert (await files.post("mkdir", path="one/two")).status_code == 409
    assert (await files.post("mkdir", path="one/two", parents=True)).status_code == 201
    await files.put("one/Überblick.md")
    await files.put("two/other.md")
    url = at(files.project_id, "search")
    found = (await files.http.get(url, params={"name": "über"})).json()["items"]
    assert [one["entry"]["path"] for one in found] == ["one/Überblick.md"]
    assert (await files.put("one/Überblick.md/x")).status_code == 400
    assert (await files.put("one/two")).status_code == 400


async def test_download__is_a_zip_of_what_one_may_read(
    files: Files, viewer: Caller, project_id: UUID
) -> None:
    await files.put("d/a", b"1")
    await files.put("d/secret/b", b"2")
    await files.put("d/.env", ENV)
    await files.rules({"prefix": "d/secret", "read": "owner"})
    url = at(project_id, "download")
    whole = await files.http.get(url, params={"path": "d"})
    with zipfile.ZipFile(io.BytesIO(whole.content)) as packed:
        assert packed.read("secret/b") == b"2"
        assert packed.testzip() is None
    seen = await viewer.http.get(url, params={"path": "d"})
    with zipfile.ZipFile(io.BytesIO(seen.content)) as packed:
        assert "a" in packed.namelist()
        assert not {"secret/b", ".env"} & set(packed.namelist())


PATHS = [
    "../x",
    "/x",
    "a//b",
    "a/../b",
    "./a",
    "a\0b",
    "a/..",
    "a" * 300,
    "a\nb",
    "x/" * 3000 + "y",
]


@pytest.mark.parametrize("path", PATHS)
async def test_paths__that_are_none_are_refused_by_rule(files: Files, path: str) -> None:
    """H01."""
    for answer in (
        await files.put(path),
        await files.get(path),
        await files.delete(path),
        await files.tree(path),
        await files.post("mkdir", path=path),
        await files.post("rename", **{"from": path, "to": "b"}),
        await files.post("rename", **{"from": "b", "to": path}),
    ):
        if "\0" in path and answer.status_code == 400:
            continue
        assert answer.status_code == 400, answer.text
        assert answer.json()["details"]["rule"] in {"plain_parts", "length"}, answer.text


@pytest.mark.parametrize("path", ["..%2fx", "%2e%2e", "~", "a\\..\\b", "..."])
async def test_paths__that_only_look_bad_are_names(files: Files, path: str) -> None:
    assert (await files.put(path, b"1")).status_code == 201
    assert await files.names() == [path]


async def test_rules__the_longest_prefix_decides(
    files: Files, viewer: Caller, member: Caller, project_id: UUID
) -> None:
    as_viewer, as_member = Files(viewer, project_id), Files(member, project_id)
    await files.put("open/a")
    await files.put("shut/a")
    await files.put("shut/board/a")
    put = await files.rules(
        {"prefix": "shut", "read": "owner", "write": "owner"},
        {"prefix": "shut/board", "read": "viewer", "write": "viewer"},
    )
    assert put.status_code == 200, put.text
    assert await as_viewer.names() == ["open"]
    assert (await as_viewer.get("shut/a")).status_code == 404
    assert (await as_member.put("shut/b")).status_code == 404
    assert (await as_viewer.put("open/b")).status_code == 403
    assert (await as_viewer.put("shut/board/b")).status_code == 201
    assert (await as_member.put("open/b")).status_code == 201
    assert (await as_member.delete("shut")).status_code == 404
    moved = await as_member.post("rename", **{"from": "open", "to": "shut/new"})
    assert moved.status_code == 404
    assert (await Files(member, project_id).rules()).status_code == 403


async def test_rules__inside_of_a_directory_hold_what_is_done_with_all_of_it(
    files: Files, member: Caller, project_id: UUID
) -> None:
    await files.put("a/shut/x")
    await files.rules({"prefix": "a/shut", "read": "viewer", "write": "owner"})
    as_member = Files(member, project_id)
    assert (await as_member.delete("a")).status_code == 403
    assert (await as_member.post("rename", **{"from": "a", "to": "b"})).status_code == 403
    assert (await files.get("a/shut/x")).status_code == 200


async def test_rules__that_are_wrong_are_refused(files: Files) -> None:
    twice = await files.rules({"prefix": "a"}, {"prefix": "a"})
    assert twice.json()["details"]["field"] == "rules[1].prefix"
    for prefix in ("../a", "/a", "a/"):
        assert (await files.rules({"prefix": prefix})).status_code == 400


@pytest.mark.parametrize("name", [".env", "keys/id.pem", ".ENV.local", "x.key/inner"])
async def test_sensitive__names_are_for_owners(
    files: Files, member: Caller, project_id: UUID, name: str
) -> None:
    await files.put(name, ENV)
    as_member = Files(member, project_id)
    for answer in (await as_member.get(name), await as_member.put(name)):
        assert (answer.status_code, answer.json()["code"]) == (403, "sensitive_path")
    above = name.rpartition("/")[0]
    if above and not above.endswith(".key"):
        (entry,) = (await as_member.tree(above)).json()["items"]
        assert entry["withheld"] is True
    assert (await files.get(name)).content == ENV


async def test_audit__has_every_access(files: Files, owner: Caller, project_id: UUID) -> None:
    await files.put("a")
    await files.get("a")
    await files.tree()
    await files.post("rename", **{"from": "a", "to": "b"})
    await files.delete("b")
    entries = (await owner.http.get("/api/v1/audit")).json()["items"]
    actions = [entry["action"] for entry in reversed(entries)]
    wanted = ["files.write", "files.read", "files.list", "files.rename", "files.delete"]
    assert [one for one in actions if one.startswith("files.")] == wanted
    assert all(entry["actor"] == str(owner.user_id) for entry in entries)


async def test_audit__has_what_was_refused_too(
    plane: Plane, files: Files, member: Caller, viewer: Caller, project_id: UUID
) -> None:
    for path in ("shut/a", "open", ".env", "d/.env"):
        await files.put(path)
    await files.rules({"prefix": "shut", "read": "owner", "write": "owner"})
    as_member, as_viewer = Files(member, project_id), Files(viewer, project_id)
    refused = [
        (await as_member.get("shut/a"), "read", "shut/a"),
        (await as_member.get("shut/none"), "read", "shut/none"),
        (await as_member.get(".env"), "read", ".env"),
        (await as_viewer.put("open"), "write", "open"),
        (await as_viewer.post("mkdir", path="new"), "mkdir", "new"),
        (await as_member.post("rename", **{"from": "open", "to": "shut/b"}), "rename", "shut/b"),
        (await as_viewer.delete("open"), "delete", "open"),
        (await as_member.delete("d"), "delete", "d/.env"),
        (await as_member.tree("shut"), "list", "shut"),
        *[
            (await member.http.get(at(project_id, what), params=query), operation, "shut")
            for what, operation, query in (
                ("search", "search", {"path": "shut", "name": "a"}),
                ("search", "search", {"path": "shut", "text": "a"}),
                ("download", "download", {"path": "shut"}),
            )
        ],
    ]
    assert {answer.status_code for answer, *_ in refused} == {403, 404}
    assert (await as_member.get("none")).status_code == 404
    rows = await plane.connection.fetch(
        "SELECT project_id, actor, target, detail->>'operation' AS operation FROM audit"
        " WHERE action = 'files.refused' ORDER BY id"
    )
    assert [(row["operation"], row["target"]) for row in rows] == [told[1:] for told in refused]
    assert {row["actor"] for row in rows} == {member.user_id, viewer.user_id}
    assert {row["project_id"] for row in rows} == {project_id}
    # nothing else was done
    assert await files.names() == [".env", "d", "open", "shut"]


async def test_others__have_nothing_to_do_with_it(
    plane: Plane, files: Files, project_id: UUID
) -> None:
    await files.put("a")
    stranger = await plane.caller((await plane.project("other"), "owner"))
    for what in ("tree", "file?path=a", "download", "rules"):
        assert (await stranger.http.get(at(project_id, what))).status_code == 404


async def test_content__is_kept_once_in_a_project_and_never_across(
    plane: Plane, files: Files
) -> None:
    other = await plane.project("other")
    theirs = Files(await plane.caller((other, "owner")), other)
    for name in ("a", "b"):
        await files.put(name, b"same")
    await theirs.put("a", b"same")
    keys = await plane.connection.fetch("SELECT project_id, key FROM project_objects")
    assert len(keys) == 2
    assert all(record["key"].startswith(f"p/{record['project_id'].hex}/f/") for record in keys)


async def test_limits__of_a_file_and_of_all(plane: Plane, files: Files) -> None:
    service = plane.app.services.project_files
    before = service._bounds
    try:
        service._bounds = type(before)(file_bytes=10, project_bytes=15, entries=3)
        too_large = await files.put("a", b"x" * 11)
        assert (too_large.status_code, too_large.json()["code"]) == (413, "too_large")
        assert (await files.put("a", b"x" * 10)).status_code == 201
        assert (await files.put("b", b"y" * 10)).status_code == 413
        assert (await files.put("b/c/d", b"z")).status_code == 413
        assert await files.names() == ["a"]
    finally:
        service._bounds = before
