"""The helper `volumes` as a process: what it makes, holds, refuses, and that it leaves nothing."""

import asyncio
import json
import os
import signal
import socket
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from executor_manager.volumes import images
from executor_manager.volumes.images import MOST_PATTERNS, ImageRefused, Images
from tests.fixtures.deadlines import eventually
from tests.fixtures.guards import perhaps_without, replaced
from tests.fixtures.small_disk import loop_devices_below, small_disk
from tests.fixtures.volumes_helper import Helper, volumes_helper

pytestmark = pytest.mark.root

WORKER = "abcdefgh234567ab"
MIB = 1024 * 1024


@pytest.fixture
def worker(short_dir: Path) -> Path:
    place = short_dir / "workers" / WORKER
    place.mkdir(parents=True)
    return place


@pytest.fixture
async def helper(short_dir: Path, worker: Path) -> AsyncGenerator[Helper]:
    async with volumes_helper(short_dir, BERTH_VOLUMES_HOLD_SECONDS="30") as helper:
        yield helper
    await eventually(unbound(short_dir), "a device is left")


class Asking:
    """One connection."""

    def __init__(self, helper: Helper) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.settimeout(20)
        self._connection.connect(str(helper.socket))

    def ask(self, question: bytes) -> dict[str, object]:
        self._connection.sendall(question + b"\n")
        return json.loads(self._connection.makefile("rb").readline())

    def close(self) -> None:
        self._connection.close()


def hold(mib: int = 32, worker: str = WORKER) -> bytes:
    return json.dumps({"type": "hold", "worker": worker, "mib": mib}).encode()


async def asked(helper: Helper, question: bytes) -> tuple[Asking, dict[str, object]]:
    asking = await asyncio.to_thread(Asking, helper)
    return asking, await asyncio.to_thread(asking.ask, question)


def unbound(short_dir: Path) -> Callable[[], Awaitable[bool]]:
    async def seen() -> bool:
        return await asyncio.to_thread(loop_devices_below, short_dir) == []

    return seen


