"""An uploaded tree: all of it or nothing, and nothing outside, whatever the archive says."""

import io
import os
import stat
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chassis.clock import SystemClock
from chassis.errors import BerthError, Stale
from chassis.files.sensitive import NOTHING, Sensitive
from contracts.errors import Code
from contracts.executors import ExecutorPhase
from contracts.workspace_files import UploadedFiles
from executor.files import unpacking
from executor.services.files import WorkspaceFiles
from executor.status import Status
from tests.executor.changing import files_at, sent


@pytest.fixture
def top(place: Path) -> Path:
    return place / "workspace"


@pytest.fixture
def files(top: Path) -> WorkspaceFiles:
    status = Status(SystemClock())
    status.enter(ExecutorPhase.READY)
    return files_at(top, status)


def entry(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mtime = 1_000_000
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def tar(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form, errors="surrogateescape") as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


async def unpacked(
    files: WorkspaceFiles, archive: bytes, path: bytes = b"", piece: int = 700
) -> UploadedFiles:
    pieces = [archive[at : at + piece] for at in range(0, len(archive), piece)]
    return await files.unpack(path, sent(*pieces), NOTHING)


def names(top: Path) -> list[str]:
    found = (path.relative_to(top) for path in below(top))
    return sorted(str(one) for one in found if not str(one).startswith(".berth-restore-"))


def below(top: Path) -> list[Path]:
    """What was given up may be removed meanwhile."""
    walk = os.walk(top)
    return sorted(Path(at) / name for at, above, files in walk for name in (*above, *files))


def aside_in(top: Path) -> Path:
    (aside,) = [one for one in below(top) if one.name.startswith(".berth-restore-")]
    return aside


LONG = "/".join(["long" * 30] * 5)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("piece", [1, 511, 512, 1 << 20])
async def test_tree__as_it_was_sent(
    top: Path, files: WorkspaceFiles, form: int, piece: int
) -> None:
    deep = LONG if form != tarfile.USTAR_FORMAT else "short/deep"
    archive = tar(
        entry("./", type=tarfile.DIRTYPE, mode=0o755),
        entry("./sub", type=tarfile.DIRTYPE, mode=0o750),
        entry("./sub/run.sh", b"#!/bin/sh\n" * 100, mode=0o4755),
        entry("./sub/same.sh", type=tarfile.LNKTYPE, linkname="./sub/run.sh"),
        entry("./sub/link", type=tarfile.SYMTYPE, linkname="run.sh"),
        entry(f"./{deep}/leaf", b"leaf"),
        entry("./empty"),
        form=form,
    )
    told = await unpacked(files, archive, b"here", piece)
    assert (told.files, told.directories, told.links) == (4, 1, 1)
    here = top / "here"
    assert (here / "sub/run.sh").read_bytes() == b"#!/bin/sh\n" * 100
    status = (here / "sub/run.sh").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime, status.st_nlink) == (0o755, 1_000_000, 2)
    assert (here / "sub/link").readlink() == Path("run.sh")
    assert (here / deep / "leaf").read_bytes() == b"leaf"
    assert (here / "empty").read_bytes() == b""


async def test_names__that_are_no_utf8_stay_as_they_are(top: Path, files: WorkspaceFiles) -> None:
    await unpacked(files, tar(entry("a\udcff\n", b"x"), form=tarfile.GNU_FORMAT))
    assert [os.fsencode(one.name) for one in below(top)] == [b"a\xff\n"]


async def test_tree__over_what_is_there(top: Path, files: WorkspaceFiles) -> None:
    (top / "d").mkdir()
    (top / "d/kept").write_text("kept")
    (top / "d/f").write_text("old")
    (top / "d/link").symlink_to("/etc/passwd")
    await unpacked(files, tar(entry("d/f", b"new"), entry("d/link", b"a file now"),
                              entry("d/sub/g", b"g")))  # fmt: skip
    assert (top / "d/f").read_text() == "new"
    assert (top / "d/link").read_text() == "a file now"
    assert not (top / "d/link").is_symlink()
    assert names(top) == ["d", "d/f", "d/kept", "d/link", "d/sub", "d/sub/g"]


async def test_kinds__that_do_not_fit_change_nothing(top: Path, files: WorkspaceFiles) -> None:
    (top / "d").mkdir()
    (top / "f").touch()
    for archive in (
        tar(entry("x", b"x"), entry("d", b"no directory")),
        tar(entry("x", b"x"), entry("f", type=tarfile.DIRTYPE)),
    ):
        with pytest.raises(Stale) as refused:
            await unpacked(files, archive)
        assert refused.value.details["path"] in {"d", "f"}
    assert names(top) == ["d", "f"]


