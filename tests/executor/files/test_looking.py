"""Trees, searches and archives of a workspace that its agent may have prepared."""

import gc
import io
import os
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from chassis.clock import SystemClock
from chassis.errors import BerthError, NotFound
from chassis.files.names import bytes_of
from chassis.files.sensitive import NOTHING, Sensitive
from contracts.errors import Code
from contracts.executors import ExecutorPhase
from contracts.workspace_files import EntryKind, FoundFile, WorkspaceEntry
from executor.files import listing, searching, zipping
from executor.files.searching import AskedSearch
from executor.services.files import WorkspaceFiles
from executor.status import Status
from snapshots.paths import order
from tests.executor.changing import files_at
from tests.executor.trees import add_specials, make_odd_tree

SECRETS = Sensitive([".env"])


@pytest.fixture
def top(place: Path) -> Path:
    return place / "workspace"


@pytest.fixture
def files(top: Path) -> WorkspaceFiles:
    status = Status(SystemClock())
    status.enter(ExecutorPhase.READY)
    return files_at(top, status)


async def pages(
    files: WorkspaceFiles, path: bytes = b"", *, depth: int = 1, limit: int = 200
) -> list[WorkspaceEntry]:
    found: list[WorkspaceEntry] = []
    cursor: str | None = None
    while True:
        page = await files.tree(path, depth=depth, limit=limit, cursor=cursor, withheld=NOTHING)
        found += page.items
        assert len(page.items) <= limit
        if (cursor := page.next_cursor) is None:
            return found


def there(top: Path) -> list[bytes]:
    found = [os.fsencode(one.relative_to(top)) for one in top.rglob("*")]
    return sorted(one for one in found if not one.startswith(b".berth-restore-"))


