"""Whether a file rests, so that two looks at it, before and after a reading, tell of every write
between them.

They do not by themselves. A write that the kernel is carrying out stamps the file when it begins:
whoever looks and reads in its middle sees one stamp and half of each content. And where stamps are
as coarse as the kernel's ticks, two writes in one tick have the same. So a file is waited for,
until its last write is over and its tick has passed.
"""

import contextlib
import os
import time

TICK_NS = 20_000_000
"""More than two ticks of any kernel (100 Hz): a later write has a later stamp."""
PATIENCE_NS = 2_000_000_000
"""Of one save, for ticks: whoever stamps all files again and again does not hold it up."""


class Resting:
    """For one save; blocks."""

    def __init__(self, *, quiet: bool = False, patience_ns: int = PATIENCE_NS) -> None:
        """`quiet`: no process of the agent exists. Stamps of now are a save's own, or of files that
        were put in place whole.
        """
        self._quiet = quiet
        self._patience_ns = patience_ns

    def seen(self, status: os.stat_result, handle: int) -> os.stat_result | None:
        """What the open file looks like, from where on every write shows; `status` is how it was
        seen last. None: it is written too often to say.
        """
        age = time.time_ns() - status.st_ctime_ns
        if 0 <= age < TICK_NS and not self._quiet:
            wait = TICK_NS - age
            if wait > self._patience_ns:
                return None
            self._patience_ns -= wait
            time.sleep(wait / 1e9)
            status = os.fstat(handle)
            if 0 <= time.time_ns() - status.st_ctime_ns < TICK_NS:
                return None
        _wait_for_a_write(handle)
        return status


def _wait_for_a_write(handle: int) -> None:
    """Looking for data takes the inode's lock, which a write holds as long as it lasts: on ext4,
    Btrfs, F2FS, tmpfs and an overlay. On XFS and ZFS a read itself waits.
    """
    with contextlib.suppress(OSError):  # there is none, or the file system does not tell
        os.lseek(handle, 0, os.SEEK_DATA)