EVIL = {
    "above": [entry("../out", b"x")],
    "above, inside": [entry("a/../../out", b"x")],
    "absolute": [entry("/tmp/out", b"x")],
    "a link out": [entry("l", type=tarfile.SYMTYPE, linkname="/etc")],
    "a link above": [entry("a/l", type=tarfile.SYMTYPE, linkname="../../out")],
    "through a link": [
        entry("d", type=tarfile.DIRTYPE),
        entry("l", type=tarfile.SYMTYPE, linkname="d"),
        entry("l/x", b"x"),
    ],
    "a hard link out": [entry("h", type=tarfile.LNKTYPE, linkname="/etc/passwd")],
    "a hard link above": [
        entry("a", type=tarfile.DIRTYPE),
        entry("h", type=tarfile.LNKTYPE, linkname="a/../../spool/x"),
    ],
    "a hard link to a link": [
        entry("l", type=tarfile.SYMTYPE, linkname="f"),
        entry("h", type=tarfile.LNKTYPE, linkname="l"),
    ],
    "a hard link to nothing": [entry("h", type=tarfile.LNKTYPE, linkname="nothing")],
    "a device": [entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "a pipe": [entry("p", type=tarfile.FIFOTYPE)],
    "a file as a directory": [entry("f", b"x"), entry("f/g", b"x")],
    "a long name": [entry("x" * 256, b"x")],
}


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL.keys())
async def test_entry__that_leads_out_refuses_all_of_it_by_its_name(
    top: Path, place: Path, files: WorkspaceFiles, evil: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    (place / "spool" / "x").write_text("theirs")
    before = [one for one in below(place) if one != top]
    with pytest.raises(BerthError) as refused:
        await unpacked(files, tar(entry("good", b"good"), *evil))
    assert refused.value.code in {Code.VALIDATION, Code.NOT_FOUND}
    assert evil[-1][0].name.strip("/")[:300] in refused.value.details["path"] + "/tmp/out"
    assert names(top) == []
    assert [one for one in below(place) if one != top and top not in one.parents] == before


async def test_agent__that_swaps_the_place_for_a_link_wins_nothing(
    top: Path, place: Path, files: WorkspaceFiles
) -> None:
    """What is unpacked lies in the agent's own tree: it may do anything to it meanwhile."""
    outside = place / "home" / "outside"
    outside.mkdir()
    archive = tar(entry("d/one", b"1"), entry("d/two", b"2"))

    async def swapping() -> AsyncIterator[bytes]:
        yield archive[:1024]
        directory = aside_in(top) / "d"
        (directory / "one").unlink()
        directory.rmdir()
        directory.symlink_to(outside)
        yield archive[1024:]

    with pytest.raises(BerthError):
        await files.unpack(b"", swapping(), NOTHING)
    assert below(outside) == []


@pytest.mark.parametrize("cut", [0, 100, 600, 1100, 1536])
async def test_archive__that_ends_in_the_middle_changes_nothing(
    top: Path, files: WorkspaceFiles, cut: int
) -> None:
    with pytest.raises(BerthError) as refused:
        await unpacked(files, tar(entry("f", b"x" * 700))[:cut])
    assert refused.value.details["field"] == "body"
    assert names(top) == []


@pytest.mark.parametrize("body", [b"\x1f\x8b" + b"x" * 2000, b"PK\x03\x04" * 500, b"text " * 500])
async def test_body__that_is_no_tar(files: WorkspaceFiles, body: bytes) -> None:
    with pytest.raises(BerthError, match="not compressed"):
        await unpacked(files, body)


async def test_sizes__that_lie_are_refused(top: Path, files: WorkspaceFiles) -> None:
    lying = entry("f", b"x")[0]
    lying.pax_headers = {"size": str(10**15)}
    header = lying.tobuf(tarfile.PAX_FORMAT)
    with pytest.raises(BerthError) as refused:
        await unpacked(files, header + b"x" * 2048)
    assert refused.value.code == Code.TOO_LARGE
    assert names(top) == []


async def test_entries__are_counted(
    top: Path, files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MOST_UNPACKED", 3)
    with pytest.raises(BerthError) as refused:
        await unpacked(files, tar(*(entry(str(number)) for number in range(4))))
    assert refused.value.code == Code.TOO_LARGE


async def test_sensitive_names__refuse_all_of_it(top: Path, files: WorkspaceFiles) -> None:
    archive = tar(entry("a", b"a"), entry("b/.env", b"KEY=1"))
    with pytest.raises(BerthError) as refused:
        await files.unpack(b"", sent(archive), Sensitive([".env"]))
    assert refused.value.code == Code.SENSITIVE_PATH
    assert names(top) == []
