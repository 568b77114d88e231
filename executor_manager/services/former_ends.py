"""Tells the next executor of a container how the one before it ended. It blocks."""

import contextlib
import os
from pathlib import Path

from contracts.executors import ENDED_FILE
from contracts.reasons import Reason
from executor_manager.containers.backend import Container

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BESIDE = f".{ENDED_FILE}"


def tell_end(container: Container) -> None:
    """Nothing of the session runs: what it left under these names is replaced, never followed."""
    if container.out_of_memory:
        _write(container.directories.control, Reason.OUT_OF_MEMORY.encode())


def _write(control: Path, content: bytes) -> None:
    directory = os.open(control, _DIRECTORY)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_BESIDE, dir_fd=directory)
        descriptor = os.open(_BESIDE, _NEW, 0o600, dir_fd=directory)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.rename(_BESIDE, ENDED_FILE, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(directory)
