"""Saving and restoring on a real object store: exact, incremental, verified."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.errors import Code, Problem
from executor.relay import Relay
from executor.workspace.errors import Corrupt, RestoreFailed, SaveFailed
from executor.workspace.layers import missing_paths
from executor.workspace.restoring import is_empty, wipe
from executor.workspace.saving import Asked
from executor.workspace.scan import walk
from executor.workspace.transfer import Superseded, Transfer
from snapshots.manifest import Limits, ManifestWriter
from snapshots.model import FRAME_BYTES
from tests.executor.outside import Outside
from tests.executor.snapshots import ACKNOWLEDGED, Disk, disk_at, items_of, manifest_in, point
from tests.executor.trees import add_specials, canonical, make_odd_tree


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.workspace.transfer.pause", lambda _: 0.0)
    monkeypatch.setattr("chassis.calls.BACKOFF_FIRST", 0.0)


@pytest.fixture
def transfer(relay: Relay) -> Transfer:
    return Transfer(relay, epoch=1)


@pytest.fixture
def workspace(place: Path) -> Path:
    return place / "workspace"


@pytest.fixture
def disk(place: Path) -> Disk:
    return disk_at(place)


def limited(items: int, size: int) -> Asked:
    return msgspec.structs.replace(ACKNOWLEDGED, limits=Limits(items, size))


async def test_restore__is_exactly_what_was_saved(
    workspace: Path, disk: Disk, transfer: Transfer, outside: Outside
) -> None:
    make_odd_tree(workspace)
    before = canonical(workspace)
    add_specials(workspace)
    one = await disk.save(transfer)
    assert sorted(skip.path for skip in one.skipped) == [b"fifo", b"s"]
    await disk.restore(transfer, point(outside, one))
    assert canonical(workspace) == before
    assert one.draft.files == sum(line[1] == "f" for line in before)


async def test_save__large_files_are_split_and_shared_content_is_stored_once(
    workspace: Path, disk: Disk, transfer: Transfer, outside: Outside
) -> None:
    block = os.urandom(1 << 20)
    (workspace / "large").write_bytes(block * 10 + b"end")
    (workspace / "twin").write_bytes(block * 10 + b"end")
    before = canonical(workspace)
    one = await disk.save(transfer)
    parts = items_of(one)["large"].parts
    assert [part.size for part in parts] == [FRAME_BYTES, FRAME_BYTES, (2 << 20) + 3]
    assert one.draft.new_bytes < 11 << 20
    await disk.restore(transfer, point(outside, one))
    assert canonical(workspace) == before


async def test_save__incremental_uploads_only_what_is_new_and_stands_alone(
    workspace: Path, disk: Disk, transfer: Transfer, outside: Outside
) -> None:
    for n in range(20):
        (workspace / f"f{n}").write_bytes(os.urandom(10_000))
    await disk.save(transfer)
    (workspace / "f3").write_bytes(b"changed")
    (workspace / "f4").unlink()
    (workspace / "f5").unlink()
    (workspace / "f5").mkdir()
    (workspace / "f6").unlink()
    (workspace / "f6").symlink_to("f7")
    (workspace / "f7").rename(workspace / "moved")
    before = canonical(workspace)
    second = (await disk.save(transfer)).draft
    assert second.new_bytes < 6_000
    assert (second.added, second.changed, second.removed) == (1, 3, 2)
    third = await disk.save(transfer)
    assert (third.draft.added, third.draft.changed, third.draft.removed) == (0, 0, 0)
    assert third.draft.packs == [pack.key for pack in manifest_in(third).packs]
    assert len(third.draft.packs) == 2
    assert outside.calls["put"] == 2 + 2 + 1
    await disk.restore(transfer, point(outside, third))
    assert canonical(workspace) == before


async def test_save__bounded_retries_through_a_bad_store(
    workspace: Path, disk: Disk, transfer: Transfer, outside: Outside
) -> None:
    (workspace / "file").write_text("content")
    outside.fail_next("put", 503, 500, "lost", 503, 503, "lost")
    outside.fail_next("uploads", 503, 503)
    one = await disk.save(transfer)
    outside.fail_next("get", 503, 500, 500)
    await disk.restore(transfer, point(outside, one))
    assert (workspace / "file").read_text() == "content"
    outside.fail_next("put", *[503] * 50)
    with pytest.raises(SaveFailed, match="upload_failed"):
        await disk.save(transfer)


async def test_save__an_expired_url_is_asked_for_again(
    workspace: Path, disk: Disk, transfer: Transfer, outside: Outside
) -> None:
    (workspace / "file").write_text("content")
    outside.fail_next("put", 403)
    one = await disk.save(transfer)
    assert outside.calls["uploads"] == 3
    outside.fail_next("get", 403, 200)
    outside.faults["get"] = [403]
    await disk.restore(transfer, point(outside, one))
    assert (workspace / "file").read_text() == "content"


async def test_save__stale_epoch_is_told_apart(
    workspace: Path, disk: Disk, transfer: Transfer, outside: Outside
) -> None:
    (workspace / "file").write_text("content")
    problem = Problem(title="", status=409, code=Code.STALE_EPOCH)
    outside.fail_next("uploads", problem)
    with pytest.raises(Superseded):
        await disk.save(transfer)


async def test_save__a_file_that_never_rests_is_flagged(
    workspace: Path, disk: Disk, transfer: Transfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "log").write_bytes(b"x")
    real = os.pread

    def disturbing(handle: int, size: int, offset: int) -> bytes:
        content = real(handle, size, offset)
        with (workspace / "log").open("ab") as log:
            log.write(b"more")
        return content

    monkeypatch.setattr("executor.workspace.reading.os.pread", disturbing)
    one = await disk.save(transfer)
    assert [(path, item.changed) for path, item in items_of(one).items()] == [("log", True)]


async def test_save__beyond_its_limits_fails(
    workspace: Path, disk: Disk, transfer: Transfer
) -> None:
    for n in range(5):
        (workspace / f"f{n}").write_bytes(b"12345")
    with pytest.raises(SaveFailed, match="too_many_entries"):
        await disk.save(transfer, limited(4, 1000))
    with pytest.raises(SaveFailed, match="too_large"):
        await disk.save(transfer, limited(10, 24))


async def test_save__whose_manifest_no_object_could_hold_fails_before_anything_is_committed(
    workspace: Path,
    disk: Disk,
    transfer: Transfer,
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (workspace / "first").write_text("first")
    await disk.save(transfer)
    puts = outside.calls["put"]
    for n in range(1200):
        (workspace / f"f{n}").touch()
    monkeypatch.setattr("executor.workspace.packing.ManifestWriter", small_manifest)
    with pytest.raises(SaveFailed, match="too_many_entries: a manifest of more than 500") as failed:
        await disk.save(transfer)
    assert failed.value.permanent
    assert "berthignore" in failed.value.detail
    assert outside.calls["put"] == puts


def small_manifest() -> ManifestWriter:
    return ManifestWriter(most=500)


async def test_restore__a_wrong_byte_is_an_error(
    workspace: Path, disk: Disk, transfer: Transfer, outside: Outside
) -> None:
    (workspace / "file").write_bytes(os.urandom(5000))
    one = await disk.save(transfer)
    for key in (one.draft.manifest_key, manifest_in(one).packs[0].key):
        outside.corrupt = {key}
        with pytest.raises(Corrupt):
            await disk.restore(transfer, point(outside, one))
        assert not (workspace / "file").exists()


async def test_restore__another_manifest_in_its_place_is_an_error(
    workspace: Path, disk: Disk, transfer: Transfer, outside: Outside
) -> None:
    (workspace / "file").write_text("one")
    one = await disk.save(transfer)
    (workspace / "file").write_text("two")
    two = await disk.save(transfer)
    swapped = msgspec.structs.replace(point(outside, one), manifest=point(outside, two).manifest)
    with pytest.raises(Corrupt, match="hash differs"):
        await disk.restore(transfer, swapped)


async def test_restore__a_missing_object_fails_at_once(
    workspace: Path, disk: Disk, transfer: Transfer, outside: Outside
) -> None:
    (workspace / "file").write_bytes(b"content")
    one = await disk.save(transfer)
    await outside.objects.delete(manifest_in(one).packs[0].key)
    with pytest.raises(RestoreFailed, match="download_failed"):
        await disk.restore(transfer, point(outside, one))
    assert not is_empty(workspace)
    wipe(workspace)
    assert is_empty(workspace)


async def test_walk__a_directory_that_becomes_a_link_is_not_followed(
    workspace: Path, disk: Disk, transfer: Transfer, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = place / "outside"
    secret.mkdir()
    (secret / "secret").write_text("secret")
    (workspace / "dir").mkdir()
    real = os.stat

    def swapping(name: bytes, **known: Any) -> os.stat_result:
        status = real(name, **known)
        if name == b"dir" and not (workspace / "dir").is_symlink():
            shutil.rmtree(workspace / "dir")
            (workspace / "dir").symlink_to(secret)
        return status

    monkeypatch.setattr("executor.workspace.scan.os.stat", swapping)
    one = await disk.save(transfer)
    assert list(items_of(one)) == ["dir"]
    assert [skip.path for skip in one.skipped] == [b"dir"]


def test_missing_paths__segment_by_segment_without_links(workspace: Path) -> None:
    (workspace / "there").mkdir()
    (workspace / "there" / "file").write_text("")
    (workspace / "link").symlink_to("there")
    wanted = ["/workspace", "/workspace/there/file", "/workspace/there/"]
    absent = ["/workspace/link/file", "/workspace/x", "/workspacex", "/etc", "/workspace/../etc"]
    assert missing_paths(workspace, wanted + absent) == absent


async def test_restore__cancelled_leaves_no_thread_writing(
    workspace: Path, disk: Disk, transfer: Transfer, outside: Outside
) -> None:
    for n in range(50):
        (workspace / f"f{n}").write_bytes(os.urandom(1000))
    one = await disk.save(transfer)
    task = asyncio.create_task(disk.restore(transfer, point(outside, one)))
    await outside.until(lambda: outside.calls["get"] == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    wipe(workspace)
    assert is_empty(workspace)


def test_wipe__whole_trees_without_permissions(workspace: Path) -> None:
    make_odd_tree(workspace)
    (workspace / "lost+found").mkdir()
    wipe(workspace)
    assert [path.name for path in workspace.iterdir()] == ["lost+found"]


async def test_save__what_the_disk_does_not_give_fails_the_save(
    workspace: Path, disk: Disk, transfer: Transfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "d").mkdir()
    (workspace / "d" / "kept").write_text("x")

    def broken(*_: object) -> int:
        raise OSError(24, "Too many open files")

    for opening in (
        "executor.workspace.reading.open_file",
        "executor.workspace.scan.open_directory",
    ):
        with monkeypatch.context() as patched:
            patched.setattr(opening, broken)
            with pytest.raises(OSError, match="Too many"):
                await disk.save(transfer)


AS_NOBODY = """
import os, sys
from pathlib import Path
from executor.workspace.progress import Progress
from executor.workspace.reading import Reader
from snapshots.manifest import Limits
root = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
limits = Limits(100, 1 << 20)
reader = Reader(root, None, quiet=True, careful=True, limits=limits, progress=Progress("save"))
items = [entry.item for batch in iter(reader.following, None) for entry in batch.entries]
print(*(f"{item.path.decode()}:{item.mode:o}" for item in items), reader.skipped)
"""


def given_away(path: Path) -> None:
    """Root is refused nothing: the tree then belongs to nobody, who saves it."""
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)


def test_save__closed_directories_are_opened_for_a_moment_by_an_ordinary_user(
    workspace: Path,
) -> None:
    for name, mode in (("none", 0), ("only_read", 0o400), ("only_enter", 0o100)):
        directory = workspace / name
        directory.mkdir()
        (directory / "f").write_text("x")
        (directory / "f").chmod(0o644)
        given_away(directory / "f")
        given_away(directory)
        directory.chmod(mode)
    given_away(workspace)
    workspace.chmod(0)
    for above in workspace.parents[:-2]:
        above.chmod(0o711)
    ran = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(workspace)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path.cwd(),
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ran.stdout.split("[")[0].split() == [
        *("none:0", "none/f:644", "only_enter:100", "only_enter/f:644"),
        *("only_read:400", "only_read/f:644"),
    ], ran.stderr
    assert workspace.stat().st_mode & 0o7777 == 0
    workspace.chmod(0o700)
    assert (workspace / "none").stat().st_mode & 0o7777 == 0


def test_walk__files_are_never_older_than_what_the_agent_remembers(workspace: Path) -> None:
    state = workspace / ".berth" / "agents" / "one" / "state"
    state.parent.mkdir(parents=True)
    state.write_text("nothing written")
    session = workspace / ".berth" / "session.json"
    session.write_text("{}")
    (workspace / "Before all").write_text("")
    paths = (found.path for found in walk(workspace, max_items=100, skipped=[]))
    seen = [os.fsdecode(next(paths)) for _ in range(5)]
    assert seen[0] == ".berth"
    assert seen.index(".berth/session.json") < seen.index(".berth/agents")
    assert seen[-1] == ".berth/agents/one/state"
    (workspace / ".a").write_text("written since")
    assert [os.fsdecode(path) for path in paths] == [".a", "Before all"]