async def command(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(*words)
    assert await process.wait() == 0, words


async def test_held__until_the_connection_ends(
    helper: Helper, short_dir: Path, worker: Path
) -> None:
    asking, answer = await asked(helper, hold())
    assert not answer.get("problem")
    (device,) = loop_devices_below(short_dir)
    node = (worker / "disk").stat()
    assert stat.S_ISBLK(node.st_mode)
    assert device.split()[0] == f"/dev/loop{os.minor(node.st_rdev)}"
    image = (worker / "disk.img").stat()
    assert image.st_size == 32 * MIB
    assert image.st_blocks * 512 < 8 * MIB
    asking.close()
    await eventually(unbound(short_dir), "the device is left")


async def test_held_twice__is_one_device(helper: Helper, short_dir: Path) -> None:
    """Two of one image, both mounted, would write over each other."""
    first, _ = await asked(helper, hold())
    second, answer = await asked(helper, hold())
    assert answer.get("problem", "") == ""
    assert len(loop_devices_below(short_dir)) == 1
    first.close()
    third, _ = await asked(helper, hold())
    assert len(loop_devices_below(short_dir)) == 1
    second.close()
    third.close()


@pytest.mark.parametrize("guarded", [True, False])
def test_held_at_the_same_moment__is_one_device(
    short_dir: Path, worker: Path, *, guarded: bool
) -> None:
    from executor_manager.volumes import loop_devices  # noqa: PLC0415 - as it is patched

    made = Images(workers=worker.parent, patterns=short_dir / "patterns")
    made.open()
    removal = replaced(loop_devices, "_found", lambda _image: None)
    with perhaps_without(removal, guarded=guarded):
        held = [made.hold(WORKER, 16) for _ in range(3)]
    try:
        assert (len(loop_devices_below(short_dir)) == 1) == guarded
    finally:
        for one in held:
            os.close(one)
    assert loop_devices_below(short_dir) == []


async def test_killed__the_device_goes_with_it(helper: Helper, short_dir: Path) -> None:
    asking, _ = await asked(helper, hold())
    await helper.end(signal.SIGKILL)
    await eventually(unbound(short_dir), "the device is left")
    asking.close()


async def test_not_taken__is_let_go_in_time(short_dir: Path, worker: Path) -> None:
    async with volumes_helper(short_dir, BERTH_VOLUMES_HOLD_SECONDS="0.2") as helper:
        asking, _ = await asked(helper, hold())
        await eventually(unbound(short_dir), "it is held on")
        asking.close()


async def test_file_system__is_the_agents_empty_and_small(
    helper: Helper, short_dir: Path, worker: Path
) -> None:
    asking, _ = await asked(helper, hold())
    mounted = short_dir / "m"
    mounted.mkdir()
    await command("mount", str(worker / "disk"), str(mounted))
    try:
        seen, room = mounted.stat(), os.statvfs(mounted)
        assert (seen.st_uid, seen.st_gid) == (10001, 10001)
        assert list(mounted.iterdir()) == []
        assert 20 * MIB < room.f_bavail * room.f_frsize <= 32 * MIB
        assert room.f_files <= 4096
        asking.close()
        # mounted, it lasts without us
        (mounted / "kept").write_text("kept")
    finally:
        await command("umount", str(mounted))
    await eventually(unbound(short_dir), "the device is left")
    again, _ = await asked(helper, hold(64))
    assert (worker / "disk.img").stat().st_size == 32 * MIB
    again.close()


@pytest.mark.parametrize(
    "question",
    [
        b"{}",
        b"not json",
        b'{"type":"mount","worker":"abcdefgh234567ab","mib":32}',
        b'{"type":"hold","worker":"../../../../etc","mib":32}',
        b'{"type":"hold","worker":"abcdefgh234567ab","mib":1}',
        b'{"type":"hold","worker":"abcdefgh234567ab"}',
        b'{"type":"hold","worker":"zzzzzzzz234567zz","mib":32}',
    ],
)
async def test_any_other_question__is_refused(
    helper: Helper, short_dir: Path, question: bytes
) -> None:
    asking, answer = await asked(helper, question)
    assert answer["problem"]
    assert loop_devices_below(short_dir) == []
    asking.close()


async def test_links_in_a_workers_directory__are_not_followed(
    helper: Helper, short_dir: Path, worker: Path
) -> None:
    elsewhere = short_dir / "elsewhere"
    elsewhere.write_bytes(b"x" * MIB)
    (worker / "disk.img").symlink_to(elsewhere)
    asking, answer = await asked(helper, hold())
    assert answer["problem"]
    assert elsewhere.read_bytes() == b"x" * MIB
    asking.close()
    away = short_dir / "workers" / "bbbbbbbb234567bb"
    away.symlink_to(short_dir)
    asking, answer = await asked(helper, hold(worker=away.name))
    assert answer["problem"]
    asking.close()


async def test_another_users_question__gets_no_answer(helper: Helper) -> None:
    helper.folder.chmod(0o711)
    helper.folder.parent.chmod(0o711)
    helper.socket.chmod(0o666)
    code = (
        "import socket,sys;s=socket.socket(socket.AF_UNIX);s.settimeout(20);"
        f"s.connect({str(helper.socket)!r});s.sendall({hold()!r}+b'\\n');print(s.recv(100))"
    )
    process = await asyncio.create_subprocess_exec(
        "/usr/bin/python3", "-c", code, user=65534, group=65534, extra_groups=[], cwd="/",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    told, errors = await process.communicate()
    cut = any(word in errors for word in (b"Reset", b"BrokenPipe"))
    assert told.strip() == b"b''" or cut, (told, errors)


def test_full_volume__says_so_and_leaves_nothing(short_dir: Path) -> None:
    state = short_dir / "small"
    state.mkdir()
    with small_disk(short_dir / "image", state):
        (state / "workers" / WORKER).mkdir(parents=True)
        made = Images(workers=state / "workers", patterns=state / "patterns")
        made.open()
        with pytest.raises(OSError, match="No space left"):
            (state / "filler").write_bytes(b"x" * 32 * MIB)
        with pytest.raises((OSError, ImageRefused)):
            made.hold(WORKER, 4096)
        assert list((state / "workers" / WORKER).iterdir()) == []
        assert list((state / "patterns").iterdir()) == []


def test_pattern__is_on_disk_before_it_has_its_name(
    short_dir: Path, worker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that crashed in between would give a torn one to every later session."""
    done: list[str] = []
    sync, rename = os.fsync, os.rename

    def synced(descriptor: int) -> None:
        done.append(f"sync {os.fstat(descriptor).st_ino}")
        sync(descriptor)

    def renamed(source: str, target: str, **at: int) -> None:
        inode = os.stat(source, dir_fd=at["src_dir_fd"]).st_ino
        done.append(f"rename {inode}")
        rename(source, target, **at)

    monkeypatch.setattr(images.os, "fsync", synced)
    monkeypatch.setattr(images.os, "rename", renamed)
    made = Images(workers=worker.parent, patterns=short_dir / "patterns")
    made.open()
    os.close(made.hold(WORKER, 16))
    inode = (short_dir / "patterns" / "16.pattern").stat().st_ino
    assert done[:2] == [f"sync {inode}", f"rename {inode}"]


def test_many_sizes__keep_few_patterns(
    short_dir: Path, worker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_format", lambda _image, _inodes: None)
    made = Images(workers=worker.parent, patterns=short_dir / "patterns")
    made.open()
    for mib in range(16, 16 + 2 * MOST_PATTERNS):
        os.close(made.hold(WORKER, mib))
        (worker / "disk.img").unlink()
    assert len(list((short_dir / "patterns").iterdir())) <= MOST_PATTERNS
