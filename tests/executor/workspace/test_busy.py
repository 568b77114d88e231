"""Saved while somebody writes at full speed: every file in the snapshot is of one moment or is
marked as changed, what went away is not there, and the snapshot holds together.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from executor.workspace import reading
from executor.workspace.index import Index
from executor.workspace.saving import Saved
from executor.workspace.scan import open_file
from tests.executor.half_written import DEADLINE_SECONDS, SIZE, half_written, seeks
from tests.executor.kept import Kept
from tests.executor.snapshots import CHECKPOINT, Disk, disk_at, items_of
from tests.executor.trees import canonical

FILES = 24
SAVES = 6
WRITER = """
import os, random, sys
root, files, dice = sys.argv[1], int(sys.argv[2]), random.Random(int(sys.argv[3]))
def path(n):
    return f"{root}/d{n % 4}/f{n}"
def whole(n):
    # one call: of one moment, as a reader sees it before and after
    size = dice.choice((10, 3000, 70_000, 400_000, 5_000_000))
    content = bytes([65 + dice.randrange(26)]) * size
    handle = os.open(path(n), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(handle, content)
    os.close(handle)
def over(n):
    handle = os.open(path(n), os.O_WRONLY)
    os.write(handle, bytes([65 + dice.randrange(26)]) * os.fstat(handle).st_size)
    os.close(handle)
def cut(n):
    os.truncate(path(n), min(dice.randrange(2000), os.stat(path(n)).st_size))
def gone(n):
    os.unlink(path(n))
def away(n):
    os.rename(path(n), path(n) + "-moved")
    os.rename(path(n) + "-moved", path(dice.randrange(files)))
def swapped(n):
    os.rename(f"{root}/d{n % 4}", f"{root}/x")
    os.symlink("/etc", f"{root}/d{n % 4}")
    os.unlink(f"{root}/d{n % 4}")
    os.rename(f"{root}/x", f"{root}/d{n % 4}")
for n in range(4):
    os.mkdir(f"{root}/d{n}")
for n in range(files):
    whole(n)
print("writing", flush=True)
while True:
    try:
        dice.choice((whole, whole, over, over, cut, gone, away, swapped))(dice.randrange(files))
    except FileNotFoundError:
        pass
"""


@contextmanager
def writing(root: Path, seed: int) -> Generator[None]:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), str(FILES), str(seed)], stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    try:
        assert writer.stdout.readline() == b"writing\n"
        yield
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()


def torn(path: Path) -> bool:
    """The writer gives each file one letter."""
    return len(set(path.read_bytes())) > 1


@pytest.mark.parametrize("seed", [1, 2])
async def test_save__beside_a_writer(place: Path, seed: int) -> None:
    disk, store = disk_at(place), Kept()
    saves: list[Saved] = []
    with writing(disk.root, seed):
        for _ in range(SAVES):
            saves.append(await disk.save(store, CHECKPOINT))  # noqa: PERF401  # one after the other
    at_rest = canonical(disk.root)
    last = await disk.save(store)
    elsewhere = Disk(place / "elsewhere", Index(place / "elsewhere.index"))
    elsewhere.root.mkdir()
    for saved in saves:
        await elsewhere.restore(store, store.point(saved))
        items = items_of(saved)
        shown = {
            os.fsdecode(line[0]): elsewhere.root / os.fsdecode(line[0])
            for line in canonical(elsewhere.root)
        }
        assert shown.keys() == items.keys()
        files = {name: path for name, path in shown.items() if path.is_file()}
        assert {
            name for name, path in files.items() if torn(path) and not items[name].changed
        } == set()
        # a link that stood there in that moment is a link; nothing comes from behind it
        assert not any(name.endswith("/passwd") for name in items)
    await elsewhere.restore(store, store.point(last))
    assert canonical(elsewhere.root) == at_rest


@pytest.mark.parametrize("ago", [0, 600])
async def test_save__in_the_middle_of_a_write(
    place: Path, ago: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stamped the file when it began, on a slow disk minutes ago, and will not again: before and
    after, the file looks as if it rested."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + ago * 1_000_000_000)
    disk, store = disk_at(place), Kept()
    path = disk.root / "f"
    path.write_bytes(b"A" * SIZE)
    with half_written(path, b"B") as write:
        assert torn(path)
        saving = asyncio.create_task(disk.save(store, CHECKPOINT))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not saving.done() and not seeks():  # noqa: ASYNC110  # no event tells it
                await asyncio.sleep(0)
        write.go_on()
        saved = await saving
    elsewhere = Disk(place / "elsewhere", Index(place / "elsewhere.index"))
    elsewhere.root.mkdir()
    await elsewhere.restore(store, store.point(saved))
    assert set((elsewhere.root / "f").read_bytes()) == set(b"B")
    assert not items_of(saved)["f"].changed


async def test_save__of_what_is_stamped_all_the_time(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stamps tell nothing: it is marked as changed, and the save does not wait for ever."""
    disk = disk_at(place)
    path = disk.root / "f"
    path.write_bytes(b"A")
    # whenever it is looked at, the last one was a moment ago
    monkeypatch.setattr(time, "time_ns", lambda: path.stat().st_ctime_ns + 1_000_000)
    saved = await disk.save(Kept(), CHECKPOINT)
    assert items_of(saved)["f"].changed


async def test_save__what_it_stamps_itself_is_nobodys_write(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that its owner may not read is opened up for a moment, and all of them have a stamp of
    now: with no agent left, none of them changes."""
    disk = disk_at(place)
    for number in range(150):
        (disk.root / str(number)).write_bytes(b"A")

    def opened_up(parent: int, name: bytes) -> int:
        os.chmod(name, 0o400, dir_fd=parent)
        return open_file(parent, name)

    monkeypatch.setattr(reading, "open_file", opened_up)
    saved = await disk.save(Kept())
    assert not [name for name, item in items_of(saved).items() if item.changed]
