"""Many files of a project in one request: all of them, or none."""

import asyncio
import io
import tarfile
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from chassis.failpoints import arm, disarm_all
from tests.control_plane.layers.shelf import Files, at
from tests.fixtures.barriers import Barrier
from tests.fixtures.control_plane import Caller, Plane

TAR = {"Content-Type": "application/x-tar"}


@pytest.fixture
def files(owner: Caller, project_id: UUID) -> Files:
    return Files(owner, project_id)


@pytest.fixture
async def member(plane: Plane, project_id: UUID) -> Files:
    return Files(await plane.caller((project_id, "member")), project_id)


def entry(name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, to: str = "") -> Any:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, mode, to
    return info


def tar(*entries: Any, **contents: bytes) -> bytes:
    """Files by name; `entries` come after them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in contents.items():
            info = entry(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for one in entries:
            archive.addfile(one)
    return packed.getvalue()


async def upload(files: Files, body: Any, path: str = "", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = at(files.project_id, "upload")
    return await files.http.post(url, params={"path": path}, content=body, headers={**TAR, **named})


async def send_form(files: Files, path: str, *parts: tuple[str, bytes]) -> Any:
    url = at(files.project_id, "upload")
    sent = [("file", (name, content)) for name, content in parts]
    return await files.http.post(url, params={"path": path}, files=sent)


async def audited(files: Files) -> list[tuple[str, str]]:
    answer = await files.http.get("/api/v1/audit?limit=200")
    found = [(one["action"], one["target"]) for one in answer.json()["items"]]
    return sorted(one for one in found if one[0].startswith("files."))


async def test_tar__its_files_and_directories(files: Files) -> None:
    await files.put("docs/a", b"former")
    sent = tar(
        entry("./", tarfile.DIRTYPE),
        entry("./empty", tarfile.DIRTYPE),
        entry("./run.sh", mode=0o755),
        **{"./a": b"new", "./deep/er/b": b"b" * 300_000},
    )
    told = await upload(files, sent, "docs")
    assert told.status_code == 201, told.text
    counts = {name: told.json()[name] for name in ("files", "directories", "links", "bytes")}
    assert counts == {"files": 3, "directories": 1, "links": 0, "bytes": 300_003}
    assert {one["path"]: one["mode"] for one in told.json()["items"]} == {
        "docs/a": 0o444,
        "docs/deep/er/b": 0o444,
        "docs/run.sh": 0o555,
    }
    assert (await files.get("docs/a")).content == b"new"
    assert (await files.get("docs/deep/er/b")).content == b"b" * 300_000
    assert await files.names("docs") == ["docs/a", "docs/deep", "docs/empty", "docs/run.sh"]
    writes = [("files.write", f"docs/{name}") for name in ("a", "a", "deep/er/b", "run.sh")]
    told = [one for one in await audited(files) if one[0] in {"files.mkdir", "files.write"}]
    assert told == [("files.mkdir", "docs/empty"), *writes]


async def test_form__each_part_is_a_file(files: Files) -> None:
    told = await send_form(files, "in", ("a.txt", b"one"), ("b/c.txt", b""), ("a.txt", b"two"))
    assert told.status_code == 201, told.text
    assert [one["path"] for one in told.json()["items"]] == ["in/a.txt", "in/b/c.txt"]
    assert (await files.get("in/a.txt")).content == b"two"
    assert (await files.get("in/b/c.txt")).content == b""


async def test_any_other_body__is_the_file(files: Files) -> None:
    plain = {"Content_Type": "text/plain"}
    made = await upload(files, b"one", "a", **plain)
    assert (made.status_code, made.json()["files"], made.json()["bytes"]) == (201, 1, 3)
    assert (await upload(files, b"two", "a", **plain)).status_code == 201
    assert (await files.get("a")).content == b"two"
    new = await upload(files, b"three", "a", If_None_Match="*", **plain)
    assert (new.status_code, new.json()["code"]) == (409, "version_conflict")
    nowhere = await upload(files, b"three", "", **plain)
    assert (nowhere.status_code, nowhere.json()["details"]["field"]) == (415, "path")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (entry("../out"), "../out"),
        (entry("/etc/x"), "/etc/x"),
        (entry("a/./b"), "a/./b"),
        (entry("link", tarfile.SYMTYPE, to="a"), "link: expected files and directories"),
        (entry("twin", tarfile.LNKTYPE, to="first"), "twin: expected files and directories"),
        (entry("pipe", tarfile.FIFOTYPE), "pipe: expected files, directories"),
        (entry("x" * 256), "x" * 256),
        (entry("first/under"), "first"),
        (entry("there/under"), "there"),
        (entry("directory"), "directory"),
    ],
    ids=lambda one: one.name[:20] if isinstance(one, tarfile.TarInfo) else "",
)
async def test_tar__with_one_wrong_entry_is_refused_whole(
    files: Files, wrong: Any, words: str
) -> None:
    await files.put("there", b"1")
    await files.post("mkdir", path="directory")
    answer = await upload(files, tar(wrong, first=b"1", second=b"2"))
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert answer.json()["details"]["field"] == "body"
    assert words in answer.json()["detail"]
    assert await files.names() == ["directory", "there"]


async def test_body__that_is_none_or_ends_in_the_middle(files: Files) -> None:
    whole = tar(a=b"1" * 2000, b=b"2")
    for cut in (0, 100, 512, 1000, 2048 + 512, len(whole) - 10_240):
        answer = await upload(files, whole[:cut])
        assert (answer.status_code, answer.json()["details"]["field"]) == (400, "body")
    form = "multipart/form-data; boundary=x"
    half = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nabc'
    for body in (b"", half):
        answer = await upload(files, body, Content_Type=form)
        assert answer.status_code == 400, answer.text
    assert await files.names() == []


async def test_rules__one_path_that_one_may_not_write_refuses_all(
    files: Files, member: Files
) -> None:
    dark = {"prefix": "dark", "read": "owner", "write": "owner"}
    await files.rules({"prefix": "shut", "write": "owner"}, dark)
    await files.put("shut/there", b"1")
    sent = {"shut/x": (403, "forbidden"), "dark/x": (404, "not_found"), ".env": (403, None)}
    for path, (status, code) in sent.items():
        answer = await upload(member, tar(**{"mine": b"1", path: b"2"}))
        assert answer.status_code == status, answer.text
        assert answer.json()["code"] == (code or "sensitive_path")
        assert ("files.refused", path) in await audited(files)
    # a directory that is there needs no right, a new one does
    assert (await upload(member, tar(entry("shut", tarfile.DIRTYPE), a=b"1"))).status_code == 201
    made = await upload(member, tar(entry("shut/new", tarfile.DIRTYPE), b=b"1"))
    assert made.status_code == 403
    assert await files.names() == ["a", "shut"]


async def test_rules__that_change_meanwhile_count(files: Files, member: Files) -> None:
    barrier = Barrier()
    arm("project_uploads.received", barrier.action)
    try:
        sending = asyncio.create_task(upload(member, tar(a=b"1", b=b"2")))
        await barrier.reached()
        assert (await files.rules({"prefix": "b", "write": "owner"})).status_code == 200
        barrier.release()
        assert (await sending).status_code == 403
    finally:
        disarm_all()
    assert await files.names() == []


async def test_many__more_than_are_stored_at_a_time(files: Files) -> None:
    contents = {f"d{n % 7}/f{n:03}": str(n % 50).encode() for n in range(230)}
    told = (await upload(files, tar(**contents))).json()
    assert (told["files"], told["items"]) == (230, [])
    for path in ("d0/f000", "d6/f223", "d5/f229"):
        assert (await files.get(path)).content == contents[path]


async def test_room__of_one_file_and_of_the_project(
    files: Files, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = plane.app.services.project_uploads
    bounds = replace(uploads._bounds, file_bytes=1000, project_bytes=3000, entries=20)
    monkeypatch.setattr(uploads, "_bounds", bounds)
    for sent in (
        tar(small=b"1", large=bytes(1001)),
        tar(**{f"{n}": bytes(999) for n in range(4)}),
        tar(*(entry(f"f{n}") for n in range(21))),
        tar(*(entry(f"d{n}", tarfile.DIRTYPE) for n in range(21))),
    ):
        answer = await upload(files, sent)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert await files.names() == []
    assert (await upload(files, tar(*(entry(f"f{n}") for n in range(20))))).status_code == 201
