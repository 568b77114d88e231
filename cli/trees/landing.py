"""A workspace's tree in a directory of this machine: made beside it, then moved in, file by file.

What is only here stays. What is here and differs is replaced only where git has it (committed, and
not changed since), or where the caller says so. No link of the directory is followed, nothing is
written outside of it, and before all of it is known to be allowed nothing in it is touched.
"""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cli.exits import CliError, Exit
from cli.trees.receiving import Entry, Received
from snapshots.model import Kind

LISTED = 20
GIT = b".git"
WITHOUT_GIT = "a repository's configuration and hooks can be an agent's, and git runs them"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(slots=True)
class Landed:
    files: int = 0
    kept: int = 0
    """Here already, and the same."""
    left_out: list[tuple[bytes, str]] = field(default_factory=list[tuple[bytes, str]])


def land(tree: Received, directory: Path, *, force: bool, with_git: bool) -> Landed:
    """Raises `CliError`, with nothing changed, for what may not be replaced; `OSError`."""
    landed = Landed()
    directory = directory.absolute()
    parent = directory.parent
    try:
        aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.berth-", dir=parent))
    except OSError as error:
        raise CliError(f"{parent} cannot be written to: {error.strerror}.", Exit.USAGE) from error
    try:
        existed = _exists(directory)
        without_git = not with_git or _exists(directory / ".git")
        entries = _written(tree, aside, landed, without_git=without_git)
        if not existed:
            aside.chmod(0o755)
            aside.rename(directory)
            landed.files = entries
            return landed
        _merge(tree, aside, directory, landed, force=force, without_git=without_git)
    finally:
        _discard(aside)
    return landed


def _written(tree: Received, aside: Path, landed: Landed, *, without_git: bool) -> int:
    """Everything, aside: into directories that are ours alone."""
    files = 0
    directories: list[Entry] = []
    top = os.open(aside, _DIRECTORY)
    try:
        for entry in _wanted(tree, without_git=without_git, landed=landed):
            parent, name = _parent(top, entry.path)
            try:
                _make(tree, entry, top, parent, name)
            finally:
                os.close(parent)
            if entry.kind is Kind.DIRECTORY:
                directories.append(entry)
            else:
                files += 1
        for entry in reversed(directories):
            parent, name = _parent(top, entry.path)
            try:
                os.chmod(name, entry.mode & 0o777 | 0o700, dir_fd=parent)
                os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent)
            finally:
                os.close(parent)
    finally:
        os.close(top)
    return files


def _make(tree: Received, entry: Entry, top: int, parent: int, name: bytes) -> None:
    times = (entry.mtime_ns, entry.mtime_ns)
    if entry.kind is Kind.DIRECTORY:
        # with what we need in it: a directory that nobody may write could not be filled
        os.mkdir(name, entry.mode | 0o700, dir_fd=parent)
    elif entry.kind is Kind.LINK:
        os.symlink(entry.target, name, dir_fd=parent)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)
    elif entry.kind is Kind.TWIN:
        source, first = _parent(top, entry.target)
        try:
            os.link(first, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)
    else:
        handle = os.open(name, _NEW, 0o600, dir_fd=parent)
        with os.fdopen(handle, "wb") as file:
            for piece in tree.pieces(entry):
                file.write(piece)
            file.flush()
            # neither set-uid nor set-gid: whoever runs it here is somebody else
            os.fchmod(handle, entry.mode & 0o777)
            os.utime(handle, ns=times)


def _merge(
    tree: Received, aside: Path, directory: Path, landed: Landed, *, force: bool, without_git: bool
) -> None:
    top, source = _opened(directory), os.open(aside, _DIRECTORY)
    try:
        found = list(_wanted(tree, without_git=without_git))
        safe = frozenset[bytes]() if force else _committed(directory)
        moves: list[Entry] = []
        refused: list[bytes] = []
        for entry in found:
            match _standing(top, source, entry):
                case "same":
                    landed.kept += entry.kind is not Kind.DIRECTORY
                case "free":
                    moves.append(entry)
                case "differs" if force or entry.path in safe:
                    moves.append(entry)
                case _:
                    refused.append(entry.path)
        if refused:
            raise _refusal(directory, refused, force=force)
        for entry in moves:
            _move(top, source, entry)
            landed.files += entry.kind is not Kind.DIRECTORY
    finally:
        os.close(source)
        os.close(top)


