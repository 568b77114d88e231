"""What holds a session's disk limit, and what a manager asks of the helper `volumes`.

The helper speaks lines of JSON on a Unix socket: one question a connection, one answer. What an
answer gives is held for as long as the connection is open, so that nobody's end leaves anything.
"""

from typing import Annotated, Literal

import msgspec

from contracts.wire import Wire
from contracts.workers import DiskMib

DiskMeans = Literal["quota", "image", "tmpfs", "watch"]
"""`quota`: a project quota of the engine's own volumes. `image`: a file system of that size in a
file. `tmpfs`: memory, which does not outlive its container. `watch`: nothing of the kernel's: its
executor measures, and ends the run that is over the limit."""

LINE_BYTES = 4096

ShortName = Annotated[str, msgspec.Meta(pattern=r"^[a-z2-7]{16}$")]
"""Of a worker's directory."""


class HoldDisk(Wire, frozen=True, kw_only=True, tag_field="type", tag="hold"):
    """Its image, made if there is none, on a loop device, whose node is put beside it."""

    worker: ShortName
    mib: DiskMib


class TryDisk(Wire, frozen=True, kw_only=True, tag_field="type", tag="try"):
    """Whether it could, with an image that nobody uses."""


AskDisk = HoldDisk | TryDisk


class DiskAnswer(Wire, frozen=True, kw_only=True):
    problem: str = ""
    """Why it is not held; empty: it is."""
    full: bool = False
    """It is not, for want of space or of loop devices."""