def handles() -> int:
    """But for what nobody holds any more: it would be closed at any moment."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


async def zipped(files: WorkspaceFiles, path: bytes, withheld: Sensitive) -> zipfile.ZipFile:
    chunks = await files.archive(path, withheld)
    whole = b"".join([chunk async for chunk in chunks])
    return zipfile.ZipFile(io.BytesIO(whole))


@pytest.mark.parametrize("limit", [1, 3, 200])
async def test_tree__page_by_page_as_all_at_once(
    top: Path, files: WorkspaceFiles, limit: int
) -> None:
    make_odd_tree(top)
    add_specials(top)
    (top / ".berth").mkdir()
    (top / ".berth/session.json").touch()
    (top / ".berth/a").touch()
    (top / ".berth-restore-x").mkdir()
    everything = await pages(files, depth=64, limit=200)
    assert await pages(files, depth=64, limit=limit) == everything
    paths = [bytes_of(one.path, escaped=one.escaped) for one in everything]
    assert sorted(paths) == there(top)
    assert paths == sorted(paths, key=order)
    assert [one.path for one in everything if one.escaped] == ["not-utf8-%FF%FE"]
    direct = await pages(files, limit=limit)
    assert [one.path for one in direct] == [one.path for one in everything if "/" not in one.path]


async def test_tree__says_what_is_there_and_follows_nothing(
    top: Path, files: WorkspaceFiles
) -> None:
    make_odd_tree(top)
    add_specials(top)
    by_name = {one.path: one for one in await pages(files)}
    link = by_name["link-out"]
    assert (link.kind, link.target, link.size) == (EntryKind.LINK, "/etc/passwd", 0)
    assert by_name["fifo"].kind is EntryKind.OTHER
    assert by_name["run.sh"].mode == 0o755
    assert (by_name["plain.txt"].size, by_name["plain.txt"].mtime) == (20, 1.000000001)
    for path in (b"link-dir", b"plain.txt", b"fifo", b"link-dir/d"):
        with pytest.raises(BerthError) as refused:
            await pages(files, path)
        assert refused.value.code == Code.VALIDATION
    with pytest.raises(NotFound):
        await pages(files, b"nothing")


async def test_tree__a_cursor_is_of_its_own_list(top: Path, files: WorkspaceFiles) -> None:
    for name in "abc":
        (top / name).touch()
    page = await files.tree(b"", depth=1, limit=1, cursor=None, withheld=NOTHING)
    for path, depth, cursor in ((b"", 2, page.next_cursor), (b"", 1, "garbage"), (b"", 1, "")):
        with pytest.raises(BerthError) as refused:
            await files.tree(path, depth=depth, limit=1, cursor=cursor, withheld=NOTHING)
        assert refused.value.code == Code.BAD_CURSOR


async def test_tree__deeper_than_a_path_may_be_long(top: Path, files: WorkspaceFiles) -> None:
    """Two handles at a time, and no path is resolved as a whole."""
    current = os.open(top, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("deep-one", dir_fd=current)
        following = os.open("deep-one", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = following
    os.close(current)
    before = handles()
    found = await files.search(AskedSearch(path=b"", name="deep-*", limit=200), NOTHING)
    assert len(found.items) == 200
    assert handles() == before
    await files.delete(b"deep-one", recursive=True, match="", withheld=NOTHING)


async def search(
    files: WorkspaceFiles, withheld: Sensitive = NOTHING, **asked: object
) -> list[FoundFile]:
    fields = {"path": b"", "limit": 200, **asked}
    return (await files.search(AskedSearch(**fields), withheld)).items  # type: ignore[arg-type]  # names of its fields


async def test_search__by_name_and_by_content(top: Path, files: WorkspaceFiles) -> None:
    (top / "src").mkdir()
    (top / "src/one.py").write_text("first\nfind ME here\nlast find\n")
    (top / "two.py").write_text("nothing")
    (top / "bin.py").write_bytes(b"\0find ME")
    (top / "link.py").symlink_to("src/one.py")
    os.mkfifo(top / "pipe.py")
    named = await search(files, name="*.py")
    assert [one.entry.path for one in named] == ["bin.py", "link.py", "pipe.py", "src/one.py",
                                                 "two.py"]  # fmt: skip
    assert [one.entry.path for one in await search(files, name="src/*.PY", fold=True)] == [
        "src/one.py"
    ]
    (found,) = await search(files, text="find")
    assert (found.entry.path, [(line.number, line.text) for line in found.lines]) == (
        "src/one.py",
        [(2, "find ME here"), (3, "last find")],
    )
    assert await search(files, text="find me") == []
    assert len(await search(files, text="find me", fold=True)) == 1
    # nothing of it is an expression
    assert await search(files, text="f.nd") == []


async def test_search__is_bounded_in_lines_results_and_time(
    top: Path, files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "many").write_text("x\n" * 1000)
    (top / "wide").write_text("y" * 100_000 + "x" + "y" * 100_000)
    many, wide = await search(files, text="x")
    assert (len(many.lines), many.more_lines) == (20, True)
    assert len(wide.lines[0].text) == 300
    assert "x" in wide.lines[0].text
    page = await files.search(AskedSearch(path=b"", text="x", limit=1), NOTHING)
    assert page.next_cursor is not None
    rest = AskedSearch(path=b"", text="x", limit=1, cursor=page.next_cursor)
    assert [one.entry.path for one in (await files.search(rest, NOTHING)).items] == ["wide"]
    monkeypatch.setattr(searching, "SEARCH_SECONDS", -1.0)
    page = await files.search(AskedSearch(path=b"", text="nowhere", limit=9), NOTHING)
    assert (page.items, page.next_cursor is None) == ([], False)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "name"),
        ({"name": "*" * 9}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"text": "a\nb"}, "text"),
        ({"text": "x" * 257}, "text"),
    ],
)
async def test_search__that_is_none_names_its_field(
    files: WorkspaceFiles, asked: dict[str, Any], field: str
) -> None:
    with pytest.raises(BerthError) as refused:
        await search(files, **asked)
    assert refused.value.details["field"] == field


async def test_search__leaves_sensitive_content_out_and_says_so(
    top: Path, files: WorkspaceFiles
) -> None:
    (top / ".env").write_text("TOKEN=1")
    page = await files.search(AskedSearch(path=b"", text="TOKEN", limit=9), SECRETS)
    assert (page.items, page.withheld) == ([], [".env"])
    assert len(await search(files, text="TOKEN")) == 1
    (named,) = await search(files, SECRETS, name=".env")
    assert named.entry.withheld


async def test_archive__links_stay_links_and_none_leads_out(
    top: Path, place: Path, files: WorkspaceFiles
) -> None:
    (place / "spool/secret").write_text("secret")
    (top / "d/sub").mkdir(parents=True)
    (top / "d/f").write_bytes(b"x" * 600_000)
    (top / "d/run").write_text("run")
    (top / "d/run").chmod(0o755)
    (top / "d/sub/inner").symlink_to("../f")
    (top / "d/outer").symlink_to("../../spool/secret")
    (top / "d/absolute").symlink_to("/etc/passwd")
    (top / "d/.env").write_text("TOKEN=1")
    os.mkfifo(top / "d/pipe")
    archive = await zipped(files, b"d", SECRETS)
    assert archive.testzip() is None
    assert sorted(archive.namelist()) == ["LEFT-OUT.txt", "f", "run", "sub/", "sub/inner"]
    assert archive.read("f") == b"x" * 600_000
    link = archive.getinfo("sub/inner")
    assert (stat.S_ISLNK(link.external_attr >> 16), archive.read(link)) == (True, b"../f")
    assert archive.getinfo("run").external_attr >> 16 == stat.S_IFREG | 0o755
    told = archive.read("LEFT-OUT.txt").decode()
    for name in (".env", "absolute", "outer", "pipe"):
        assert f"{name}: " in told
    assert b"secret" not in archive.fp.read() if archive.fp else True
    assert ".env" in (await zipped(files, b"d", NOTHING)).namelist()


async def test_archive__of_a_tree_of_odd_names(top: Path, files: WorkspaceFiles) -> None:
    make_odd_tree(top)
    before = handles()
    archive = await zipped(files, b"", NOTHING)
    assert archive.testzip() is None
    assert archive.read("not-utf8-%FF%FE") == b"content of not-utf8-\xff\xfe"
    assert handles() == before


async def test_archive__that_is_too_large_is_refused_before_its_first_byte(
    top: Path, files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipping, "MOST_ARCHIVED", 2)
    for name in "abc":
        (top / name).touch()
    with pytest.raises(BerthError) as refused:
        await files.archive(b"", NOTHING)
    assert refused.value.code == Code.TOO_LARGE


async def test_archive__left_in_the_middle_closes_all_of_it(
    top: Path, files: WorkspaceFiles
) -> None:
    (top / "big").write_bytes(os.urandom(2_000_000))
    before = handles()
    chunks = await files.archive(b"", NOTHING)
    await anext(chunks)
    await chunks.aclose()
    await files.is_directory(b"")  # behind it in the same threads
    assert handles() <= before + 1


async def test_disk__that_does_not_answer_in_time_is_told(
    top: Path, files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "OPERATION_SECONDS", -1.0)
    (top / "f").touch()
    with pytest.raises(BerthError) as refused:
        await pages(files)
    assert refused.value.code == Code.UPSTREAM_TIMEOUT