def _standing(top: int, source: int, entry: Entry) -> str:
    """`free`, `same`, `differs`, or `blocked`: something that no file may take the place of."""
    try:
        parent, name = _parent(top, entry.path)
    except FileNotFoundError:
        return "free"
    except OSError:
        return "blocked"
    try:
        here = os.stat(name, dir_fd=parent, follow_symlinks=False)
        is_directory = stat.S_ISDIR(here.st_mode)
        if is_directory or entry.kind is Kind.DIRECTORY:
            return "same" if is_directory and entry.kind is Kind.DIRECTORY else "blocked"
        if entry.kind is Kind.LINK:
            same = stat.S_ISLNK(here.st_mode) and (os.readlink(name, dir_fd=parent) == entry.target)
            return "same" if same else "differs"
        return _compared(parent, name, here, source, entry)
    except FileNotFoundError:
        return "free"
    finally:
        os.close(parent)


def _compared(parent: int, name: bytes, here: os.stat_result, source: int, entry: Entry) -> str:
    if not stat.S_ISREG(here.st_mode):
        return "differs"
    there, other = _parent(source, entry.path)
    try:
        status = os.stat(other, dir_fd=there, follow_symlinks=False)
        if status.st_size != here.st_size or (status.st_mode ^ here.st_mode) & 0o100:
            return "differs"
        with (
            os.fdopen(os.open(name, _READ, dir_fd=parent), "rb") as one,
            os.fdopen(os.open(other, _READ, dir_fd=there), "rb") as two,
        ):
            while piece := one.read(1024 * 1024):
                if piece != two.read(len(piece)):
                    return "differs"
        return "same"
    finally:
        os.close(there)


def _move(top: int, source: int, entry: Entry) -> None:
    parent, name = _parent(top, entry.path)
    try:
        if entry.kind is Kind.DIRECTORY:
            with suppress(FileExistsError):
                os.mkdir(name, 0o777, dir_fd=parent)
            return
        there, other = _parent(source, entry.path)
        try:
            os.rename(other, name, src_dir_fd=there, dst_dir_fd=parent)
        finally:
            os.close(there)
    finally:
        os.close(parent)


def _parent(top: int, path: bytes) -> tuple[int, bytes]:
    """Its directory, opened part by part and through no link, and its name."""
    *above, name = path.split(b"/")
    current = os.dup(top)
    try:
        for part in above:
            following = os.open(part, _DIRECTORY, dir_fd=current)
            os.close(current)
            current = following
    except BaseException:
        os.close(current)
        raise
    return current, name


def _wanted(tree: Received, *, without_git: bool, landed: Landed | None = None) -> Iterator[Entry]:
    told = False
    for entry in tree.entries():
        if without_git and entry.path.split(b"/", 1)[0] == GIT:
            if landed is not None and not told:
                landed.left_out.append((GIT, WITHOUT_GIT))
            told = True
            continue
        yield entry


def _committed(directory: Path) -> frozenset[bytes]:
    """Files that git has as they are here. None, where it has none or is not there."""
    known, changed = _git(directory, "ls-files", "-z"), _git(directory, "diff", "-z", "--name-only")
    staged = _git(directory, "diff", "-z", "--name-only", "--cached")
    if known is None or changed is None or staged is None:
        return frozenset()
    return known - changed - staged


def _git(directory: Path, *arguments: str) -> frozenset[bytes] | None:
    """Paths that it lists, relative to the directory."""
    # what is in its configuration may be an agent's: nothing of it is run
    command = ["git", "-C", str(directory), "-c", "core.fsmonitor=false", *arguments]
    if arguments[0] == "diff":
        command.append("--relative")
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    return frozenset(one for one in done.stdout.split(b"\0") if one)


def _refusal(directory: Path, paths: list[bytes], *, force: bool) -> CliError:
    names = [one.decode(errors="backslashreplace") for one in paths[:LISTED]]
    more = f"\n… and {len(paths) - LISTED} more" if len(paths) > LISTED else ""
    if force:
        why = "something stands in the way of these that is no file, or is reached by a link"
    else:
        why = (
            "these would be lost, and are in no commit: commit them, move them away, take another"
            " directory, or say --force"
        )
    return CliError(f"{directory} is as it was: {why}.\n" + "\n".join(names) + more, Exit.REFUSED)


def _exists(path: Path) -> bool:
    return os.path.lexists(path)


def _opened(directory: Path) -> int:
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise CliError(f"{directory} is no directory.", Exit.USAGE) from error


def _discard(aside: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(aside, ignore_errors=True)
