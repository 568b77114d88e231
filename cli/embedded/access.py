"""Who may enter and read what: the other users that parts run as, and trees made readable for them.

Decided from the mode bits along the path as written and along the path that its links lead to;
access control lists are not looked at.
"""

import os
import pwd
import shutil
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from cli.embedded.errors import StateUnusable

AGENT_UID = 10001
"""The same uid as inside the session images; it needs no passwd entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


_BYTECODE_BEING_WRITTEN = "*.pyc.*"
"""Another Python's temporary file: gone before it could be copied."""

AGENT_USER = User(uid=AGENT_UID, gid=AGENT_UID)


class Switch(TypedDict, total=False):
    """`subprocess`'s arguments."""

    user: int
    group: int
    extra_groups: tuple[int, ...]


def switch(user: User | None) -> Switch:
    """What starts a program as `user`; nothing where that is ourselves."""
    if user is None or user.uid == os.geteuid():
        return {}
    return {"user": user.uid, "group": user.gid, "extra_groups": user.groups}


def database_user(*names: str) -> User:
    """The user for Postgres where we are root: it refuses to be root, and wants a passwd entry."""
    for name in names or ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(uid=entry.pw_uid, gid=entry.pw_gid)
    raise StateUnusable(
        f"Postgres does not run as root, and none of the users {', '.join(names)} exists. "
        "Create one (`useradd --system postgres`), or run berth as an ordinary user."
    )


def closed_at(path: Path, user: User) -> Path | None:
    """The first directory on the way to `path`, itself included, that `user` cannot enter."""
    for way in (path.absolute(), path.resolve()):
        for place in (*reversed(way.parents), way):
            if place.is_dir() and not _allows(place, user, 0o1):
                return place
    return None


def can_traverse(path: Path, uid: int, gids: Collection[int]) -> bool:
    user = User(uid=uid, gid=next(iter(gids), uid), groups=tuple(gids))
    return closed_at(path, user) is None


def can_read_tree(path: Path, user: User) -> bool:
    """Whether `user` can reach `path` and read each file below it."""
    if closed_at(path, user) is not None:
        return False
    if path.is_file():
        return _allows(path, user, 0o4)
    for folder, _, files in os.walk(path):
        here = Path(folder)
        if not _allows(here, user, 0o5):
            return False
        if not all(_allows(here / name, user, 0o4) for name in files):
            return False
    return True


def require_traversable(home: Path, user: User) -> None:
    """Raises StateUnusable when a part that runs as `user` could not reach the state directory."""
    closed = closed_at(home, user)
    if closed is None:
        return
    raise StateUnusable(
        f"{home} cannot be used: uid {user.uid}, which runs a part of Berth, cannot enter {closed} "
        f"(mode {stat.S_IMODE(closed.stat().st_mode):o}). Set BERTH_HOME to a directory that "
        "everybody may enter, such as /var/lib/berth, or `chmod o+x` that one."
    )


def give_tree(path: Path, user: User) -> None:
    """Makes `user` the owner of `path` and all below it; links are not followed."""
    os.chown(path, user.uid, user.gid, follow_symlinks=False)
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(folder) / name, user.uid, user.gid, follow_symlinks=False)


def link_tree(source: Path, target: Path, *, without: Collection[str] = ()) -> None:
    """A copy of `source` that everybody can read and only its owner can write.

    Files are hard links where the file system and their mode allow it, so that 100 MB cost nothing;
    links are followed. `without` are names that are left out at any depth.
    """
    left_out = shutil.ignore_patterns(*without, _BYTECODE_BEING_WRITTEN)
    shutil.copytree(source, target, ignore=left_out, copy_function=_link_file)
    for folder, _, _ in os.walk(target):
        Path(folder).chmod(0o755)


def link_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    _link_file(str(source.resolve()), str(target))


def _link_file(source: str, target: str) -> str:
    mode = stat.S_IMODE(os.stat(source).st_mode)  # noqa: PTH116 - shutil hands over strings, thousands of them
    readable = mode & 0o444 == 0o444 and not mode & 0o022 and not mode & 0o6000
    if readable and mode & 0o111 in {0, 0o111}:
        try:
            os.link(source, target)
        except OSError:
            pass  # another file system, or one without hard links: copied below
        else:
            return target
    shutil.copyfile(source, target)
    os.chmod(target, 0o755 if mode & 0o100 else 0o644)  # noqa: PTH101 - meant to be readable by all
    return target


def _allows(path: Path, user: User, bits: int) -> bool:
    if user.uid == 0:
        return True
    found = path.stat()
    if found.st_uid == user.uid:
        shift = 6
    elif found.st_gid in {user.gid, *user.groups}:
        shift = 3
    else:
        shift = 0
    return (found.st_mode >> shift) & bits == bits
