"""A directory of this machine as a tar, in the order of paths: what a session's workspace becomes.

Links stay links; `.git` and dotfiles are in it; `.berthignore` is heeded. What cannot be sent is
listed. Nothing is kept of it but the directories that the walk is in, and names of hard links.
"""

import os
import stat
import tarfile
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chassis.files.ignoring import RULES, Rules, rules_in
from cli.progress import Meter
from snapshots.paths import MEMORY

PIECE_BYTES = 1024 * 1024
SECOND = 1_000_000_000
END = bytes(2 * tarfile.BLOCKSIZE)

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNSENDABLE = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a pipe",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


@dataclass(frozen=True, slots=True)
class LeftOut:
    path: bytes
    why: str
    sent: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """`parent` is open until the walk goes on."""

    path: bytes
    name: bytes
    parent: int
    status: os.stat_result


@dataclass(slots=True)
class _Level:
    handle: int
    path: bytes
    rules: Rules | None
    names: Iterator[bytes]


def totals(top: Path) -> tuple[int, int]:
    """Files and links, and their bytes, as they are just now. Raises `OSError` for the top."""
    files = size = 0
    seen: set[tuple[int, int]] = set()
    for found in walk(top, []):
        if stat.S_ISDIR(found.status.st_mode):
            continue
        files += 1
        if stat.S_ISREG(found.status.st_mode):
            place = (found.status.st_dev, found.status.st_ino)
            if found.status.st_nlink == 1 or place not in seen:
                size += found.status.st_size
            if found.status.st_nlink > 1:
                seen.add(place)
    return files, size


def archived(top: Path, left_out: list[LeftOut], meter: Meter) -> Generator[bytes]:
    """The tar, in pieces. Raises `OSError` for the top only."""
    linked: dict[tuple[int, int], bytes] = {}
    waiting = bytearray()
    for found in walk(top, left_out):
        for piece in _entry(found, linked, left_out, meter):
            waiting += piece
            if len(waiting) >= PIECE_BYTES:
                yield bytes(waiting)
                waiting.clear()
    yield bytes(waiting) + END


def walk(top: Path, left_out: list[LeftOut]) -> Generator[Found]:
    """Directories before what is in them, siblings by their bytes."""
    levels = [_level(os.open(top, _DIRECTORY & ~os.O_NOFOLLOW), b"", None)]
    try:
        while levels:
            level = levels[-1]
            name = next(level.names, None)
            if name is None:
                os.close(levels.pop().handle)
                continue
            found = _look(level, name, left_out)
            if found is None:
                continue
            if not stat.S_ISDIR(found.status.st_mode):
                yield found
                continue
            try:
                handle = os.open(name, _DIRECTORY, dir_fd=level.handle)
            except OSError as error:
                left_out.append(LeftOut(found.path, error.strerror or "unreadable"))
                continue
            yield found
            levels.append(_level(handle, found.path, level.rules))
    finally:
        for level in levels:
            os.close(level.handle)


def _level(handle: int, path: bytes, above: Rules | None) -> _Level:
    names = sorted(os.fsencode(one) for one in os.listdir(handle))  # of a handle
    rules = rules_in(handle, path, above) if RULES in names else above
    return _Level(handle, path, rules, iter(names))


def _look(level: _Level, name: bytes, left_out: list[LeftOut]) -> Found | None:
    path = level.path + b"/" + name if level.path else name
    try:
        status = os.stat(name, dir_fd=level.handle, follow_symlinks=False)
    except OSError:
        # it went away while we looked: it is in no moment's tree
        return None
    why = _UNSENDABLE.get(stat.S_IFMT(status.st_mode), "")
    if path == MEMORY:
        why = "Berth's own"
    elif level.rules is not None and level.rules.ignores(
        path, directory=stat.S_ISDIR(status.st_mode)
    ):
        return None
    if why:
        left_out.append(LeftOut(path, why))
        return None
    return Found(path, name, level.handle, status)


def _entry(
    found: Found,
    linked: dict[tuple[int, int], bytes],
    left_out: list[LeftOut],
    meter: Meter,
) -> Generator[bytes]:
    mode = found.status.st_mode
    if stat.S_ISDIR(mode):
        yield _head(found, tarfile.DIRTYPE)
    elif stat.S_ISLNK(mode):
        with suppress(OSError):
            target = os.readlink(found.name, dir_fd=found.parent)
            yield _head(found, tarfile.SYMTYPE, target=target)
            meter.add(files=1)
    else:
        place = (found.status.st_dev, found.status.st_ino)
        first = linked.get(place) if found.status.st_nlink > 1 else None
        if first is not None:
            yield _head(found, tarfile.LNKTYPE, target=first)
            meter.add(files=1)
            return
        try:
            handle = os.open(found.name, _FILE, dir_fd=found.parent)
        except OSError as error:
            left_out.append(LeftOut(found.path, error.strerror or "unreadable"))
            return
        with open(handle, "rb", buffering=0) as file:  # noqa: PTH123  # a handle
            yield from _content(found, file.fileno(), left_out, meter)
        if found.status.st_nlink > 1:
            linked[place] = found.path


def _content(found: Found, handle: int, left_out: list[LeftOut], meter: Meter) -> Generator[bytes]:
    """Exactly as many bytes as its head says, whatever becomes of it meanwhile."""
    status = os.fstat(handle)
    size = left = status.st_size
    yield _head(found, tarfile.REGTYPE, size=size)
    while left:
        piece = _read(handle, min(PIECE_BYTES, left))
        if not piece:
            yield from _zeros(left)
            break
        left -= len(piece)
        meter.add(size=len(piece))
        yield piece
    yield bytes(-size % tarfile.BLOCKSIZE)
    meter.add(files=1)
    now = os.fstat(handle)
    if left or (now.st_size, now.st_mtime_ns) != (size, status.st_mtime_ns):
        left_out.append(LeftOut(found.path, "it changed while it was read", sent=True))


def _read(handle: int, size: int) -> bytes:
    try:
        return os.read(handle, size)
    except OSError:
        return b""


def _zeros(size: int) -> Generator[bytes]:
    while size:
        piece = bytes(min(size, PIECE_BYTES))
        size -= len(piece)
        yield piece


def _head(found: Found, kind: bytes, *, size: int = 0, target: bytes = b"") -> bytes:
    info = tarfile.TarInfo(found.path.decode(errors="surrogateescape"))
    info.type, info.size = kind, size
    info.mode = stat.S_IMODE(found.status.st_mode)
    info.linkname = target.decode(errors="surrogateescape")
    time_ns = found.status.st_mtime_ns
    whole, part = divmod(abs(time_ns), SECOND)
    info.mtime = max(0, time_ns // SECOND)
    if part or time_ns < 0:
        info.pax_headers = {"mtime": f"{'-' if time_ns < 0 else ''}{whole}.{part:09d}"}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
