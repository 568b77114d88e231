"""One file of a workspace, read beside whatever its agent does there."""

import asyncio
import contextlib
import os
import socket
from pathlib import Path

import pytest

from chassis.clock import SystemClock
from chassis.errors import BerthError, NotFound, Stale
from chassis.files.sensitive import NOTHING
from contracts.errors import Code
from contracts.executors import ExecutorPhase
from executor.services import sending as module
from executor.services.files import OpenedFile, WorkspaceFiles
from executor.services.sending import CHUNK_BYTES
from executor.status import Status
from tests.executor.changing import files_at


@pytest.fixture
def status() -> Status:
    status = Status(SystemClock())
    status.enter(ExecutorPhase.READY)
    return status


@pytest.fixture
def files(place: Path, status: Status) -> WorkspaceFiles:
    return files_at(place / "workspace", status)


async def content(opened: OpenedFile) -> bytes:
    assert opened.chunks is not None
    return b"".join([chunk async for chunk in opened.chunks])


def handles(path: Path) -> int:
    """Of this file: what else the process has open comes and goes."""
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # by which they were listed
            found += one.readlink() == path
    return found


async def test_read__size_time_and_every_byte(place: Path, files: WorkspaceFiles) -> None:
    written = os.urandom(CHUNK_BYTES * 2 + 7)
    (place / "workspace" / "a").mkdir()
    path = place / "workspace" / "a" / "große Datei.bin"
    path.write_bytes(written)
    os.utime(path, ns=(1, 1_500_000_000))
    await files.read("a/große Datei.bin".encode(), withheld=NOTHING)
    before = handles(path)
    opened = await files.read("a/große Datei.bin".encode(), withheld=NOTHING)
    assert (opened.size, opened.mtime) == (len(written), 1.5)
    assert await content(opened) == written
    assert handles(path) == before


async def test_read__an_empty_file(place: Path, files: WorkspaceFiles) -> None:
    (place / "workspace" / "empty").touch()
    assert await content(await files.read(b"empty", withheld=NOTHING)) == b""


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "..", "a/../b", "a//b", "./a", "a/", "a\0b", "x" * 256, "y/" * 3000,
     "link", "link-dir/file", "directory", "fifo", "socket", "file/inside", ".berth-restore-x"],
)  # fmt: skip
async def test_read__what_is_no_plain_file_beneath(
    place: Path, files: WorkspaceFiles, path: str
) -> None:
    top = place / "workspace"
    (top / "directory").mkdir()
    (top / "directory" / "file").write_text("x")
    (top / "file").write_text("x")
    (top / "link").symlink_to("/etc/passwd")
    (top / "link-dir").symlink_to("directory")
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(top / "socket"))
        async with asyncio.timeout(30):
            with pytest.raises(BerthError) as refused:
                await files.read(path.encode(), withheld=NOTHING)
    assert refused.value.code == Code.VALIDATION
    assert refused.value.details["field"] == "path"
    assert refused.value.details["expected"]


@pytest.mark.parametrize("path", ["nothing", "no/such/directory"])
async def test_read__what_is_not_there(files: WorkspaceFiles, path: str) -> None:
    with pytest.raises(NotFound) as refused:
        await files.read(path.encode(), withheld=NOTHING)
    assert refused.value.details == {"path": path}


@pytest.mark.parametrize(
    "phase", [ExecutorPhase.STARTING, ExecutorPhase.RESTORING, ExecutorPhase.FAILED]
)
async def test_read__only_a_whole_workspace(
    place: Path, files: WorkspaceFiles, status: Status, phase: ExecutorPhase
) -> None:
    (place / "workspace" / "half").write_text("half")
    status.enter(phase)
    with pytest.raises(Stale, match=phase.value):
        await files.read(b"half", withheld=NOTHING)


async def test_read__a_file_that_changes_its_size(place: Path, files: WorkspaceFiles) -> None:
    path = place / "workspace" / "log"
    path.write_bytes(b"a" * 10)
    opened = await files.read(b"log", withheld=NOTHING)
    path.write_bytes(b"b" * 20)
    assert await content(opened) == b"b" * 10
    opened = await files.read(b"log", withheld=NOTHING)
    path.write_bytes(b"c" * (CHUNK_BYTES // 2))
    os.truncate(path, 5)
    with pytest.raises(Stale, match="shorter"):
        await content(opened)


async def test_read__a_disk_that_does_not_answer_holds_nobody(
    place: Path, files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place / "workspace" / "f"
    path.write_bytes(b"f")
    opened = await files.read(b"f", withheld=NOTHING)
    gate, wrote = os.pipe()
    monkeypatch.setattr(module, "CHUNK_SECONDS", 0.05)
    monkeypatch.setattr(module.os, "pread", lambda *_: os.read(gate, 1))
    with pytest.raises(BerthError) as refused:
        await content(opened)
    assert refused.value.code == Code.UPSTREAM_TIMEOUT
    # not closed under the thread that still reads from it
    assert handles(path) == 1
    os.write(wrote, b"x")
    async with asyncio.timeout(30):
        while True:  # the thread's end is its own: its handle is looked for
            if handles(path) == 0:
                break
            await asyncio.sleep(0.01)
    os.close(gate)
    os.close(wrote)
