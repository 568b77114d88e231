# ruff: noqa: PTH115, PTH118, PTH123, PTH208, PTH211  # names that are not UTF-8 are bytes here
"""Trees to save, and the oracle: two trees are equal if their canonical manifests are."""

import hashlib
import os
import socket
import stat
from pathlib import Path

from executor.threads import AgentThreads
from executor.workspace.tree import Tree

Line = tuple[bytes, str, int, int, int, str, bytes]
BLOCK_BYTES = 64 * 1024
HOLE_BYTES = 1024 * 1024
"""A smaller hole may come back as the zeros that it stands for."""


def canonical(root: Path) -> list[Line]:
    """(path bytes, type, mode, mtime, size, content, target), sorted. Reads nothing of ours.

    The content is a digest, with the large holes; the target is where a link leads, or of a file
    with several names the first of them.
    """
    lines: list[Line] = []
    names: dict[tuple[int, int], bytes] = {}
    stack = [b""]
    top = os.fsencode(root)
    while stack:
        inner = stack.pop()
        for name in os.listdir(os.path.join(top, inner)):
            path = os.path.join(inner, name)
            whole = os.path.join(top, path)
            status = os.lstat(whole)
            if stat.S_ISDIR(status.st_mode):
                lines.append((path, "d", status.st_mode & 0o7777, status.st_mtime_ns, 0, "", b""))
                stack.append(path)
            elif stat.S_ISLNK(status.st_mode):
                lines.append((path, "l", 0, status.st_mtime_ns, 0, "", os.readlink(whole)))
            elif stat.S_ISREG(status.st_mode):
                inode = status.st_dev, status.st_ino
                names[inode] = min(names.get(inode, path), path)
                mode = status.st_mode & 0o7777
                content = _content(whole)
                lines.append((path, "f", mode, status.st_mtime_ns, status.st_size, content, b""))
    return sorted(_with_twins(line, top, names) for line in lines)


def _with_twins(line: Line, top: bytes, names: dict[tuple[int, int], bytes]) -> Line:
    if line[1] != "f":
        return line
    status = os.lstat(os.path.join(top, line[0]))
    return (*line[:-1], names[status.st_dev, status.st_ino] if status.st_nlink > 1 else b"")


def tree_at(root: Path) -> Tree:
    """As where agent and executor are the same user."""
    return Tree(root, AgentThreads(None))


def _content(path: bytes) -> str:
    """A file without permissions is opened up for a moment: not everybody is root."""
    whole = Path(os.fsdecode(path))
    try:
        return _digest(whole)
    except PermissionError:
        mode = stat.S_IMODE(whole.stat().st_mode)
        whole.chmod(0o400)
        try:
            return _digest(whole)
        finally:
            whole.chmod(mode)


def _digest(path: Path) -> str:
    """The same for equal content, whether zeros are there or holes; then what is a large hole."""
    digest, holes, at = hashlib.sha256(), "", 0
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        for start, end in (*_data(file.fileno(), size), (size, size)):
            if start - at >= HOLE_BYTES:
                holes += f" {at}-{start}"
            at = end
            for offset in range(start - start % BLOCK_BYTES, end, BLOCK_BYTES):
                block = os.pread(file.fileno(), BLOCK_BYTES, offset)
                if block.count(0) != len(block):
                    digest.update(b"%d:%b" % (offset, block))
    return digest.hexdigest() + holes


def _data(handle: int, size: int) -> list[tuple[int, int]]:
    """Where there is data, in whole blocks of ours: no block is in two of them."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < size:
        try:
            start = os.lseek(handle, at, os.SEEK_DATA)
        except OSError:
            break
        at = min(os.lseek(handle, start, os.SEEK_HOLE), size)
        first = start - start % BLOCK_BYTES
        if found and first < found[-1][1]:
            first = found.pop()[0]
        at = min(-(-at // BLOCK_BYTES) * BLOCK_BYTES, size)
        found.append((first, at))
    return found


def make_odd_tree(root: Path) -> None:
    """What file systems allow: names, types, modes."""
    top = os.fsencode(root)
    for name in (
        b"plain.txt", b"new\nline", b"-leading", b"not-utf8-\xff\xfe", "emoji-🛥".encode(),
        "nfc-é".encode(), "nfd-é".encode(), b"trailing. ", b"back\\slash", b"%2f", b"a..b",
        b"n" * 255,
    ):  # fmt: skip
        with open(os.path.join(top, name), "wb") as file:
            file.write(b"content of " + name[:40])
    (root / "empty").write_bytes(b"")
    (root / "empty-dir").mkdir()
    (root / "deep").joinpath(*["d"] * 60).mkdir(parents=True)
    (root / "deep").joinpath(*["d"] * 60, "leaf").write_text("leaf")
    (root / ".git").mkdir()
    (root / ".git" / "HEAD").write_text("ref: refs/heads/main")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "locked").write_text("mode 000")
    (root / "locked").chmod(0o000)
    (root / "setuid").write_text("setuid")
    (root / "setuid").chmod(0o4755)
    (root / "read-only").mkdir()
    (root / "read-only" / "file").write_text("inside")
    (root / "read-only").chmod(0o555)
    (root / "Case").write_text("one")
    (root / "case").write_text("other")
    with (root / "sparse").open("wb") as file:
        file.truncate(6 << 20)
        file.seek(3 << 20)
        file.write(b"in the middle")
    (root / "link-out").symlink_to("/etc/passwd")
    (root / "link-dangling").symlink_to("nowhere")
    (root / "link-loop").symlink_to("link-loop")
    (root / "link-dir").symlink_to("deep")
    os.symlink(b"\xff-target", os.path.join(top, b"link-bytes"))
    os.utime(root / "plain.txt", ns=(1, 1_000_000_001))
    os.utime(root / "empty-dir", ns=(1, 2_000_000_002))
    os.link(root / "plain.txt", root / "hard-link")


def add_specials(root: Path) -> None:
    """Returned to no snapshot: they are skipped, and the walk does not hang on them."""
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "s"))
