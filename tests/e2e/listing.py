"""Runs inside a session: tells a tree, a line for each entry, in the order of their bytes.

Two trees are alike if their lines are: kind, mode, time, size, content, holes, links, twins. The
standard library alone. Its argument is the tree.
"""

import hashlib
import os
import stat
import sys
from collections.abc import Iterator

HOLE = 1024 * 1024
"""Smaller ones may come back as the zeros that they stand for."""
LONG = 120

Names = dict[tuple[int, int], bytes]


def entries(top: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Path, name, and the handle of its directory."""
    for folder, folders, files, handle in os.fwalk(top):
        for name in (*folders, *files):
            yield folder + b"/" + name, name, handle


def line(path: bytes, name: bytes, handle: int, first: Names) -> str:
    status = os.stat(name, dir_fd=handle, follow_symlinks=False)
    told: list[object] = [stat.filemode(status.st_mode), status.st_mtime_ns]
    if stat.S_ISLNK(status.st_mode):
        told.append(os.readlink(name, dir_fd=handle))
    elif stat.S_ISREG(status.st_mode):
        told += [status.st_size, *content(name, handle, status)]
        if status.st_nlink > 1:
            told.append(first[status.st_dev, status.st_ino])
    return f"{shown(path)} {' '.join(map(str, told))}"


def content(name: bytes, handle: int, status: os.stat_result) -> tuple[str, list[int]]:
    mode = stat.S_IMODE(status.st_mode)
    if not mode & stat.S_IRUSR:
        os.chmod(name, 0o400, dir_fd=handle)
    try:
        with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=handle), "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return digest, holes(file.fileno(), status.st_size)
    finally:
        if not mode & stat.S_IRUSR:
            os.chmod(name, mode, dir_fd=handle)


def holes(file: int, size: int) -> list[int]:
    """Where the large ones begin and end."""
    found, at = list[int](), 0
    while at < size:
        try:
            data = os.lseek(file, at, os.SEEK_DATA)
        except OSError:  # nothing but a hole is left
            data = size
        if data - at >= HOLE:
            found += [at, data]
        at = os.lseek(file, data, os.SEEK_HOLE) if data < size else size
    return found


def shown(path: bytes) -> str:
    if len(path) <= LONG:
        return repr(path)
    return f"{path[:40]!r}… {len(path)} {hashlib.sha256(path).hexdigest()}"


def main() -> None:
    top = os.fsencode(sys.argv[1])
    first: Names = {}
    for path, name, handle in entries(top):
        status = os.stat(name, dir_fd=handle, follow_symlinks=False)
        inode = status.st_dev, status.st_ino
        first[inode] = min(first.get(inode, path), path)
    for told in sorted(line(path, name, handle, first) for path, name, handle in entries(top)):
        sys.stdout.write(f"{told}\n")


main()
