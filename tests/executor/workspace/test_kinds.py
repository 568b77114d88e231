# ruff: noqa: PTH103, PTH118, PTH208, PTH211  # names that are not UTF-8 are bytes here
"""Every name and every kind of thing that a Unix tree can hold: kept bit for bit, or named as left
out; and nothing that a link leads to is ever read.
"""

import os
import socket
import stat
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snapshots.model import Kind
from tests.executor.kept import Kept
from tests.executor.snapshots import Disk, disk_at, items_of, manifest_in
from tests.executor.trees import canonical

NAMES = [
    b"n" * 255, b"\xff" * 255, "ü".encode() * 127, b"new\nline", b"\x01\x1b[31m\x7f", b"-rf",
    b"--", b"a..b", b"..a", b"...", b"a..", b".a", b" ", b" lead", b"trail ", b"dot.", b"tab\t",
    b"%2f", b"%2e%2e", b"back\\slash", b"C:", b"con", b"*?[a]", b"$HOME", b"`id`", b"'\"",
    b"\xc3\x28", b"\xed\xa0\x80", "nf-\u00e9".encode(), "nf-e\u0301".encode(), b"Case", b"case",
    b"CASE", "\U0001f6a5".encode(), "\u202egnp.exe".encode(), b"lost+found", b".berth-restored",
    b".berthignored", b"@eaDir",
]  # fmt: skip


@pytest.fixture
def disk(place: Path) -> Disk:
    return disk_at(place)


async def comes_back(disk: Disk, store: Kept) -> None:
    """Into an empty place, and once more over what is there."""
    before = canonical(disk.root)
    saved = await disk.save(store)
    assert not saved.skipped
    await disk.restore(store, store.point(saved))
    assert canonical(disk.root) == before
    await disk.restore(store, store.point(saved), reuse=True)
    assert canonical(disk.root) == before


async def test_names__come_back_byte_for_byte(disk: Disk) -> None:
    top = os.fsencode(disk.root)
    for number, name in enumerate(NAMES):
        (disk.root / os.fsdecode(b"f-" + name[:253])).write_text(str(number))
        os.makedirs(os.path.join(top, b"inside", name))
        os.symlink(name, os.path.join(top, b"inside", name, b"link"))
    await comes_back(disk, Kept())


@pytest.mark.parametrize("name", [b"d" * 255, b"dd", "tïef".encode()])
async def test_deep__paths_beyond_what_one_call_takes(disk: Disk, name: bytes) -> None:
    """A path of 4,096 bytes is the longest that one call takes; a tree can be deeper."""
    levels, handle = 5000 // (len(name) + 1), os.open(disk.root, os.O_RDONLY)
    levels = min(levels, 400)
    for _ in range(levels):
        os.mkdir(name, dir_fd=handle)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=handle)
        os.close(handle)
        handle = below
    leaf = os.open(b"leaf", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=handle)
    os.write(leaf, b"at the bottom")
    os.close(leaf)
    os.close(handle)
    store = Kept()
    saved = await disk.save(store)
    await disk.restore(store, store.point(saved))
    handle = os.open(disk.root, os.O_RDONLY)
    for _ in range(levels):
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=handle)
        os.close(handle)
        handle = below
    assert os.listdir(handle) == ["leaf"]
    leaf = os.open(b"leaf", os.O_RDONLY, dir_fd=handle)
    assert os.read(leaf, 100) == b"at the bottom"
    os.close(leaf)
    os.close(handle)


async def test_modes_and_times__all_twelve_bits_and_every_nanosecond(disk: Disk) -> None:
    for mode in (0, 0o1, 0o444, 0o600, 0o777, 0o1777, 0o2755, 0o4755, 0o7777):
        path = disk.root / f"f{mode:o}"
        path.write_text("x" * mode)
        path.chmod(mode)
        directory = disk.root / f"d{mode:o}"
        directory.mkdir()
        (directory / "inside").write_text("y")
        directory.chmod(mode)
    for number, moment in enumerate((0, 1, 999_999_999, 1 << 60, -1_000_000_001)):
        for path in (disk.root / f"t{number}", disk.root / f"l{number}"):
            path.write_text("") if path.name[0] == "t" else path.symlink_to("t0")
            os.utime(path, ns=(moment, moment), follow_symlinks=False)
    await comes_back(disk, Kept())


async def test_twins__one_file_under_many_names(disk: Disk) -> None:
    for name in ("a", "b/c", "b/d"):
        (disk.root / name).mkdir(parents=True)
    first = disk.root / "b" / "d" / "first"
    first.write_bytes(os.urandom(300_000))
    first.chmod(0o4751)
    for name in ("a/twin", "zz", "b/c/twin"):
        os.link(first, disk.root / name)
    (disk.root / "empty").touch()
    os.link(disk.root / "empty", disk.root / "a" / "empty")
    store = Kept()
    saved = await disk.save(store)
    assert saved.draft.new_bytes < 310_000
    await comes_back(disk, store)
    assert first.stat().st_nlink == 4
    (disk.root / "a" / "twin").write_text("all of them")
    assert (disk.root / "zz").read_text() == "all of them"


async def test_links__are_kept_as_links_and_never_followed(disk: Disk, place: Path) -> None:
    (place / "outside").mkdir()
    (place / "outside" / "secret").write_text("canary-outside")
    targets = [
        "/etc/shadow",
        "..",
        "../outside/secret",
        str(place / "outside"),
        "/",
        "self",
        "/proc/1/root",
    ]
    for number, target in enumerate(targets):
        (disk.root / f"l{number}").symlink_to(target)
    (disk.root / "self").symlink_to("self")
    (disk.root / "ping").symlink_to("pong")
    (disk.root / "pong").symlink_to("ping")
    (disk.root / "long").symlink_to("t" * 4000)
    store = Kept()
    saved = await disk.save(store)
    assert {item.kind for item in manifest_in(saved).items()} == {Kind.LINK}
    assert not store.packs
    await comes_back(disk, store)
    assert sorted(path.name for path in (place / "outside").iterdir()) == ["secret"]


async def test_special__are_named_as_left_out_and_hold_nobody_up(disk: Disk) -> None:
    os.mkfifo(disk.root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(disk.root / "socket"))
    wanted = {b"fifo": "fifo", b"socket": "socket"}
    if os.geteuid() == 0:
        os.mknod(disk.root / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        os.mknod(disk.root / "disk", stat.S_IFBLK | 0o666, os.makedev(7, 200))
        wanted |= {b"zero": "device", b"disk": "device"}
    (disk.root / "kept").write_text("kept")
    saved = await disk.save(Kept())
    assert {skip.path: skip.reason for skip in saved.skipped} == wanted
    assert list(items_of(saved)) == ["kept"]


@contextmanager
def immutable(path: Path) -> Generator[None]:
    subprocess.run(["chattr", "+i", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


@pytest.mark.root
async def test_owners_and_attributes__are_not_kept(disk: Disk) -> None:
    """Whoever restores owns it; what root alone may set is not in a snapshot."""
    path = disk.root / "theirs"
    path.write_text("theirs")
    os.chown(path, 12345, 12345)
    os.setxattr(path, "user.origin", b"elsewhere")
    (disk.root / "fixed").write_text("immutable")
    store = Kept()
    with immutable(disk.root / "fixed"):
        saved = await disk.save(store)
    await disk.restore(store, store.point(saved))
    assert (path.stat().st_uid, path.read_text()) == (os.geteuid(), "theirs")
    assert os.listxattr(path) == []
    assert (disk.root / "fixed").read_text() == "immutable"
