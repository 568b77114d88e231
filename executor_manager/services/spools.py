"""Whether a dead executor's spool can be trusted to go on in the same epoch. It blocks."""

import os
import stat
from pathlib import Path
from uuid import UUID

import msgspec

from executor_manager.containers.backend import Container
from executor_manager.containers.procfs import boot_id

META = "spool.json"
LARGEST = 4096


class _Meta(msgspec.Struct, frozen=True, kw_only=True):
    """The executor's own mark in its spool."""

    worker_id: UUID
    epoch: int
    boot_id: str


def untouched(container: Container) -> bool:
    """It was never up: there is nothing to save. What cannot be looked at may hold something."""
    places = container.directories
    try:
        return not (_holds(places.workspace) or _holds(places.spool, META))
    except OSError:
        return False


def _holds(directory: Path, wanted: str | None = None) -> bool:
    """That name, or anything at all; what else there is may be any number."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.scandir(descriptor) as found:
            return any(wanted in {None, entry.name} for entry in found)
    finally:
        os.close(descriptor)


def intact(container: Container) -> bool:
    """The same worker's, of the same boot: a reboot may have lost what was not synced."""
    try:
        found = msgspec.json.decode(_read(container) or b"", type=_Meta)
    except msgspec.MsgspecError:
        return False
    identity = container.identity
    expected = (identity.worker_id, identity.epoch, boot_id())
    return (found.worker_id, found.epoch, found.boot_id) == expected


def _read(container: Container) -> bytes | None:
    # the directory is the session's: a link must not lead us away, nor a pipe hold us
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(container.directories.spool / META, flags)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return os.read(descriptor, LARGEST)
    finally:
        os.close(descriptor)
