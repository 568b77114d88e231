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


def canonical(root: Path) -> list[Line]:
    """(path bytes, type, mode, mtime, size, sha256, link target), sorted. Reads nothing of ours."""
    lines: list[Line] = []
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
                digest = hashlib.sha256(_content(whole)).hexdigest()
                mode = status.st_mode & 0o7777
                lines.append((path, "f", mode, status.st_mtime_ns, status.st_size, digest, b""))
    return sorted(lines)


def tree_at(root: Path) -> Tree:
    """As where agent and executor are the same user."""
    return Tree(root, AgentThreads(None))


def _content(path: bytes) -> bytes:
    """A file without permissions is opened up for a moment: not everybody is root."""
    whole = Path(os.fsdecode(path))
    try:
        return whole.read_bytes()
    except PermissionError:
        mode = stat.S_IMODE(whole.stat().st_mode)
        whole.chmod(0o400)
        try:
            return whole.read_bytes()
        finally:
            whole.chmod(mode)


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
