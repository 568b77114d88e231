"""Sockets that sessions connect to, bound where only their own session can reach them."""

import os
import socket
import stat
from pathlib import Path

LONGEST = 107
"""Bytes of a Unix socket's path (`man 7 unix`: sun_path has 108, one is the ending zero)."""

BACKLOG = 128


FOR_OWNER = 0o600
FOR_GROUP = 0o660
"""For a directory that its group may enter and nobody but us write to."""


class SocketRefused(Exception):
    """The message says what is wrong with the directory that `field` names."""

    def __init__(self, message: str, field: str = "control_dir") -> None:
        super().__init__(message)
        self.field = field


def check_length(path: Path) -> None:
    """Raises `SocketRefused`."""
    length = len(os.fsencode(path))
    if length > LONGEST:
        raise SocketRefused(
            f"the socket path {path} has {length} bytes, and a socket's path ends at {LONGEST}:"
            f" choose a state directory whose path is {length - LONGEST} bytes shorter"
        )


def check_below(top: Path, directory: Path, *, field: str) -> None:
    """Raises `SocketRefused`. Links are followed first: it is the real place that counts."""
    if not directory.resolve().is_relative_to(top.resolve()) or ".." in directory.parts:
        raise SocketRefused(f"{field} {directory} is not below {top}: choose one that is", field)


def bind_for_owner(path: Path, mode: int = FOR_OWNER) -> socket.socket:
    """A listening socket at `path` for the owner of its directory; replaces what a former one left.

    Raises `SocketRefused`. The directory belongs to a session: whatever is done by name in there
    could be led astray by it. So the socket gets its owner outside, in the directory above, which
    is ours, and is then moved in. No capability is needed where the owner is our own uid and the
    group one of ours.
    """
    check_length(path)
    outside = path.parent.parent / f".{path.parent.name[:1]}.s"
    owner = _owner(path.parent)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        outside.unlink(missing_ok=True)
        listener.bind(str(outside))
        outside.chmod(mode)
        if owner != (os.geteuid(), os.getegid()):
            os.chown(outside, *owner)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        outside.replace(path)
    except OSError as error:
        listener.close()
        raise SocketRefused(f"cannot bind {path}: {error.strerror}") from error
    return listener


def _owner(directory: Path) -> tuple[int, int]:
    try:
        found = directory.lstat()
    except OSError as error:
        raise SocketRefused(f"there is no directory {directory}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise SocketRefused(f"{directory} is not a directory")
    return found.st_uid, found.st_gid


def remove_socket(path: Path) -> None:
    """Only a socket, and by name only: a link is not followed."""
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    except OSError:
        return  # the directory was removed before
