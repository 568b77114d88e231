"""How the executor before this one ended, where its host knows better than we could."""

import os
from pathlib import Path
from typing import NamedTuple

from contracts.executors import ENDED_FILE
from contracts.reasons import Reason

LARGEST = 64
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FormerEnd(NamedTuple):
    reason: Reason
    detail: str


RESTARTED = FormerEnd(Reason.EXECUTOR_INTERRUPTED, "the executor was restarted")
STARVED = FormerEnd(
    Reason.OUT_OF_MEMORY, "the container's first process was ended for want of memory"
)


def read_end(control_dir: Path) -> FormerEnd:
    try:
        descriptor = os.open(control_dir / ENDED_FILE, _FLAGS)
    except OSError:
        return RESTARTED
    try:
        told = os.read(descriptor, LARGEST)
    finally:
        os.close(descriptor)
    return STARVED if told == Reason.OUT_OF_MEMORY.encode() else RESTARTED


def forget_end(control_dir: Path) -> None:
    (control_dir / ENDED_FILE).unlink(missing_ok=True)
